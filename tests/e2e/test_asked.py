"""What judges answers when calls are cancelled does find those that are wrong."""

from __future__ import annotations

from typing import Any

import grpc
import pytest

from authz_service.api.v1 import recording_access_pb2 as pb
from authz_service.api.v1 import vocabulary_pb2
from authz_service.api.v1.facts_pb2 import WriteFactsResponse
from tests.e2e.asked import Asked, Batch, Check, Page, Rewrite, Told, unrecorded
from tests.e2e.clinic import SEEN
from tests.e2e.known_answers import Question
from tests.e2e.trials import Moment, Tally, Trial
from tests.wire import fill

OWN, CLOSED, THEIRS = Question(3, 12), Question(4, 16), Question(84, 22)
"""Subject 3 watches a recording of theirs; that of 4 is in quarantine; 84 was shared one of 5's."""


def answer_to(about: Question, effect: str, reason: str, call: str = "c-1") -> Any:
    """Return an answer as the service gives it."""
    answer = pb.CheckAccessResponse(decision_id=f"d-{about.recording}", request_id=call)
    fill(
        answer,
        {
            "effect": effect,
            "reason": reason,
            "subject_id": f"s-{about.subject:03d}",
            "recording_id": f"r-{about.recording:03d}",
            "action": about.action,
        },
    )
    return answer


ALLOWED = answer_to(OWN, "ALLOW", "RULE_ALLOWED")
DENIED = answer_to(CLOSED, "DENY", "RECORDING_QUARANTINED")
SHARED = answer_to(THEIRS, "ALLOW", "RULE_ALLOWED")


def changed(answer: Any, **fields: Any) -> Any:
    """Return *answer* with other fields."""
    copied = pb.CheckAccessResponse()
    copied.CopyFrom(answer)
    fill(copied, fields)
    return copied


def batch_of(*answers: Any, call: str = "c-1") -> Any:
    """Return the answer to a batch."""
    results = [pb.BatchCheckAccessResult(evaluated=True, answer=each) for each in answers]
    return pb.BatchCheckAccessResponse(results=results, request_id=call)


def page_of(subject: str, *rows: str, call: str = "c-1") -> Any:
    """Return a page."""
    page = pb.ListRecordingsResponse(
        subject_id=subject, request_id=call, decision_id="d-0", action=vocabulary_pb2.ACTION_LIST
    )
    for row in rows:
        page.recordings.add(recording_id=row, decision_id=f"d-{row}")
    return page


@pytest.mark.parametrize(
    ("asked", "answer", "wrong"),
    [
        pytest.param(Check(OWN), ALLOWED, [], id="check"),
        pytest.param(Check(CLOSED), DENIED, [], id="check-denied"),
        pytest.param(
            Check(OWN),
            DENIED,
            ["subject_id", "recording_id", "outcome"],
            id="check-swapped",
        ),
        pytest.param(
            Check(OWN), changed(ALLOWED, subject_id="s-004"), ["subject_id"], id="subject"
        ),
        pytest.param(
            Check(OWN), changed(ALLOWED, recording_id="r-013"), ["recording_id"], id="recording"
        ),
        pytest.param(Check(OWN), changed(ALLOWED, action="LIST"), ["action"], id="action"),
        pytest.param(Check(OWN), changed(ALLOWED, effect="DENY"), ["outcome"], id="effect"),
        pytest.param(
            Check(CLOSED), changed(DENIED, reason="RECORDING_DELETED"), ["outcome"], id="reason"
        ),
        pytest.param(Check(OWN), changed(ALLOWED, request_id="c-2"), ["request_id"], id="call"),
        pytest.param(Batch([OWN, THEIRS]), batch_of(ALLOWED, SHARED), [], id="batch"),
        pytest.param(
            Batch([OWN, THEIRS]),
            batch_of(SHARED, ALLOWED),
            ["subject_id", "recording_id"] * 2,
            id="batch-swapped",
        ),
        pytest.param(Batch([OWN, THEIRS]), batch_of(ALLOWED), ["items"], id="batch-short"),
        pytest.param(Batch([OWN]), batch_of(ALLOWED, call="c-2"), ["request_id"], id="batch-call"),
        pytest.param(Page(4), page_of("s-004", "r-019", "r-018"), ["rows"], id="page-with-deleted"),
        pytest.param(Page(3), page_of("s-003", "r-015", "r-014", "r-013", "r-012"), [], id="page"),
        pytest.param(Page(3), page_of("s-003", "r-015"), ["rows"], id="page-short"),
        pytest.param(
            Page(3),
            page_of("s-003", "r-012", "r-013", "r-014", "r-015"),
            ["rows"],
            id="page-oldest-first",
        ),
        pytest.param(
            Page(3), page_of("s-005", "r-022", "r-021", "r-020"), ["subject_id", "rows"],
            id="page-swapped",
        ),
        pytest.param(
            Rewrite([18, 19], SEEN),
            WriteFactsResponse(written=2, conflicting_recording_ids=["r-019"]),
            [],
            id="write",
        ),
        pytest.param(Rewrite([18, 19], SEEN), WriteFactsResponse(skipped=2), [], id="write-late"),
        pytest.param(
            Rewrite([18, 19], SEEN), WriteFactsResponse(written=2), ["conflicting"], id="write-none"
        ),
        pytest.param(
            Rewrite([18], SEEN),
            WriteFactsResponse(skipped=3, conflicting_recording_ids=["r-009"]),
            ["facts", "conflicting"],
            id="write-swapped",
        ),
    ],
)  # fmt: skip
def test_an_answer_to_another_question_is_told(asked: Asked, answer: Any, wrong: list[str]) -> None:
    faults = asked.faults(answer, "c-1")

    assert [fault.partition(":")[0] for fault in faults] == wrong


def recorded_as(told: Told, **fields: Any) -> dict[str, Any]:
    """Return the record of what was told."""
    return {**told._asdict(), "patient_id": "s-003", **fields}


@pytest.mark.parametrize(
    ("records", "is_missing"),
    [
        pytest.param([{}], False, id="just-so"),
        pytest.param([{"decision_id": "d-0"}], True, id="another"),
        pytest.param([{"effect": "DENY"}], True, id="effect"),
        pytest.param([{"reason": "SEALED"}], True, id="reason"),
        pytest.param([{"subject_id": "s-004"}], True, id="subject"),
        pytest.param([{"recording_id": "r-013"}], True, id="recording"),
        pytest.param([{"request_id": "c-2"}], True, id="call"),
        pytest.param([], True, id="none"),
    ],
)
def test_an_answer_without_its_record_is_told(
    records: list[dict[str, Any]], *, is_missing: bool
) -> None:
    (told,) = Check(OWN).told(ALLOWED)

    missing = unrecorded([told], [recorded_as(told, **each) for each in records])

    assert missing == ([told] if is_missing else [])


def test_a_call_that_was_not_cancelled_has_to_be_answered() -> None:
    """What is judged wrong is told of, and is nothing that a client was told."""
    tally = Tally()
    kept = Trial("c-1", Check(OWN), Moment.NEVER, 0)

    tally.note(kept, ALLOWED)
    tally.note(kept._replace(moment=Moment.SOON), None)
    assert (len(tally.told), tally.faults) == (1, [])

    tally.note(kept, None)
    tally.note(kept, DENIED)
    assert (len(tally.told), len(tally.faults)) == (1, 4)


@pytest.mark.parametrize(
    ("code", "faults", "unavailable"),
    [
        pytest.param(grpc.StatusCode.UNAVAILABLE, 0, 1, id="registry-too-slow"),
        pytest.param(grpc.StatusCode.INTERNAL, 1, 0, id="bug"),
        pytest.param(grpc.StatusCode.CANCELLED, 1, 0, id="cancelled-by-nobody"),
    ],
)
def test_a_call_may_fail_for_want_of_a_registry_only(
    code: grpc.StatusCode, faults: int, unavailable: int
) -> None:
    tally = Tally()

    tally.note_failure(Trial("c-1", Check(OWN), Moment.NEVER, 0), code, "why")

    assert (len(tally.faults), tally.unavailable) == (faults, unavailable)

"""What a client asked, and what shows that an answer is not the one to its question."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, Protocol

from authz_service.api.v1 import recording_access_pb2 as pb
from authz_service.api.v1 import vocabulary_pb2
from tests.e2e.client import outcome_of, question, write_request
from tests.e2e.known_answers import (
    RECORDINGS,
    SUBJECTS,
    Question,
    any_question,
    in_conflict,
    listed_for,
    purpose_of,
    recording_name,
    seen_again,
    subject_name,
)
from tests.wire import fill

_MOST_IN_A_BATCH = 8


class Told(NamedTuple):
    """What a client was told, as a record has to have it.

    Attributes:
        decision_id: Under which it is on record.
        request_id: Of the call.
        subject_id: About whom.
        recording_id: About what; None for a page of a list.
        action: To do what.
        effect: The answer; None for a page of a list.
        reason: Why; None for a page of a list and for its rows, which do not tell it.
    """

    decision_id: str
    request_id: str
    subject_id: str
    recording_id: str | None
    action: str
    effect: str | None
    reason: str | None


class Asked(Protocol):
    """One call."""

    @property
    def rpc(self) -> str:
        """The method."""
        ...

    @property
    def request(self) -> Any:
        """The message."""
        ...

    def faults(self, answer: Any, request_id: str) -> list[str]:
        """Return what shows that *answer* is not the one to this call."""
        ...

    def told(self, answer: Any) -> list[Told]:
        """Return what a sound *answer* told, each part of which is on record."""
        ...


class Check(NamedTuple):
    """One question."""

    about: Question
    rpc: str = "CheckAccess"

    @property
    def request(self) -> Any:
        return asking(self.about)

    def faults(self, answer: Any, request_id: str) -> list[str]:
        return list(_faults(self.about, answer, request_id))

    def told(self, answer: Any) -> list[Told]:
        return [_told(answer)]


class Batch(NamedTuple):
    """Several questions in one call."""

    about: Sequence[Question]
    rpc: str = "BatchCheckAccess"

    @property
    def request(self) -> Any:
        return pb.BatchCheckAccessRequest(checks=[asking(each) for each in self.about])

    def faults(self, answer: Any, request_id: str) -> list[str]:
        answers = [each.answer for each in answer.results]
        found = list(_unlike(("request_id", request_id, answer.request_id)))
        found += _unlike(("items", len(self.about), len(answers)))
        for about, one in zip(self.about, answers, strict=False):
            found += _faults(about, one, request_id)
        return found

    def told(self, answer: Any) -> list[Told]:
        return [_told(each.answer) for each in answer.results]


class Page(NamedTuple):
    """The list of one subject."""

    subject: int
    rpc: str = "ListRecordings"

    @property
    def request(self) -> Any:
        request = pb.ListRecordingsRequest()
        context = {"purpose_of_use": purpose_of(self.subject)}
        fill(request, {"subject": {"id": subject_name(self.subject)}, "context": context})
        return request

    def faults(self, answer: Any, request_id: str) -> list[str]:
        rows = [row.recording_id for row in answer.recordings]
        return list(
            _unlike(
                ("request_id", request_id, answer.request_id),
                ("subject_id", subject_name(self.subject), answer.subject_id),
                ("action", "LIST", _action(answer)),
                ("rows", listed_for(self.subject), rows),
                ("next_page_token", "", answer.next_page_token),
            )
        )

    def told(self, answer: Any) -> list[Told]:
        call, who = answer.request_id, answer.subject_id
        rows = [
            Told(row.decision_id, call, who, row.recording_id, "LIST", "ALLOW", None)
            for row in answer.recordings
        ]
        return [Told(answer.decision_id, call, who, None, "LIST", None, None), *rows]


class Rewrite(NamedTuple):
    """A write that changes no answer, and makes the service load a recording anew."""

    recordings: Sequence[int]
    observed_at: str
    rpc: str = "WriteFacts"

    @property
    def request(self) -> Any:
        return write_request([seen_again(each, self.observed_at) for each in self.recordings])

    def faults(self, answer: Any, request_id: str) -> list[str]:
        counted = answer.written + answer.skipped + answer.unchanged
        came = set(answer.conflicting_recording_ids)
        asked = {recording_name(each) for each in self.recordings if in_conflict(each)}
        if answer.written < len(self.recordings):
            asked &= came  # what was seen later already is left alone, and not told of
        return list(_unlike(("facts", len(self.recordings), counted), ("conflicting", asked, came)))

    def told(self, answer: Any) -> list[Told]:
        return []


def any_call(chance: random.Random) -> Asked:
    """Return a call: mostly one question."""
    drawn = chance.random()
    if drawn < 0.80:
        return Check(any_question(chance))
    if drawn < 0.90:
        several = chance.randint(1, _MOST_IN_A_BATCH)
        return Batch([any_question(chance) for _ in range(several)])
    if drawn < 0.98:
        return Page(chance.randrange(SUBJECTS))
    later = datetime(2020, 1, 1, tzinfo=UTC) + timedelta(seconds=chance.randrange(10_000_000))
    return Rewrite(
        chance.sample(range(RECORDINGS), chance.randint(1, 5)),
        later.isoformat().replace("+00:00", "Z"),
    )


def asking(about: Question) -> Any:
    """Return the message of one question."""
    return question(
        subject_name(about.subject),
        recording_name(about.recording),
        action=about.action,
        context={"purpose_of_use": about.purpose},
    )


def unrecorded(told: Iterable[Told], records: Iterable[Any]) -> list[Told]:
    """Return what was told and is not in *records* just so."""
    missing = {each.decision_id: each for each in told}
    for record in records:
        one = missing.get(str(record.get("decision_id")))
        if one is not None and all(
            record.get(name) == value
            for name, value in one._asdict().items()
            if name != "reason" or value is not None
        ):
            del missing[one.decision_id]
    return list(missing.values())


def _told(answer: Any) -> Told:
    effect, reason = outcome_of(answer)
    return Told(
        answer.decision_id,
        answer.request_id,
        answer.subject_id,
        answer.recording_id,
        _action(answer),
        effect,
        reason,
    )


def _faults(about: Question, answer: Any, request_id: str) -> Iterator[str]:
    """Yield each thing that shows that *answer* is not to *about*."""
    return _unlike(
        ("request_id", request_id, answer.request_id),
        ("subject_id", subject_name(about.subject), answer.subject_id),
        ("recording_id", recording_name(about.recording), answer.recording_id),
        ("action", about.action, _action(answer)),
        ("outcome", about.outcome, outcome_of(answer)),
    )


def _unlike(*compared: tuple[str, Any, Any]) -> Iterator[str]:
    for name, asked, came in compared:
        if asked != came:
            yield f"{name}: asked {asked}, came {came}"


def _action(answer: Any) -> str:
    return str(vocabulary_pb2.Action.Name(answer.action)).removeprefix("ACTION_")

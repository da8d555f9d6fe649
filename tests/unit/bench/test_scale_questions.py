"""What is asked at each size is alike, and an answer that is not exactly right is found."""

from __future__ import annotations

from collections import Counter
from itertools import islice

import pytest

from authz_service.api.v1 import recording_access_pb2 as pb
from authz_service.api.v1 import vocabulary_pb2 as words
from bench.http2 import Question
from bench.load import Call
from bench.questions import Check
from bench.scale.answers import Asked, Bond, Page, reason_of
from bench.scale.asking import (
    batch_check_of,
    check_of,
    list_check_of,
    problem_of,
    subjects_check_of,
)
from bench.scale.samples import Sample, mixed, sample_of, size_for
from bench.scale.world import World, recording_id

DECISION_ID = "019adf00-0000-7000-8000-000000000000"
SMALL, LARGE = World(10_000), World(300_000)
OWN = Asked("p0", 7, words.PURPOSE_OF_USE_PATRQT, words.REASON_RULE_ALLOWED)


@pytest.fixture(scope="module")
def samples() -> tuple[Sample, Sample]:
    """What is asked of a small and of a large world."""
    size = size_for(SMALL)
    return sample_of(SMALL, size, 50), sample_of(LARGE, size, 50)


def test_nobody_comes_up_twice_in_what_is_cold(samples: tuple[Sample, Sample]) -> None:
    """A question is cold only where nothing in it was in an earlier one."""
    for world, sample in zip((SMALL, LARGE), samples, strict=True):
        owners = Counter(world.patient_of(one.number) for one in (*sample.walked, *sample.cached))
        asking = Counter(one.subject for one in sample.walked if one.subject.startswith("p"))
        assert set(owners.values()) == set(asking.values()) == {1}


def test_the_circle_is_longer_than_the_cache(samples: tuple[Sample, Sample]) -> None:
    """Else what is cold the first time would be held the second time."""
    size = size_for(SMALL)

    for sample in samples:
        assert len(sample.walked) > size.cache_entries * 1.5
        assert len(sample.cached) + 50 * len(sample.cached_lists) < size.cache_entries
        assert 50 * len(sample.walked_lists) > size.cache_entries


def test_every_size_is_asked_the_same_mixture(samples: tuple[Sample, Sample]) -> None:
    """Growth would say nothing if larger registries were asked easier questions."""
    small, large = samples
    kinds = [Counter((one.purpose, one.reason) for one in each.walked) for each in samples]

    assert len(small.walked) == pytest.approx(len(large.walked), rel=0.05)
    for kind in (
        (words.PURPOSE_OF_USE_PATRQT, words.REASON_RULE_ALLOWED),
        (words.PURPOSE_OF_USE_PATRQT, words.REASON_NO_RULE_MATCHED),
        (words.PURPOSE_OF_USE_TREAT, words.REASON_RULE_ALLOWED),
        (words.PURPOSE_OF_USE_FAMRQT, words.REASON_RULE_ALLOWED),
    ):
        assert kinds[0][kind] == pytest.approx(kinds[1][kind], rel=0.25)
    assert all(len(page.recordings) == 50 for page in large.cached_lists + large.walked_lists)


def test_equal_shares_are_four_of_five() -> None:
    taken = list(islice(mixed(["held"], ["a", "b"]), 10))

    assert taken == ["held"] * 4 + ["a"] + ["held"] * 4 + ["b"]


@pytest.mark.parametrize(
    ("number", "bond", "reason"),
    [
        pytest.param(1, Bond.OWN, words.REASON_RULE_ALLOWED, id="own"),
        pytest.param(1, Bond.NONE, words.REASON_NO_RULE_MATCHED, id="stranger"),
        pytest.param(13, Bond.OWN, words.REASON_RULE_ALLOWED, id="own-sealed"),
        pytest.param(13, Bond.ATTENDED, words.REASON_SEALED, id="sealed"),
        pytest.param(29, Bond.GUARDIAN, words.REASON_CONFIDENTIAL_FROM_PROXY, id="confidential"),
        pytest.param(77, Bond.OWN, words.REASON_LEGAL_HOLD_FROZEN, id="frozen"),
        pytest.param(333, Bond.OWN, words.REASON_RECORDING_QUARANTINED, id="quarantined"),
        pytest.param(401, Bond.OWN, words.REASON_FACTS_CONFLICT, id="in-conflict"),
        pytest.param(601, Bond.OWN, words.REASON_FACTS_INCOMPLETE, id="nobody-attended"),
    ],
)
def test_what_closes_a_recording_is_the_reason(
    number: int, bond: Bond, reason: words.Reason.ValueType
) -> None:
    assert reason_of(number, bond) == reason


def answered(**changed: object) -> pb.CheckAccessResponse:
    """Return the right answer to `OWN`, but for what is *changed*."""
    fields: dict[str, object] = {
        "effect": words.EFFECT_ALLOW,
        "reason": words.REASON_RULE_ALLOWED,
        "subject_id": "p0",
        "recording_id": recording_id(7),
        "action": words.ACTION_VIEW,
        "facts_revision": 3,
        "decision_id": DECISION_ID,
        **changed,
    }
    return pb.CheckAccessResponse(**fields)  # type: ignore[arg-type]  # by name


def call(known: object, answer: bytes | None) -> Call:
    """Return a call that has ended."""
    return Call(Question(b"", known), answer, 0.0, in_time=True)


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"effect": words.EFFECT_DENY}, id="denied"),
        pytest.param({"reason": words.REASON_ALLOWED}, id="other-reason"),
        pytest.param({"subject_id": "p1"}, id="other-subject"),
        pytest.param({"recording_id": recording_id(8)}, id="other-recording"),
        pytest.param({"facts_revision": 4}, id="other-revision"),
        pytest.param({"decision_id": ""}, id="no-decision-id"),
    ],
)
def test_a_check_that_is_not_exactly_right_is_found(changed: dict[str, object]) -> None:
    """A benchmark that takes any answer measures how fast the service is wrong."""
    wrong, right = answered(**changed), answered()

    assert check_of(3)(call(OWN, wrong.SerializeToString())).problem
    assert check_of(3)(call(OWN, right.SerializeToString())).problem is None


def test_a_call_without_an_answer_is_wrong() -> None:
    checks: tuple[Check, ...] = (
        check_of(3), batch_check_of(3), list_check_of(3), subjects_check_of(3),
    )  # fmt: skip
    known = (OWN, [OWN], Page("s", (), is_last=True), (OWN, ()))

    assert all(check(call(each, None)).problem for check, each in zip(checks, known, strict=True))


def test_one_wrong_item_makes_a_batch_wrong() -> None:
    def batch(second: pb.CheckAccessResponse) -> bytes:
        answers = [answered(), second]
        return pb.BatchCheckAccessResponse(
            results=[pb.BatchCheckAccessResult(evaluated=True, answer=each) for each in answers]
        ).SerializeToString()

    check = batch_check_of(3)

    assert check(call([OWN, OWN], batch(answered()))).problem is None
    assert check(call([OWN, OWN], batch(answered(effect=words.EFFECT_DENY)))).problem
    assert check(call([OWN], batch(answered()))).problem


@pytest.mark.parametrize(
    ("rows", "token", "is_right"),
    [
        pytest.param(("r1", "r2"), "more", True, id="right"),
        pytest.param(("r2", "r1"), "more", False, id="another-order"),
        pytest.param(("r1",), "more", False, id="one-missing"),
        pytest.param(("r1", "r2"), "", False, id="ended-too-early"),
    ],
)
def test_a_page_of_recordings_is_right_in_order_and_end(
    rows: tuple[str, ...], token: str, *, is_right: bool
) -> None:
    answer = pb.ListRecordingsResponse(
        recordings=[pb.ListedRecording(recording_id=each) for each in rows],
        next_page_token=token,
        decision_id=DECISION_ID,
        facts_revision=3,
        subject_id="s",
    )

    found = list_check_of(3)(
        call(Page("s", ("r1", "r2"), is_last=False), answer.SerializeToString())
    )

    assert (found.problem is None) is is_right


@pytest.mark.parametrize(
    ("rows", "is_right"),
    [
        pytest.param(("s1", "s2"), True, id="right"),
        pytest.param(("s1",), False, id="one-missing"),
        pytest.param(("s1", "s2", "s3"), False, id="one-too-many"),
    ],
)
def test_a_page_of_subjects_holds_whoever_may_and_nobody_else(
    rows: tuple[str, ...], *, is_right: bool
) -> None:
    answer = pb.ListSubjectsResponse(
        subjects=[pb.ListedSubject(subject_id=each) for each in rows],
        decision_id=DECISION_ID,
        facts_revision=3,
        recording_id=recording_id(7),
    )

    found = subjects_check_of(3)(call((OWN, ("s1", "s2")), answer.SerializeToString()))

    assert (found.problem is None) is is_right


def test_while_facts_arrive_any_revision_is_right() -> None:
    assert problem_of(OWN, answered(facts_revision=99), None) == ""
    assert problem_of(OWN, answered(effect=words.EFFECT_DENY), None)

"""One question and many: no answer before its record, one policy, one time, one revision."""

from __future__ import annotations

import asyncio
from itertools import count

import pytest

from authz_service.operations import active_policy
from authz_service.operations.active_policy import ActivePolicy
from authz_service.operations.batch_check_access import BatchCheckAccess, BatchOutcome, Semantics
from authz_service.operations.check_access import CheckAccess
from authz_service.operations.ports import FactsQuestion, LoadedPolicy
from authz_service.operations.records import DecisionRecord
from authz_service.pdp.errors import JournalUnavailableError, PolicyNotReadyError
from authz_service.pdp.facts import Facts
from authz_service.pdp.model import AccessRequest, Effect, Reason
from tests.unit.operations.fakes import (
    CONTEXT,
    NOON,
    QUESTION,
    FakeJournal,
    FakeRuleset,
    FakeSource,
    Heard,
    StoppedClock,
    quick_journal,
)


class Asked:
    """The two operations over fakes."""

    def __init__(self, source: FakeSource, journal: FakeJournal) -> None:
        self.clock, self.heard = StoppedClock(), Heard()
        self.policy = ActivePolicy(self.clock)
        self.put_in_force("old")
        numbers = count()
        plugs = {"clock": self.clock, "observer": self.heard}
        ids = {"new_id": lambda: f"d{next(numbers)}"}
        self.check = CheckAccess(self.policy, source, journal, **plugs, **ids)  # type: ignore[arg-type]  # one dict for both
        self.batch = BatchCheckAccess(self.policy, source, journal, **plugs, **ids)  # type: ignore[arg-type]  # one dict for both

    def put_in_force(self, revision: str) -> None:
        self.policy.activate(LoadedPolicy(FakeRuleset(revision), 1, 0))
        self.clock.asked = 0

    async def one(self) -> DecisionRecord:
        return await self.check(QUESTION, CONTEXT, at_least=0, started_ns=0)

    async def revision(self, *, many: bool) -> str:
        answer = (await self.many(QUESTION)).records[0] if many else await self.one()
        return answer.policy_revision

    async def many(
        self, *questions: AccessRequest | None, semantics: Semantics = Semantics.EXECUTE_ALL
    ) -> BatchOutcome:
        return await self.batch(questions, CONTEXT, semantics=semantics, at_least=0, started_ns=0)


async def test_no_answer_leaves_before_its_record_is_on_the_disk() -> None:
    journal = FakeJournal()
    asked = Asked(FakeSource(), journal)

    answer = asyncio.create_task(asked.one())
    await journal.arrived.wait()
    for _ in range(10):
        await asyncio.sleep(0)
    assert not answer.done()
    journal.synced.set()
    record = await answer

    assert journal.lines == [[record]]
    assert (record.decision.effect, record.decision.reason) == (Effect.DENY, Reason.SUBJECT_UNKNOWN)
    assert (record.decision_id, record.evaluated_at, record.facts_revision) == ("d0", NOON, 7)
    assert asked.heard.decisions == [("DENY", "SUBJECT_UNKNOWN", "VIEW")]


@pytest.mark.parametrize("when", ["at-the-append", "on-its-way-to-the-disk"])
async def test_no_record_no_answer(when: str) -> None:
    journal = FakeJournal(refusal="full" if when == "at-the-append" else "")
    asked = Asked(FakeSource(), journal)

    answer = asyncio.create_task(asked.one())
    if when != "at-the-append":
        await journal.arrived.wait()
        journal.refusal = "full"
        journal.synced.set()

    with pytest.raises(JournalUnavailableError, match="full"):
        await answer


@pytest.mark.parametrize("many", [False, True], ids=["one", "batch"])
async def test_a_question_is_judged_by_the_policy_in_force_at_its_time(*, many: bool) -> None:
    """The policy is swapped while the facts are on their way: its time comes after that."""
    source = FakeSource(hold=asyncio.Event())
    asked = Asked(source, quick_journal())

    answer = asyncio.create_task(asked.revision(many=many))
    await source.arrived.wait()
    asked.put_in_force("new")
    assert source.hold is not None
    source.hold.set()

    assert await answer == "new"


@pytest.mark.parametrize("many", [False, True], ids=["one", "batch"])
@pytest.mark.parametrize("when", ["before-it-comes", "while-its-facts-are-on-their-way"])
async def test_nothing_is_judged_while_the_policy_is_held(when: str, *, many: bool) -> None:
    """What waited is judged by the new policy, on facts that were asked for after the hold."""
    source = FakeSource(hold=asyncio.Event())
    assert source.hold is not None
    asked = Asked(source, quick_journal())
    asked.clock.asked = 0
    if when == "before-it-comes":
        asked.policy.hold()
    answer = asyncio.create_task(asked.revision(many=many))
    if when != "before-it-comes":
        await source.arrived.wait()
        asked.policy.hold()
        source.hold.set()
    for _ in range(20):
        await asyncio.sleep(0)
    assert asked.clock.asked == 0
    asked_before = len(source.asked)
    source.hold.set()
    asked.put_in_force("new")
    asked.policy.release()

    assert await answer == "new"
    assert len(source.asked) == asked_before + 1


async def test_what_the_cache_has_is_not_judged_while_the_policy_is_held() -> None:
    """It may be as old as the hold is long: facts are asked for again."""
    source = FakeSource(remembered=Facts(None, None, None, revision=6))
    asked = Asked(source, quick_journal())
    before = await asked.one()
    asked.policy.hold()
    asked.clock.asked = 0

    answer = asyncio.create_task(asked.one())
    for _ in range(20):
        await asyncio.sleep(0)
    assert (asked.clock.asked, source.asked) == (0, [])
    asked.put_in_force("new")
    asked.policy.release()
    after = await answer

    assert (before.facts_revision, after.facts_revision) == (6, 7)
    assert after.policy_revision == "new"


async def test_a_hold_that_never_ends_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(active_policy, "_HOLD_SECONDS", 0.01)
    journal = quick_journal()
    asked = Asked(FakeSource(), journal)
    asked.policy.hold()

    with pytest.raises(PolicyNotReadyError, match="about to be put in force"):
        await asked.one()

    assert journal.lines == []


async def test_without_a_policy_there_is_no_answer() -> None:
    asked = Asked(FakeSource(), quick_journal())
    empty = CheckAccess(
        ActivePolicy(StoppedClock()),
        FakeSource(),
        quick_journal(),
        clock=asked.clock,
        observer=asked.heard,
        new_id=lambda: "d",
    )

    with pytest.raises(PolicyNotReadyError):
        await empty(QUESTION, CONTEXT, at_least=0, started_ns=0)


async def test_a_batch_is_one_line_at_one_time_and_asks_for_each_pair_once() -> None:
    source, journal = FakeSource(), quick_journal()
    asked = Asked(source, journal)

    outcome = await asked.many(QUESTION, None, QUESTION)

    assert [list(outcome.records)] == journal.lines
    assert asked.clock.asked == 1
    assert source.asked == [[FactsQuestion("ana", "ra1")]]
    assert [record.decision.reason for record in outcome.records] == [
        Reason.SUBJECT_UNKNOWN,
        Reason.INVALID_REQUEST,
        Reason.SUBJECT_UNKNOWN,
    ]
    assert len({record.decision_id for record in outcome.records}) == 3
    assert asked.heard.decisions[1] == ("DENY", "INVALID_REQUEST", "UNSPECIFIED")


@pytest.mark.parametrize(
    ("semantics", "evaluated"),
    [
        (Semantics.EXECUTE_ALL, 3),
        (Semantics.DENY_ON_FIRST_DENY, 1),
        (Semantics.ALLOW_ON_FIRST_ALLOW, 3),
    ],
)
async def test_a_batch_stops_where_it_was_told_to(semantics: Semantics, evaluated: int) -> None:
    asked = Asked(FakeSource(), quick_journal())

    outcome = await asked.many(QUESTION, None, QUESTION, semantics=semantics)

    assert len(outcome.records) == evaluated


async def test_a_batch_that_is_not_recorded_is_not_answered() -> None:
    asked = Asked(FakeSource(), FakeJournal(refusal="full"))

    with pytest.raises(JournalUnavailableError):
        await asked.many(QUESTION)

"""One question and many: no answer before its record, one policy, one time, one revision."""

from __future__ import annotations

import asyncio
from itertools import count

import pytest

from authz_service.operations.active_policy import ActivePolicy
from authz_service.operations.batch_check_access import BatchCheckAccess, BatchOutcome, Semantics
from authz_service.operations.check_access import CheckAccess
from authz_service.operations.ports import FactsQuestion, LoadedPolicy
from authz_service.operations.records import DecisionRecord
from authz_service.pdp.errors import JournalUnavailableError, PolicyNotReadyError
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


async def test_a_question_is_judged_by_the_policy_under_which_it_began() -> None:
    """The policy is swapped while the facts are on their way."""
    source = FakeSource(hold=asyncio.Event())
    asked = Asked(source, quick_journal())

    answer = asyncio.create_task(asked.one())
    await source.arrived.wait()
    asked.put_in_force("new")
    assert source.hold is not None
    source.hold.set()

    assert (await answer).policy_revision == "old"
    assert (await asked.one()).policy_revision == "new"


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

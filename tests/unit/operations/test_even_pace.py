"""Denials without a reason leave at one pace, judged before and recorded after."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from time import perf_counter_ns
from typing import Any

import pytest

from authz_service.operations.active_policy import ActivePolicy
from authz_service.operations.batch_check_access import BatchCheckAccess, Semantics
from authz_service.operations.check_access import CheckAccess
from authz_service.operations.even_pace import QUESTION_NS, EvenPace
from authz_service.operations.list_recordings import ListOutcome, ListRecordings
from authz_service.operations.lists import ListRequest
from authz_service.operations.page_tokens import PageTokens
from authz_service.operations.ports import LoadedPolicy
from authz_service.operations.records import DecisionRecord
from authz_service.pdp.model import (
    AccessRequest,
    Action,
    Condition,
    Effect,
    PurposeOfUse,
    Relation,
    Situation,
)
from authz_service.pdp.ruleset import PolicyReading, RuleMatch
from tests.unit.operations.fakes import CONTEXT, NOON, Heard, StoppedClock, quick_journal
from tests.unit.operations.ward import Ward, patient, recorded, staff

MS = 1_000_000


@pytest.mark.parametrize(
    ("elapsed_ms", "step"),
    [
        pytest.param(0.0, 1, id="at-once"),
        pytest.param(7.0, 1, id="in-memory-or-loaded"),
        pytest.param(19.5, 1, id="just-in-time"),
        pytest.param(21.0, 2, id="too-late-for-the-first"),
        pytest.param(63.0, 4, id="far-too-late"),
    ],
)
async def test_an_answer_waits_for_the_next_step_from_its_arrival(
    elapsed_ms: float, step: int
) -> None:
    pace = EvenPace(20)
    started = perf_counter_ns() - round(elapsed_ms * MS)

    await pace.keep(started)

    late_ms = (perf_counter_ns() - started) / MS - step * 20
    assert 0 <= late_ms < 20


async def test_when_an_answer_was_ready_makes_no_difference() -> None:
    """Also below a millisecond, which is as fine as the loop's own timers are."""
    pace = EvenPace(5)
    lateness: dict[float, list[float]] = {0.1: [], 0.6: [], 1.4: [], 3.9: []}

    for _ in range(40):
        for elapsed_ms, late in lateness.items():
            started = perf_counter_ns() - round(elapsed_ms * MS)
            await pace.keep(started)
            late.append((perf_counter_ns() - started) / MS % 5)

    soonest = [min(late) for late in lateness.values()]
    assert max(soonest) < 0.3, soonest  # with the loop's own timers, above 3


async def test_a_step_of_nothing_waits_for_nothing() -> None:
    """Not for one turn of the loop."""
    kept = EvenPace(0).keep(perf_counter_ns())

    with pytest.raises(StopIteration):
        kept.send(None)


async def test_many_questions_have_longer_steps() -> None:
    """How many there are is the caller's own choice and no secret."""
    started = perf_counter_ns()

    await EvenPace(5).keep(started, 101)

    assert perf_counter_ns() - started >= 5 * MS + 100 * QUESTION_NS


async def test_whoever_is_cancelled_while_waiting_leaves_nothing_behind() -> None:
    pace = EvenPace(2)
    waits = [asyncio.create_task(pace.keep(perf_counter_ns())) for _ in range(3)]
    await asyncio.sleep(0)

    waits[1].cancel()
    ended = await asyncio.gather(*waits, return_exceptions=True)

    assert [type(one) for one in ended] == [type(None), asyncio.CancelledError, type(None)]


class Rules:
    """Owners may; who attended may with two factors."""

    revision = "old"

    def match(self, situation: Situation) -> RuleMatch | None:
        attends = {Relation.ATTENDING} <= situation.relations
        assured = attends and Condition.MFA in situation.conditions
        allows = assured or Relation.OWNER in situation.relations
        return RuleMatch(Effect.ALLOW, "own") if allows else None

    def open_relations(
        self, action: Action, purpose_of_use: PurposeOfUse, impossible: frozenset[Condition]
    ) -> frozenset[Relation]:
        return frozenset(Relation)

    def explain(self, situation: Situation) -> PolicyReading:
        return PolicyReading(situation.roles, ())


@dataclass
class Held:
    """Keeps for how many questions it was asked, and waits until it is let go."""

    kept: list[int] = field(default_factory=list)
    let_go: asyncio.Event = field(default_factory=asyncio.Event)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    async def keep(self, started_ns: int, questions: int = 1) -> None:
        self.kept.append(questions)
        self.arrived.set()
        await self.let_go.wait()


class Asked:
    """The three operations over a ward; their ids say how many there were before."""

    def __init__(self) -> None:
        self.pace, self.journal, self.clock = Held(), quick_journal(), StoppedClock()
        self.ids = count()
        ward = Ward(patient("ana"), patient("bea"), staff("finch"), *recorded("r1", "ana", 1))
        policy = ActivePolicy(self.clock)
        policy.activate(LoadedPolicy(Rules(), 1, 0))
        plugs: Any = {"clock": self.clock, "observer": Heard(), "new_id": self._new_id}
        self.check = CheckAccess(policy, ward, self.journal, **plugs)
        self.batch = BatchCheckAccess(policy, ward, self.journal, **plugs)
        self.list = ListRecordings(
            policy,
            ward,
            self.journal,
            candidates=ward,
            tokens=PageTokens(b"k" * 32, "recordings"),
            **plugs,
        )

    def _new_id(self) -> str:
        return f"d{next(self.ids)}"

    async def of(self, *requests: AccessRequest | None, plain: bool = True) -> list[DecisionRecord]:
        """Ask one question by itself and many in a batch; return what is answered."""
        pace = self.pace if plain else None
        more: Any = {"at_least": 0, "started_ns": 0, "pace": pace}
        if len(requests) == 1 and requests[0] is not None:
            return [await self.check(requests[0], CONTEXT, **more)]
        semantics = Semantics.EXECUTE_ALL
        return list((await self.batch(requests, CONTEXT, semantics=semantics, **more)).records)

    async def page(self, subject_id: str) -> ListOutcome:
        request = ListRequest(subject_id, Action.LIST, PurposeOfUse.PATRQT)
        return await self.list(request, CONTEXT, at_least=0, started_ns=0, pace=self.pace)


OWNED = AccessRequest("ana", "r1", Action.VIEW, PurposeOfUse.PATRQT)
STRANGE = AccessRequest("bea", "r1", Action.VIEW, PurposeOfUse.PATRQT)
UNKNOWN = AccessRequest("bea", "r2", Action.VIEW, PurposeOfUse.PATRQT)
STEP_UP = AccessRequest("finch", "r1", Action.VIEW, PurposeOfUse.TREAT)


@pytest.mark.parametrize(
    "requests",
    [
        pytest.param((STRANGE,), id="denied-by-the-policy"),
        pytest.param((UNKNOWN,), id="unknown"),
        pytest.param((STRANGE, UNKNOWN, UNKNOWN), id="batch"),
        pytest.param((OWNED, STEP_UP, None, STRANGE), id="batch-with-one"),
    ],
)
async def test_a_denial_without_a_reason_is_judged_then_held_then_named_and_recorded(
    requests: tuple[AccessRequest | None, ...],
) -> None:
    """Its id, which holds a time, is made when it leaves: it does not tell when it was ready."""
    asked = Asked()

    answer = asyncio.create_task(asked.of(*requests))
    await asked.pace.arrived.wait()
    asked.clock.instant += timedelta(seconds=1)
    made_before = next(asked.ids)
    assert (asked.pace.kept, asked.journal.lines) == ([len(requests)], [])
    asked.pace.let_go.set()
    records = await answer

    assert asked.journal.lines == [records]
    assert all(int(one.decision_id[1:]) > made_before for one in records)
    assert {one.evaluated_at for one in records} == {NOON}


@pytest.mark.parametrize(
    ("requests", "plain"),
    [
        pytest.param((OWNED,), True, id="allowed"),
        pytest.param((STEP_UP,), True, id="step-up"),
        pytest.param((OWNED, STEP_UP, None), True, id="batch-without-secrets"),
        pytest.param((STRANGE,), False, id="caller-may-explain"),
        pytest.param((STRANGE, UNKNOWN), False, id="batch-and-caller-may-explain"),
    ],
)
async def test_what_tells_its_reason_is_not_held(
    requests: tuple[AccessRequest | None, ...], *, plain: bool
) -> None:
    asked = Asked()

    records = await asked.of(*requests, plain=plain)

    assert asked.pace.kept == []
    assert [one.decision_id for one in records] == [f"d{n}" for n in range(len(requests))]


async def test_an_empty_page_is_held_and_one_with_rows_is_not() -> None:
    asked = Asked()

    full = await asked.page("ana")
    assert (len(full.rows), asked.pace.kept) == (1, [])
    empty = asyncio.create_task(asked.page("bea"))
    await asked.pace.arrived.wait()
    assert len(asked.journal.lines) == 1
    asked.pace.let_go.set()

    assert (await empty).rows == ()
    assert len(asked.journal.lines) == 2


async def test_who_leaves_while_a_denial_is_held_is_told_nothing_and_nothing_is_recorded() -> None:
    asked = Asked()
    answer = asyncio.create_task(asked.of(STRANGE))
    await asked.pace.arrived.wait()

    answer.cancel()

    with pytest.raises(asyncio.CancelledError):
        await answer
    assert asked.journal.lines == []

"""An explanation is recorded before it leaves, rests on what was asked for, and opens nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from authz_service.operations.active_policy import ActivePolicy
from authz_service.operations.explain_access import ExplainAccess, Explained, NoHistory
from authz_service.operations.ports import FactsQuestion, HistorySource, LoadedPolicy
from authz_service.operations.records import DecisionRecord, RecordKind
from authz_service.operations.writes import Tenants
from authz_service.pdp.assembly import World
from authz_service.pdp.entities import Entity
from authz_service.pdp.entity_words import FactKind
from authz_service.pdp.errors import (
    HistoryGoneError,
    InvalidRequestError,
    JournalUnavailableError,
)
from authz_service.pdp.facts import Fact, FactReference, Facts
from authz_service.pdp.model import Effect, Reason
from tests.unit.operations.fakes import (
    CONTEXT,
    NOON,
    FakeJournal,
    FakeSource,
    StoppedClock,
    quick_journal,
)
from tests.unit.pdp.pdp_story import EVERYTHING, REQUEST, SOUND, SOURCES

KNOWN: list[Fact[Any]] = [
    Fact(one, SOURCES.get(fact.kind, "desk"), NOON, 3)
    for one in SOUND
    for fact in [Fact(one, "", NOON)]
]
YESTERDAY = NOON - timedelta(days=1)


def facts_of(known: Sequence[Fact[Any]], revision: int = 7) -> Facts:
    """Return what the question rests on."""
    found = World(known).facts_for(REQUEST.subject_id, REQUEST.recording_id)
    return found._replace(revision=revision)


@dataclass
class Kept:
    """A source that holds what there is now."""

    facts: Facts
    revision: int = 7

    def cached(self, question: FactsQuestion, at_least: int) -> Facts | None:
        return self.facts

    async def facts_for(self, questions: Sequence[FactsQuestion], at_least: int) -> Sequence[Facts]:
        return [self.facts for _ in questions]


@dataclass
class Stored:
    """Facts with who said so."""

    facts: list[Fact[Any]] = field(default_factory=lambda: list(KNOWN))

    async def read(
        self, references: Sequence[FactReference], *, within: Tenants = None
    ) -> tuple[Sequence[Fact[Entity]], int]:
        by_name = {FactReference(one.kind, one.entity.id): one for one in self.facts}
        return [by_name[each] for each in references if each in by_name], 9


@dataclass
class Past:
    """What was known then; nothing is kept of the time before yesterday."""

    facts: Facts
    asked: list[tuple[FactsQuestion, datetime]] = field(default_factory=list)

    async def facts_as_of(self, question: FactsQuestion, as_of: datetime) -> Facts:
        self.asked.append((question, as_of))
        if as_of < YESTERDAY:
            raise HistoryGoneError("it begins yesterday")
        return self.facts


class Desk:
    """The operation over a story."""

    def __init__(
        self,
        known: Sequence[Fact[Any]] = KNOWN,
        history: HistorySource | None = None,
        journal: FakeJournal | None = None,
    ) -> None:
        self.journal, clock = journal or quick_journal(), StoppedClock()
        policy = ActivePolicy(clock)
        policy.activate(LoadedPolicy(EVERYTHING, 1, 0))
        self.stored = Stored()
        self._explain = ExplainAccess(
            policy,
            Kept(facts_of(known)),
            self.journal,
            history=history or NoHistory(),
            stored=self.stored,
            clock=clock,
            new_id=lambda: "d1",
        )

    async def why(self, **options: Any) -> Explained:
        return await self._explain(REQUEST, CONTEXT, **{"at_least": 0, "started_ns": 0, **options})


async def test_an_explanation_is_recorded_as_one() -> None:
    """The answer that a check would get, on record as EXPLAINED, at the revision of its facts."""
    desk = Desk()

    record, explanation = await desk.why()

    assert desk.journal.lines == [[record]]
    assert isinstance(record, DecisionRecord)
    assert (record.kind, record.as_of, record.facts_revision) == (RecordKind.EXPLAINED, None, 7)
    assert record.decision == explanation.decision
    assert explanation.decision.effect is Effect.ALLOW


async def test_without_a_record_there_is_no_explanation() -> None:
    with pytest.raises(JournalUnavailableError):
        await Desk(journal=FakeJournal(refusal="full")).why()


async def test_facts_that_do_not_carry_who_said_so_are_read_with_it() -> None:
    """Of people, tenants and containments; what was written since is not what was looked at."""
    desk = Desk()
    named = {each.reference: each for each in (await desk.why()).explanation.facts}
    assert named[FactReference(FactKind.SUBJECT, "ana")].source == "desk"

    desk.stored.facts = [
        Fact(one.entity, "another", NOON, 8) if one.kind is FactKind.SUBJECT else one
        for one in KNOWN
    ]
    later = {each.reference: each for each in (await desk.why()).explanation.facts}

    assert later[FactReference(FactKind.SUBJECT, "ana")].source == ""
    assert later[FactReference(FactKind.TENANT, "clinic")].revision == 3


async def test_as_of_an_instant_it_rests_on_what_was_known_then() -> None:
    """By those facts, judged at that instant; the record says which, and when it was asked."""
    history = Past(facts_of([], revision=2))
    desk = Desk(history=history)

    record, explanation = await desk.why(as_of=YESTERDAY)

    assert history.asked == [(FactsQuestion("ana", "rec"), YESTERDAY)]
    assert explanation.decision.reason is Reason.SUBJECT_UNKNOWN
    assert (record.as_of, record.evaluated_at) == (YESTERDAY, NOON)
    assert record.facts_revision == 2


@pytest.mark.parametrize(
    ("options", "words"),
    [
        pytest.param({"as_of": NOON + timedelta(microseconds=1)}, "after now", id="future"),
        pytest.param({"as_of": YESTERDAY, "at_least": 1}, "at_least_facts", id="two-states"),
    ],
)
async def test_an_instant_that_cannot_be_asked_for_is_refused(
    options: dict[str, Any], words: str
) -> None:
    desk = Desk(history=Past(facts_of([])))

    with pytest.raises(InvalidRequestError) as refused:
        await desk.why(**options)

    (violation,) = refused.value.violations
    assert violation.field == "as_of"
    assert words in violation.description
    assert desk.journal.lines == []


async def test_what_is_no_longer_kept_is_said_to_be_gone() -> None:
    desk = Desk(history=Past(facts_of([])))

    with pytest.raises(HistoryGoneError):
        await desk.why(as_of=YESTERDAY - timedelta(days=1))

    assert desk.journal.lines == []


async def test_a_caller_of_another_tenant_is_told_the_answer_alone() -> None:
    """Neither facts nor rules nor whose it is; the record holds all of it."""
    record, explanation = await Desk().why(within=frozenset({"elsewhere"}))

    assert record.decision.patient_id == "ana"
    assert explanation.decision.patient_id is None
    assert (explanation.facts, explanation.policy, explanation.nearest) == ((), None, None)
    assert explanation.relations == ()


async def test_an_appointment_of_another_tenant_is_told_to_no_bound_caller() -> None:
    """The recording and its patient are the caller's; the appointment that it names is not."""
    elsewhere = [
        replace(one, entity=replace(one.entity, tenant_id="elsewhere"))
        if one.kind is FactKind.CONSULTATION
        else one
        for one in KNOWN
    ]
    desk = Desk()
    desk._explain._facts = Kept(facts_of(elsewhere))

    _, explanation = await desk.why(within=frozenset({"clinic"}))

    assert explanation.decision.reason is Reason.FACTS_CONFLICT
    assert (explanation.facts, explanation.nearest) == ((), None)


async def test_a_caller_of_the_tenant_is_told_all() -> None:
    _, explanation = await Desk().why(within=frozenset({"clinic", "elsewhere"}))

    assert explanation.decision.patient_id == "ana"
    assert explanation.policy is not None


async def test_what_nobody_knows_is_explained_too() -> None:
    desk = Desk()
    desk._explain._facts = FakeSource()

    _, explanation = await desk.why()

    assert explanation.decision.reason is Reason.SUBJECT_UNKNOWN
    assert explanation.facts == ()

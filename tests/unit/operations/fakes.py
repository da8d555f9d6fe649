"""Typed fakes of the ports, held at exactly the point that a test wants."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from authz_service.operations.ports import FactsQuestion, LoadedPolicy
from authz_service.operations.records import CallContext, Record
from authz_service.operations.writes import (
    Erasure,
    Resolution,
    Tenants,
    ToDelete,
    ToWrite,
    WriteOutcome,
)
from authz_service.pdp.entities import Entity
from authz_service.pdp.errors import JournalUnavailableError, PolicyRefusedError
from authz_service.pdp.facts import Fact, FactReference, Facts
from authz_service.pdp.model import (
    AccessRequest,
    Action,
    Condition,
    PurposeOfUse,
    Relation,
    Situation,
)
from authz_service.pdp.ruleset import PolicyReading, RuleMatch

NOON = datetime(2020, 6, 9, 12, tzinfo=UTC)
CONTEXT = CallContext("loopback", "req-1", None)
QUESTION = AccessRequest("ana", "ra1", Action.VIEW, PurposeOfUse.PATRQT)


class StoppedClock:
    """Time stands still unless it is moved, and counts who asks for it."""

    def __init__(self) -> None:
        self.asked = 0
        self.instant = NOON

    def now(self) -> datetime:
        self.asked += 1
        return self.instant


@dataclass
class FakeRuleset:
    """Denies everything under a revision."""

    revision: str = "old"

    def match(self, situation: Situation) -> RuleMatch | None:
        return None

    def open_relations(
        self, action: Action, purpose_of_use: PurposeOfUse, impossible: frozenset[Condition]
    ) -> frozenset[Relation]:
        return frozenset()

    def explain(self, situation: Situation) -> PolicyReading:
        return PolicyReading(situation.roles, ())


@dataclass
class FakeSource:
    """Nothing is known, at a revision; held until let go where `hold` is set.

    Attributes:
        remembered: What the cache has of every question.
    """

    revision: int = 7
    hold: asyncio.Event | None = None
    remembered: Facts | None = None
    asked: list[list[FactsQuestion]] = field(default_factory=list)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    def cached(self, question: FactsQuestion, at_least: int) -> Facts | None:
        return self.remembered

    async def facts_for(self, questions: Sequence[FactsQuestion], at_least: int) -> Sequence[Facts]:
        self.asked.append(list(questions))
        self.arrived.set()
        if self.hold is not None:
            await self.hold.wait()
        return [Facts(None, None, None, revision=self.revision) for _ in questions]


@dataclass
class FakeJournal:
    """Takes records, and is on the disk when `synced` is set; or fails."""

    synced: asyncio.Event = field(default_factory=asyncio.Event)
    refusal: str = ""
    lines: list[list[Record]] = field(default_factory=list)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    def require_usable(self) -> None:
        if self.refusal:
            raise JournalUnavailableError(self.refusal)

    def append(self, records: Sequence[Record]) -> Awaitable[None]:
        if self.refusal:
            raise JournalUnavailableError(self.refusal)
        self.lines.append(list(records))
        self.arrived.set()
        return self._on_the_disk()

    async def _on_the_disk(self) -> None:
        await self.synced.wait()
        if self.refusal:
            raise JournalUnavailableError(self.refusal)


def quick_journal() -> FakeJournal:
    """Return a journal whose disk takes no time."""
    journal = FakeJournal()
    journal.synced.set()
    return journal


@dataclass
class Heard:
    """Hears everything that observers hear."""

    decisions: list[tuple[str, str, str]] = field(default_factory=list)
    lists: list[tuple[str, int, int]] = field(default_factory=list)
    alarms: list[str] = field(default_factory=list)
    loads: list[tuple[str, str]] = field(default_factory=list)
    facts: dict[str, int] = field(default_factory=dict)
    conflicts: int = 0

    def decided(self, effect: str, reason: str, action: str, seconds: float) -> None:
        self.decisions.append((effect, reason, action))

    def listed(self, action: str, rows: int, candidates: int, seconds: float) -> None:
        self.lists.append((action, rows, candidates))

    def alarmed(self, reason: str) -> None:
        self.alarms.append(reason)

    def policy_loaded(self, outcome: str, revision: str) -> None:
        self.loads.append((outcome, revision))

    def facts_written(self, outcome: str, count: int) -> None:
        self.facts[outcome] = self.facts.get(outcome, 0) + count

    def conflicts_found(self, count: int) -> None:
        self.conflicts += count


@dataclass
class FakePolicySource:
    """Returns what a test says, or refuses."""

    revision: str = "new"
    refused: PolicyRefusedError | None = None
    loads: int = 0

    def load(self) -> LoadedPolicy:
        self.loads += 1
        if self.refused is not None:
            raise self.refused
        return LoadedPolicy(FakeRuleset(self.revision), 1, 0)


@dataclass
class FakeRegistry:
    """Takes every write, and says that a recording is in conflict."""

    conflicting: tuple[str, ...] = ()

    async def write(
        self, facts: ToWrite, *, actor: str, within: Tenants = None, may_review: bool = True
    ) -> WriteOutcome:
        deeds = (("containment/k1",), (), ("grant/g1", "delegation/d1"))
        return WriteOutcome(8, len(facts), 2, 1, self.conflicting, (), *deeds)

    async def delete(
        self, references: ToDelete, *, actor: str, within: Tenants = None, may_review: bool = True
    ) -> WriteOutcome:
        return WriteOutcome(9, len(references))

    async def read(
        self, references: Sequence[FactReference], *, within: Tenants = None
    ) -> tuple[Sequence[Fact[Entity]], int]:
        return (), 9

    async def resolve(
        self, recording_id: str, *, actor: str, reason: str, within: Tenants = None
    ) -> Resolution:
        return Resolution(10, "ana")

    async def erase(
        self, patient_id: str, *, actor: str, reason: str, within: Tenants = None
    ) -> Erasure:
        return Erasure(11, 4, 1)

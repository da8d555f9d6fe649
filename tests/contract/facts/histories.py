"""Registries whose every state is copied, by any few steps under a clock that jumps."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from authz_service.facts.database import Access, Database
from authz_service.facts.pages import all_facts
from authz_service.facts.revisions import state
from authz_service.facts.sql_registry import SqlRegistry
from authz_service.pdp.assembly import World
from authz_service.pdp.entities import (
    Block,
    Consent,
    Containment,
    ContainmentScope,
    Delegation,
    Grant,
    Relationship,
    Tenant,
)
from authz_service.pdp.entity_words import (
    ConsentScope,
    ConsentStatus,
    DelegationKind,
    FactKind,
    GrantKind,
    RelationshipKind,
)
from authz_service.pdp.errors import NotFoundError, StateError
from authz_service.pdp.facts import Fact, FactReference, Facts
from authz_service.pdp.model import Instant
from tests.contract.facts.registry_cases import (
    ACTOR,
    STARTED,
    attendance,
    consultation,
    fact,
    recording,
    subject,
)
from tests.contract.facts.test_load_equals_world import entities, in_order, recordings

STARTS = datetime(2022, 1, 1, tzinfo=UTC)


@dataclass
class MovedClock:
    """A clock that stands where a test puts it."""

    at: Instant = STARTS

    def now(self) -> Instant:
        return self.at


@dataclass(frozen=True)
class State:
    """A copy of all facts after one write.

    Attributes:
        revision: What the write made.
        recorded_at: What the clock of its writer said.
        facts: All facts.
        disputed: The recordings that were disputed.
    """

    revision: int
    recorded_at: Instant
    facts: tuple[Fact[Any], ...] = ()
    disputed: frozenset[str] = frozenset()

    def facts_for(self, subject_id: str, recording_id: str) -> Facts:
        """Return what a question rested on, as the plainly right reading gives it."""
        found = World(self.facts, self.disputed).facts_for(subject_id, recording_id)
        return in_order(found)._replace(revision=self.revision)


@dataclass(frozen=True)
class Step:
    """Facts written, or all facts of some kinds deleted, or a dispute resolved, some time later.

    Attributes:
        after: How far the clock moves before, in seconds, which may be back.
        facts: What is written.
        deleted: Of which kinds everything is deleted.
        resolved: Which recording's dispute is resolved.
    """

    after: int
    facts: tuple[Any, ...] = ()
    deleted: frozenset[FactKind] = frozenset()
    resolved: str | None = None


def founding() -> Step:
    """Return the step that writes two recordings, and facts about their linked patients."""
    first, other = "p1", "p2"
    return Step(
        1,
        (
            Tenant("uk", "Europe/London"),
            subject(first, same_person_as=("p3",)),
            subject(other, family=("p4",), birth_date=STARTED.date()),
            subject("p3"),
            subject("p4", same_person_as=("p3",)),
            *(consultation(who, f"c{n}") for n, who in ((1, first), (2, other))),
            *(
                recording(who, f"r{n}", consultation_id=f"c{n}")
                for n, who in ((1, first), (2, other))
            ),
            *(attendance(who, f"r{n}") for n, who in ((1, first), (2, other))),
            *(
                Delegation(f"x{n}", DelegationKind.CARER, who, "p4")
                for n, who in ((1, first), (2, other))
            ),
            Block("x1", first, "p4"),
            Relationship("x1", RelationshipKind.REFERRAL, other, "p3"),
            Grant("x1", GrantKind.SHARE, "p3", patient_id=first),
            Grant("x2", GrantKind.SHARE, "p4", recording_id="r2"),
            Consent("x1", first, ConsentScope.TRAINING, ConsentStatus.ACTIVE),
            Containment("set", ContainmentScope(tenant_id="uk"), set_by="eve"),
        ),
    )


_seconds = st.sampled_from((0, 1, 1, 60, 3600, 86_400, -1, -90, -7200))
steps = st.lists(
    st.one_of(
        st.builds(Step, _seconds, st.lists(entities, min_size=1, max_size=12).map(tuple)),
        st.builds(Step, _seconds, st.lists(entities, min_size=1, max_size=3).map(tuple)),
        st.builds(
            Step, _seconds, deleted=st.frozensets(st.sampled_from(FactKind), min_size=1, max_size=2)
        ),
        st.builds(Step, _seconds, resolved=recordings),
    ),
    min_size=2,
    max_size=9,
)


@dataclass
class History:
    """A registry, and a copy of each of its states."""

    url: str
    clock: MovedClock = field(default_factory=MovedClock)
    states: list[State] = field(
        default_factory=lambda: [State(0, datetime(1970, 1, 1, tzinfo=UTC))]
    )
    days: int = 0

    def take(self, taken: Sequence[Step]) -> None:
        """Take steps, and copy what is stored after each."""
        asyncio.run(self._take(taken))

    def at(self, instant: Instant) -> State:
        """Return the last state before the first write that was recorded after *instant*."""
        found = self.states[0]
        for one in self.states:
            if one.recorded_at > instant:
                break
            found = one
        return found

    async def _take(self, taken: Sequence[Step]) -> None:
        registry = SqlRegistry(self.url, self.clock)
        for step in taken:
            self.clock.at += timedelta(seconds=step.after)
            try:
                await self._do(registry, step)
            except (StateError, NotFoundError):
                continue  # refused whole, and nothing changed
            finally:
                self._copy()
        registry.close()

    async def _do(self, registry: SqlRegistry, step: Step) -> None:
        """Do what *step* says; each fact is observed later than all before it."""
        self.days += 1
        if step.resolved is not None:
            await registry.resolve(step.resolved, actor=ACTOR, reason="looked at it")
        elif step.facts:
            once = {one.id + type(one).__name__: one for one in step.facts}
            seen = [replace(fact(one), observed_at=self._observed()) for one in once.values()]
            await registry.write(seen, actor=ACTOR)
        else:
            stored = [fact for fact in self.states[-1].facts if fact.kind in step.deleted]
            await registry.delete(
                [FactReference(one.kind, one.entity.id) for one in stored], actor=ACTOR
            )

    def _observed(self) -> Instant:
        return datetime(2023, 1, 1, tzinfo=UTC) + timedelta(days=self.days)

    def _copy(self) -> None:
        """Copy what is stored, if that is another state."""
        database = Database(self.url, lock_seconds=2, pool=1)
        with database.transaction(Access.READ) as session:
            revision, _nonce = state(session)
            if revision > self.states[-1].revision:
                facts = tuple(one for kind in FactKind for one in all_facts(session, kind))
                rows = session.rows("SELECT recording_id FROM attributions WHERE disputed")
                disputed = frozenset(row[0] for row in rows)
                self.states.append(State(revision, self.clock.at, facts, disputed))
        database.close()

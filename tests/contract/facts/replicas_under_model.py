"""Two replicas on one registry, and a model that reads everything anew after each change."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import count
from typing import Any

from authz_service.facts.database import Access, Database
from authz_service.facts.opening import cache_over
from authz_service.facts.pages import all_facts
from authz_service.facts.revisions import state
from authz_service.facts.sql_reader import SqlReader
from authz_service.facts.sql_registry import SqlRegistry
from authz_service.operations.active_policy import ActivePolicy
from authz_service.operations.check_access import CheckAccess
from authz_service.operations.ports import LoadedPolicy
from authz_service.operations.records import CallContext, DecisionRecord, Record
from authz_service.pdp.assembly import World
from authz_service.pdp.corroboration import corroborated_patient_id
from authz_service.pdp.decide import decide
from authz_service.pdp.entities import Entity, Recording
from authz_service.pdp.entity_words import FactKind
from authz_service.pdp.errors import InvalidRequestError, NotFoundError, StateError
from authz_service.pdp.facts import Fact, FactReference
from authz_service.pdp.model import AccessRequest, Decision, Instant
from authz_service.pdp.ruleset import Ruleset
from authz_service.telemetry.meters import FactsMeter
from tests.contract.facts.registry_cases import SystemClock
from tests.property.pdp_worlds import INSTANTS, NOW, as_fact

REFUSED = (StateError, InvalidRequestError, NotFoundError)
"""How a change ends that the rules of writing forbid; the registry stays as it was."""
_ASKER = CallContext("loopback", "r")


class MovingClock:
    """The service's clock, which jumps when it is told to."""

    def __init__(self) -> None:
        self.at = NOW

    def now(self) -> Instant:
        return self.at


class _Nothing:
    """Keeps and counts nothing."""

    def require_usable(self) -> None: ...

    async def append(self, records: Sequence[Record]) -> None: ...

    def decided(self, effect: str, reason: str, action: str, seconds: float) -> None: ...


class ModelledReplica:
    """A cache over the registry, the operation on it, and a writer."""

    def __init__(self, url: str, ruleset: Ruleset, clock: MovingClock, staleness: float) -> None:
        self.staleness = staleness
        self.registry = SqlRegistry(url, clock)
        self._reader = SqlReader(url, SystemClock())
        self._facts = cache_over(
            self._reader,
            staleness_seconds=staleness,
            max_entries=100,
            metrics=FactsMeter(),
            on_usable=lambda _usable, _why: None,
        )
        policy, numbers = ActivePolicy(clock), count()
        policy.activate(LoadedPolicy(ruleset, 1, 0))
        self._check = CheckAccess(
            policy,
            self._facts,
            _Nothing(),
            clock=clock,
            observer=_Nothing(),
            new_id=lambda: f"d{next(numbers)}",
        )

    async def start(self) -> None:
        await self._facts.start()

    async def check(self, request: AccessRequest, at_least: int) -> DecisionRecord:
        return await self._check(request, _ASKER, at_least=at_least, started_ns=0)

    async def close(self) -> None:
        await self._facts.close()
        self._reader.close()
        self.registry.close()


@dataclass
class State:
    """What the model knows of one revision.

    Attributes:
        facts: Every fact.
        disputed: The recordings whose owner was changed after all facts had agreed.
        known_at: When its write was answered, in monotonic seconds.
    """

    facts: list[Fact[Any]]
    disputed: frozenset[str]
    known_at: float = field(default_factory=time.monotonic)

    def decision(self, request: AccessRequest, ruleset: Ruleset, now: Instant) -> Decision:
        """Judge *request* on all facts, read one by one."""
        facts = World(self.facts, self.disputed).facts_for(request.subject_id, request.recording_id)
        return decide(request, facts, ruleset, now)

    def patients(self) -> dict[str, str]:
        """Return whose each recording is on which all facts agree."""
        world = World(self.facts, self.disputed)
        found = {}
        for fact in self.facts:
            if isinstance(fact.entity, Recording):
                about = world.facts_for("nobody", fact.entity.id)
                if about.recording is not None:
                    who = corroborated_patient_id(about.recording, about.patient)
                    if who:
                        found[fact.entity.id] = who
        return found


class Model:
    """The replicas, and every state that the registry has been in."""

    def __init__(self, url: str, ruleset: Ruleset, stalenesses: Sequence[float]) -> None:
        self.clock = MovingClock()
        self._loop = asyncio.new_event_loop()
        self._ruleset = ruleset
        self._database = Database(url, lock_seconds=2, pool=1)
        self._hours = count()
        self._established: dict[str, str] = {}
        self.replicas = [ModelledReplica(url, ruleset, self.clock, s) for s in stalenesses]
        for replica in self.replicas:
            self._run(replica.start())
        self.revision, facts = self._everything()
        self.states = {self.revision: State(facts, frozenset())}

    def close(self) -> None:
        for replica in self.replicas:
            self._run(replica.close())
        self._loop.close()
        self._database.close()

    def write(self, through: int, entities: Sequence[Entity], actor: str) -> None:
        """Write what may be written, in one write."""
        seen_at = INSTANTS[0] + timedelta(hours=next(self._hours))
        facts = {
            (type(one), one.id): replace(as_fact(one), observed_at=seen_at) for one in entities
        }
        registry = self.replicas[through].registry
        self._change(lambda: registry.write(list(facts.values()), actor=actor))

    def delete(self, through: int, reference: FactReference) -> None:
        """Delete a fact, unless it denies something."""
        registry = self.replicas[through].registry
        self._change(lambda: registry.delete([reference], actor="ada"))

    def resolve(self, through: int, recording_id: str) -> None:
        """Resolve a dispute, if there is one and the facts agree."""
        registry = self.replicas[through].registry
        resolved = self._change(
            lambda: registry.resolve(recording_id, actor="ada", reason="seen to")
        )
        if resolved is not None:
            self._established[recording_id] = resolved.patient_id
            now = self.states[self.revision]
            now.disputed -= {recording_id}

    def check(self, through: int, request: AccessRequest, *, carries: bool) -> None:
        """Ask one replica, and hold its answer against the model."""
        replica = self.replicas[through]
        sent_at = time.monotonic()
        record = self._run(replica.check(request, self.revision if carries else 0))
        expected = self.states[record.facts_revision].decision(
            request, self._ruleset, self.clock.now()
        )
        oldest = self._revision_known_at(sent_at - replica.staleness)
        assert record.facts_revision >= (self.revision if carries else oldest)
        assert record.decision == expected

    def _change(self, change: Callable[[], Any]) -> Any:
        """Make a change; note the state that it leaves. Returns None where it was refused."""
        before = self.states[self.revision]
        try:
            outcome = self._run(change())
        except REFUSED:
            outcome = None
        revision, facts = self._everything()
        if outcome is None or revision == self.revision:
            assert revision == self.revision
            assert facts == before.facts
            return None
        for recording_id, who in before.patients().items():
            self._established.setdefault(recording_id, who)
        taken = {
            fact.entity.id
            for fact in facts
            if isinstance(fact.entity, Recording)
            and fact.revision == revision
            and self._established.get(fact.entity.id, fact.entity.owner_id) != fact.entity.owner_id
        }
        self.revision = revision
        self.states[revision] = State(facts, before.disputed | taken)
        return outcome

    def _revision_known_at(self, instant: float) -> int:
        """Return the last revision whose write had been answered at *instant*."""
        return max(
            (revision for revision, one in self.states.items() if one.known_at < instant),
            default=0,
        )

    def _everything(self) -> tuple[int, list[Fact[Any]]]:
        """Read the registry whole."""
        with self._database.transaction(Access.READ) as session:
            facts = [fact for kind in FactKind for fact in all_facts(session, kind)]
            return state(session)[0], facts

    def _run(self, work: Any) -> Any:
        return self._loop.run_until_complete(work)

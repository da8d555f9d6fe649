"""Break-glass opened: judged, written and recorded, and only then answered."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from time import perf_counter_ns
from typing import NamedTuple, Protocol

import structlog

from authz_service.operations.active_policy import ActivePolicy
from authz_service.operations.check_access import NewId
from authz_service.operations.emergency_ports import EmergencyRegistry, Opening
from authz_service.operations.even_pace import Pace
from authz_service.operations.ports import Clock, FactsSource, Journal
from authz_service.operations.records import CallContext, EmergencyRecord
from authz_service.pdp.emergency import (
    APPROVER,
    OPENED_ACTIONS,
    OpeningRequest,
    judge_opening,
)
from authz_service.pdp.entities import Grant
from authz_service.pdp.entity_words import GrantKind
from authz_service.pdp.errors import FactsUnavailableError, JournalUnavailableError
from authz_service.pdp.facts import Fact
from authz_service.pdp.model import Decision, Effect, Instant
from authz_service.pdp.reasons import is_explained_to_all

log = structlog.get_logger(__name__)

_ATTEMPTS = 5
"""How often an opening is judged anew because what it rests on has changed on the way."""


class EmergencyObserver(Protocol):
    """Hears of every opening."""

    def emergency_decided(self, effect: str, reason: str) -> None:
        """Count an opening or a refusal. Must not raise or block."""
        ...


class Asked(NamedTuple):
    """A question for emergency access, and how it came.

    Attributes:
        request: The question.
        actor: Who is answerable.
        source: The system as which the grant is written.
        at_least: The facts revision that the answer must rest on at least; 0 for any.
        started_ns: When the call arrived, on `time.perf_counter_ns`.
    """

    request: OpeningRequest
    actor: str
    source: str
    at_least: int
    started_ns: int


@dataclass(frozen=True, slots=True)
class Judged:
    """An answer, before it is recorded.

    Attributes:
        decision: The answer.
        at: When it was judged.
        policy_revision: The policy that judged.
        facts_revision: The state on which it rests; where a grant was written, the one it is in.
        grant: What was opened; None where nothing was.
    """

    decision: Decision
    at: Instant
    policy_revision: str
    facts_revision: int
    grant: Grant | None = None


class Opened(NamedTuple):
    """An answer: its record, and what was opened; None where nothing was."""

    record: EmergencyRecord
    grant: Grant | None


class OpenEmergency:
    """Opens access, or refuses it.

    It is judged on the event loop, by one ruleset at one time, on facts read past any cache; a
    grant is written only while these facts are what they were.
    """

    def __init__(  # noqa: PLR0913  # every plug of an opening
        self,
        policy: ActivePolicy,
        facts: FactsSource,
        registry: EmergencyRegistry,
        journal: Journal,
        *,
        clock: Clock,
        observer: EmergencyObserver,
        new_id: NewId,
        minutes: int,
    ) -> None:
        """Judge by *policy*, write to *registry*, record in *journal*.

        Args:
            policy: By which is judged.
            facts: Says whether the registry can be relied on, and how far it is.
            registry: Facts and grants.
            journal: Where answers are recorded.
            clock: The service's time.
            observer: Hears of every opening.
            new_id: Makes ids of decisions and grants.
            minutes: How long an access is open.
        """
        self._policy = policy
        self._facts = facts
        self._registry = registry
        self._journal = journal
        self._clock = clock
        self._observer = observer
        self._new_id = new_id
        self._open_for = timedelta(minutes=minutes)

    async def __call__(self, asked: Asked, context: CallContext, pace: Pace | None) -> Opened:
        """Open access or refuse it; the answer is on stable storage by then.

        Args:
            asked: The question.
            context: Who asks.
            pace: At which a refusal leaves whose reason is not told; None for a caller that may
                explain.

        Raises:
            PolicyNotReadyError: There is no policy, or it cannot be evaluated.
            FactsUnavailableError: The registry is not to be relied on.
            RevisionAheadError: The registry has not reached the revision asked for.
            JournalUnavailableError: The answer could not be recorded; the grant may be there.
        """
        await self._facts.facts_for((), asked.at_least)
        judged = await self._judged(asked)
        elapsed = (perf_counter_ns() - asked.started_ns) // 1000
        if pace is not None and not is_explained_to_all(judged.decision.reason):
            await pace.keep(asked.started_ns)  # and only then the id, which holds the time
        record = EmergencyRecord(
            self._new_id(),
            judged.at,
            context,
            asked.actor,
            asked.request,
            judged.decision,
            judged.grant.id if judged.grant else None,
            judged.grant.valid_to if judged.grant else None,
            judged.policy_revision,
            judged.facts_revision,
            elapsed,
        )
        await self._recorded(record)
        self._observer.emergency_decided(judged.decision.effect, judged.decision.reason)
        return Opened(record, judged.grant)

    async def _judged(self, asked: Asked) -> Judged:
        """Judge until the facts stay what they are for as long as it takes to write a grant.

        Raises:
            FactsUnavailableError: They never do.
        """
        request = asked.request
        known = await self._registry.known(request.subject_id, request.patient_id)
        for _ in range(_ATTEMPTS):
            await self._policy.let_go()
            ruleset, now = self._policy.ruleset, self._clock.now()
            decision = judge_opening(request, known, ruleset, now)
            if decision.effect is not Effect.ALLOW:
                return Judged(decision, now, ruleset.revision, known.facts.revision)
            grant = self._grant(request, now)
            opening = Opening(Fact(grant, asked.source, now), known, asked.actor)
            revision, known = await self._registry.open(opening)
            if revision is not None:
                return Judged(decision, now, ruleset.revision, revision, grant)
        raise FactsUnavailableError("what an opening rests on changes faster than it is judged")

    def _grant(self, request: OpeningRequest, now: Instant) -> Grant:
        """Return what opens access from *now* on."""
        return Grant(
            f"em-{self._new_id()}",
            GrantKind.EMERGENCY,
            request.subject_id,
            patient_id=request.patient_id,
            actions=OPENED_ACTIONS,
            valid_from=now,
            valid_to=now + self._open_for,
            ground=request.ground,
            reason=request.reason,
            approved_by=APPROVER,
        )

    async def _recorded(self, record: EmergencyRecord) -> None:
        """Record an answer; say in the log what was opened and could not be recorded."""
        try:
            await self._journal.append((record,))
        except JournalUnavailableError:
            if record.grant_id is not None:
                log.error(  # noqa: TRY400  # which access, and not where it was
                    "emergency_unrecorded",
                    grant_id=record.grant_id,
                    subject_id=record.request.subject_id,
                    patient_id=record.request.patient_id,
                    caller=record.context.caller,
                    request_id=record.context.request_id,
                    facts_revision=record.facts_revision,
                )
            raise

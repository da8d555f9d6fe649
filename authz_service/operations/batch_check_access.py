"""Many questions at once: one ruleset, one state of the facts, one time, one journal line."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum, auto
from time import perf_counter_ns

from authz_service.operations.active_policy import ActivePolicy
from authz_service.operations.check_access import NewId
from authz_service.operations.even_pace import Pace
from authz_service.operations.ports import (
    Clock,
    DecisionObserver,
    FactsQuestion,
    FactsSource,
    Journal,
)
from authz_service.operations.records import CallContext, DecisionRecord
from authz_service.pdp.decide import decide
from authz_service.pdp.facts import Facts
from authz_service.pdp.model import AccessRequest, Decision, Effect, Instant, Reason
from authz_service.pdp.reasons import is_explained_to_all
from authz_service.pdp.ruleset import Ruleset

MAX_BATCH = 1000
"""Most items in one batch."""

_MALFORMED = Decision(Effect.DENY, Reason.INVALID_REQUEST)
_NO_ACTION = "UNSPECIFIED"


class Semantics(Enum):
    """When a batch stops."""

    EXECUTE_ALL = auto()
    DENY_ON_FIRST_DENY = auto()
    ALLOW_ON_FIRST_ALLOW = auto()


_STOPS_AT = {
    Semantics.EXECUTE_ALL: None,
    Semantics.DENY_ON_FIRST_DENY: Effect.DENY,
    Semantics.ALLOW_ON_FIRST_ALLOW: Effect.ALLOW,
}


class BatchCheckAccess:
    """Answers many questions."""

    def __init__(  # every plug of the hot path
        self,
        policy: ActivePolicy,
        facts: FactsSource,
        journal: Journal,
        *,
        clock: Clock,
        observer: DecisionObserver,
        new_id: NewId,
    ) -> None:
        """Judge by *policy* on *facts*, record in *journal*."""
        self._policy = policy
        self._facts = facts
        self._journal = journal
        self._clock = clock
        self._observer = observer
        self._new_id = new_id

    async def __call__(
        self,
        requests: Sequence[AccessRequest | None],
        context: CallContext,
        *,
        semantics: Semantics,
        at_least: int,
        started_ns: int,
        pace: Pace | None = None,
    ) -> BatchOutcome:
        """Return the decisions on *requests*, in order, as far as the batch was evaluated.

        Args:
            requests: The questions, 1 to `MAX_BATCH`; None for one that is malformed, which is a
                denial.
            context: Who asks.
            semantics: When to stop.
            at_least: The facts revision that the answers must rest on at least.
            started_ns: When the call arrived, on `time.perf_counter_ns`.
            pace: At which all leaves if there is a denial in it whose reason is not told; None
                for a caller that may explain.

        Raises:
            PolicyNotReadyError: There is no policy, or it cannot be evaluated.
            FactsUnavailableError: The registry is not to be relied on.
            RevisionAheadError: The registry has not reached *at_least*.
            JournalUnavailableError: The records could not be written, so there is no answer.
        """
        facts = await self._load(requests, at_least)
        ruleset, now = self._policy.ruleset, self._clock.now()
        revision = next(iter(facts.values())).revision if facts else self._facts.revision
        records = []
        for request in requests:
            known = facts[request.subject_id, request.recording_id] if request else None
            decision = _judge(request, known, ruleset, now)
            elapsed = (perf_counter_ns() - started_ns) // 1000
            records.append(
                DecisionRecord(
                    self._new_id(),
                    now,
                    context,
                    request,
                    decision,
                    ruleset.revision,
                    revision,
                    elapsed,
                )
            )
            if decision.effect is _STOPS_AT[semantics]:
                break
        if pace is not None and not all(is_explained_to_all(x.decision.reason) for x in records):
            await pace.keep(started_ns, len(requests))
            records = [x._replace(decision_id=self._new_id()) for x in records]  # they hold times
        await self._journal.append(records)
        self._count(records)
        return BatchOutcome(records, ruleset.revision, revision, now)

    async def _load(
        self, requests: Sequence[AccessRequest | None], at_least: int
    ) -> dict[tuple[str, str], Facts]:
        """Return the facts for every question, each asked for once, all at one revision.

        They are fresh at a moment at which the policy is not held.
        """
        pairs = list(
            dict.fromkeys((x.subject_id, x.recording_id) for x in requests if x is not None)
        )
        questions = [FactsQuestion(*pair) for pair in pairs]
        while True:
            await self._policy.let_go()
            facts = await self._facts.facts_for(questions, at_least)
            if self._policy.held is None:
                return dict(zip(pairs, facts, strict=True))

    def _count(self, records: Sequence[DecisionRecord]) -> None:
        """Count what was decided."""
        for record in records:
            self._observer.decided(
                record.decision.effect,
                record.decision.reason,
                record.request.action if record.request else _NO_ACTION,
                record.elapsed_microseconds / 1_000_000,
            )


class BatchOutcome:
    """What a batch answers.

    Attributes:
        records: The decisions, in the order of the questions, as far as it was evaluated.
        policy_revision: The policy that judged all.
        facts_revision: The state of the registry on which all rest.
        evaluated_at: The instant at which all were judged.
    """

    __slots__ = ("evaluated_at", "facts_revision", "policy_revision", "records")

    def __init__(
        self,
        records: Sequence[DecisionRecord],
        policy_revision: str,
        facts_revision: int,
        evaluated_at: Instant,
    ) -> None:
        """Hold what all decisions share."""
        self.records = records
        self.policy_revision = policy_revision
        self.facts_revision = facts_revision
        self.evaluated_at = evaluated_at


def _judge(
    request: AccessRequest | None, facts: Facts | None, ruleset: Ruleset, now: Instant
) -> Decision:
    """Return the decision on one item; a malformed one is a denial."""
    if request is None or facts is None:
        return _MALFORMED
    return decide(request, facts, ruleset, now)

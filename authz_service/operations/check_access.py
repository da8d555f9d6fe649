"""One question: facts, decision, record, and only then the answer. The hot path."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter_ns

from authz_service.operations.active_policy import ActivePolicy
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
from authz_service.pdp.model import AccessRequest
from authz_service.pdp.reasons import is_explained_to_all

NewId = Callable[[], str]
"""Makes a decision id: a UUIDv7 (RFC 9562, section 5.7), so that ids sort by time."""


class CheckAccess:
    """Answers one question."""

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
        request: AccessRequest,
        context: CallContext,
        *,
        at_least: int,
        started_ns: int,
        pace: Pace | None = None,
    ) -> DecisionRecord:
        """Return the decision on *request*, which is on stable storage by then.

        Args:
            request: The question.
            context: Who asks.
            at_least: The facts revision that the answer must rest on at least; 0 for any.
            started_ns: When the call arrived, on `time.perf_counter_ns`.
            pace: At which a denial leaves whose reason is not told; None for a caller that may
                explain.

        Raises:
            PolicyNotReadyError: There is no policy, or it cannot be evaluated.
            FactsUnavailableError: The registry is not to be relied on.
            RevisionAheadError: The registry has not reached *at_least*.
            JournalUnavailableError: The record could not be written, so there is no answer.
        """
        question = FactsQuestion(request.subject_id, request.recording_id)
        facts = self._facts.cached(question, at_least)
        if facts is None or self._policy.held is not None:
            facts = await self._awaited(question, at_least)
        ruleset, now = self._policy.ruleset, self._clock.now()
        decision = decide(request, facts, ruleset, now)
        elapsed = (perf_counter_ns() - started_ns) // 1000
        if pace is not None and not is_explained_to_all(decision.reason):
            await pace.keep(started_ns)  # and only then the id, which holds the time
        record = DecisionRecord(
            self._new_id(),
            now,
            context,
            request,
            decision,
            ruleset.revision,
            facts.revision,
            elapsed,
        )
        await self._journal.append((record,))
        self._observer.decided(
            decision.effect, decision.reason, request.action, elapsed / 1_000_000
        )
        return record

    async def _awaited(self, question: FactsQuestion, at_least: int) -> Facts:
        """Return facts that are fresh at a moment at which the policy is not held."""
        while True:
            await self._policy.let_go()
            (facts,) = await self._facts.facts_for((question,), at_least)
            if self._policy.held is None:
                return facts

"""Why an answer is what it is: the same facts and the same decision, recorded as EXPLAINED.

An explanation opens nothing: it is for people who ask why, and never counted as an access.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from time import perf_counter_ns
from typing import NamedTuple

from authz_service.operations.active_policy import ActivePolicy
from authz_service.operations.check_access import NewId
from authz_service.operations.ports import (
    Clock,
    FactsQuestion,
    FactsSource,
    HistorySource,
    Journal,
    StoredFacts,
)
from authz_service.operations.records import CallContext, DecisionRecord, RecordKind
from authz_service.operations.writes import Tenants
from authz_service.pdp.errors import InvalidRequestError, Violation
from authz_service.pdp.explain import Explanation, explain
from authz_service.pdp.facts import FactReference, Facts
from authz_service.pdp.looked_at import KnownFact, known
from authz_service.pdp.model import AccessRequest, Instant

AS_OF = "as_of"
"""The field that errors about the instant are about."""


class Explained(NamedTuple):
    """An explanation, with its record.

    Attributes:
        record: The answer, as it is recorded.
        explanation: How it came about.
    """

    record: DecisionRecord
    explanation: Explanation


class NoHistory:
    """Stands where the registry's history would, where none can be read."""

    async def facts_as_of(self, question: FactsQuestion, as_of: Instant) -> Facts:  # noqa: ARG002  # the port's
        """Refuse.

        Raises:
            InvalidRequestError: Always.
        """
        raise InvalidRequestError(
            Violation(AS_OF, "a file of facts has no history; ask a service, or a registry")
        )


class ExplainAccess:
    """Explains the answer to one question."""

    def __init__(  # noqa: PLR0913  # every plug of an explanation
        self,
        policy: ActivePolicy,
        facts: FactsSource,
        journal: Journal,
        *,
        history: HistorySource,
        stored: StoredFacts,
        clock: Clock,
        new_id: NewId,
    ) -> None:
        """Explain by *policy* on *facts*, or those of *history*; record in *journal*."""
        self._policy = policy
        self._facts = facts
        self._journal = journal
        self._history = history
        self._stored = stored
        self._clock = clock
        self._new_id = new_id

    async def __call__(  # the question, who asks, and when
        self,
        request: AccessRequest,
        context: CallContext,
        *,
        at_least: int,
        started_ns: int,
        as_of: Instant | None = None,
        within: Tenants = None,
    ) -> Explained:
        """Return the explanation, whose answer is on stable storage by then.

        Args:
            request: The question.
            context: Who asks.
            at_least: The facts revision that the answer must rest on at least; 0 for any.
            started_ns: When the call arrived, on `time.perf_counter_ns`.
            as_of: Judge at this instant, by what was known then; None for now. The policy is the
                one in force.
            within: The tenants to whose facts the caller is bound; None for all. Of what is known
                of others only the answer is told.

        Raises:
            InvalidRequestError: *as_of* is after now, or goes with *at_least*.
            HistoryGoneError: Nothing is kept of *as_of*.
            PolicyNotReadyError: There is no policy, or it cannot be evaluated.
            FactsUnavailableError: The registry is not to be relied on.
            RevisionAheadError: The registry has not reached *at_least*.
            JournalUnavailableError: The record could not be written, so there is no answer.
        """
        question = FactsQuestion(request.subject_id, request.recording_id)
        await self._policy.let_go()
        facts = await self._facts_of(question, at_least, as_of)
        ruleset, now = self._policy.ruleset, self._clock.now()
        found = explain(request, facts, ruleset, as_of or now)
        explanation = await self._with_sources(_told(found, facts, within), facts.revision)
        record = DecisionRecord(
            self._new_id(),
            now,
            context,
            request,
            found.decision,
            ruleset.revision,
            facts.revision,
            (perf_counter_ns() - started_ns) // 1000,
            RecordKind.EXPLAINED,
            as_of,
        )
        await self._journal.append((record,))
        return Explained(record, explanation)

    async def _facts_of(
        self, question: FactsQuestion, at_least: int, as_of: Instant | None
    ) -> Facts:
        """Return what the answer rests on."""
        if as_of is None:
            while True:
                (facts,) = await self._facts.facts_for((question,), at_least)
                if self._policy.held is None:
                    return facts
                await self._policy.let_go()
        if as_of > self._clock.now():
            raise InvalidRequestError(Violation(AS_OF, "is after now; nothing is known of then"))
        if at_least:
            raise InvalidRequestError(
                Violation(AS_OF, "goes with no at_least_facts_revision: it names a state itself")
            )
        return await self._history.facts_as_of(question, as_of)

    async def _with_sources(self, explanation: Explanation, revision: int) -> Explanation:
        """Return *explanation* with who said so of people, tenants and containments, too.

        Facts in hand do not carry that for these. A stored one is the one that was looked at if
        nothing has been written to it since; of one that changed meanwhile its name stays.
        """
        named = (*explanation.facts, *explanation.changed)
        bare = dict.fromkeys(each.reference for each in named if each.observed_at is None)
        if not bare:
            return explanation
        stored, _ = await self._stored.read(tuple(bare))
        found = {
            FactReference(fact.kind, fact.entity.id): known(fact)
            for fact in stored
            if fact.revision <= revision
        }
        return replace(
            explanation,
            facts=_filled(explanation.facts, found),
            changed=_filled(explanation.changed, found),
        )


def _filled(
    facts: Iterable[KnownFact], found: Mapping[FactReference, KnownFact]
) -> tuple[KnownFact, ...]:
    """Return *facts*, those that are bare as they were *found*."""
    return tuple(
        fact if fact.observed_at is not None else found.get(fact.reference, fact) for fact in facts
    )


def _told(explanation: Explanation, facts: Facts, within: Tenants) -> Explanation:
    """Return *explanation* as a caller that is bound to *within* is told it.

    Where the recording, its appointment or the subject is of another tenant nothing but the answer
    is told.
    """
    if within is None:
        return explanation
    recording = facts.recording
    witnesses = (recording.recording, recording.consultation) if recording else ()
    tenants = {
        *((facts.subject.subject.tenant_id,) if facts.subject else ()),
        *(witness.entity.tenant_id for witness in witnesses if witness),
        *((facts.patient.subject.tenant_id,) if facts.patient else ()),
    }
    if tenants <= within:
        return explanation
    return Explanation(explanation.decision._replace(patient_id=None))

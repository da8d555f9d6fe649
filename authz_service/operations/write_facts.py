"""The verbs of those who write to the registry: each is recorded before it is answered."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Protocol

import structlog

from authz_service.operations.ports import Clock, FactsRegistry, Journal
from authz_service.operations.records import CallContext, EventRecord
from authz_service.operations.under_way import UnderWay
from authz_service.operations.writes import (
    Details,
    Erasure,
    Resolution,
    Tenants,
    ToDelete,
    ToWrite,
    WriteOutcome,
    counts_of,
    deeds_of,
)

log = structlog.get_logger(__name__)

MAX_FACTS = 1000
"""Most facts in one write, deletion or read."""

Change = Callable[..., Awaitable[WriteOutcome]]


class FactsObserver(Protocol):
    """Hears of every write."""

    def facts_written(self, outcome: str, count: int) -> None:
        """Count facts that were ``written``, ``skipped`` or ``unchanged``. Must not raise."""
        ...

    def conflicts_found(self, count: int) -> None:
        """Count recordings that a write left in conflict. Must not raise."""
        ...


class WriteFacts:
    """Writes, deletes and resolves, with an event in the journal for each change.

    A change that has begun goes on to its record even when the caller goes away: what was
    committed and not recorded would be known to nobody.
    """

    def __init__(
        self, registry: FactsRegistry, journal: Journal, *, clock: Clock, observer: FactsObserver
    ) -> None:
        """Write to *registry*, record in *journal*."""
        self._registry = registry
        self._journal = journal
        self._clock = clock
        self._observer = observer
        self._under_way = UnderWay(journal)

    async def finish(self, seconds: float) -> None:
        """Return once every change that has begun is recorded or has failed, or after *seconds*."""
        await self._under_way.finish(seconds)

    async def write(
        self,
        facts: ToWrite,
        *,
        actor: str,
        context: CallContext,
        within: Tenants = None,
        may_review: bool = True,
    ) -> WriteOutcome:
        """Write *facts*, all or none.

        Raises:
            CallerNotAllowedError: A fact is not of the tenants in *within*, or a review changes
                which the caller may not.
            InvalidRequestError: The same fact twice, or one that cannot be.
            StateError: What is stored forbids one of them.
            FactsUnavailableError: The registry cannot be written.
            JournalUnavailableError: The write could not be recorded; it may have been made, and
                may be sent again.
        """
        change = partial(self._registry.write, facts, within=within, may_review=may_review)
        return await self._under_way.to_the_end(self._write(facts, change, actor, context))

    async def _write(
        self, facts: ToWrite, change: Change, actor: str, context: CallContext
    ) -> WriteOutcome:
        """Make the *change* that writes *facts*, count and record."""
        outcome = await change(actor=actor)
        self._observer.facts_written("written", outcome.written)
        self._observer.facts_written("skipped", outcome.skipped)
        self._observer.facts_written("unchanged", outcome.unchanged)
        sources = tuple(sorted({fact.source for fact in facts}))
        named = tuple(f"{fact.kind.value}/{fact.entity.id}" for fact in facts)
        details: Details = (
            *counts_of(outcome),
            ("sources", sources),
            ("references", named),
            *deeds_of(outcome),
        )
        await self._record("facts_written", actor, context, details)
        conflicting = (*outcome.conflicting, *outcome.conflicting_elsewhere)
        if conflicting:
            await self._report_conflicts(conflicting, outcome.revision, actor, context)
        return outcome

    async def delete(
        self,
        references: ToDelete,
        *,
        actor: str,
        context: CallContext,
        within: Tenants = None,
        may_review: bool = True,
    ) -> WriteOutcome:
        """Delete facts, all or none; what is not stored or not of *within* is passed over.

        Raises:
            CallerNotAllowedError: A review would go, which the caller may not.
            StateError: One of them denies something or is evidence, and stays.
            FactsUnavailableError: The registry cannot be written.
            JournalUnavailableError: The deletion could not be recorded; it may have been made.
        """
        change = partial(self._registry.delete, references, within=within, may_review=may_review)
        return await self._under_way.to_the_end(self._delete(references, change, actor, context))

    async def _delete(
        self, references: ToDelete, change: Change, actor: str, context: CallContext
    ) -> WriteOutcome:
        """Make the *change* that deletes *references*, and record."""
        outcome = await change(actor=actor)
        named = tuple(f"{reference.kind.value}/{reference.id}" for reference in references)
        details: Details = (*counts_of(outcome), ("references", named))
        await self._record("facts_deleted", actor, context, details)
        return outcome

    async def resolve(
        self,
        recording_id: str,
        *,
        actor: str,
        reason: str,
        context: CallContext,
        within: Tenants = None,
    ) -> Resolution:
        """Declare that what the facts now say of a recording's patient is right.

        Raises:
            CallerNotAllowedError: The recording is not of the tenants in *within*, or is not known.
            NotFoundError: No fact knows the recording.
            StateError: The facts disagree as they stand, or there is nothing to resolve.
            FactsUnavailableError: The registry cannot be written.
            JournalUnavailableError: The resolution could not be recorded; it may have been made.
        """
        return await self._under_way.to_the_end(
            self._resolve(recording_id, actor, reason, context, within)
        )

    async def _resolve(
        self, recording_id: str, actor: str, reason: str, context: CallContext, within: Tenants
    ) -> Resolution:
        """Resolve and record."""
        digest = hashlib.sha256(reason.encode()).hexdigest()
        resolution = await self._registry.resolve(
            recording_id, actor=actor, reason=reason, within=within
        )
        details: Details = (
            ("recording_id", recording_id),
            ("facts_revision", resolution.revision),
            ("reason_digest", digest),
        )
        await self._record("conflict_resolved", actor, context, details)
        return resolution

    async def erase(
        self,
        patient_id: str,
        *,
        actor: str,
        reason: str,
        context: CallContext,
        within: Tenants = None,
    ) -> Erasure:
        """Erase a patient: tombstones of their facts, no history, no words.

        Raises:
            CallerNotAllowedError: The patient is not of the tenants in *within*, or is not known.
            NotFoundError: No fact knows the patient.
            StateError: Something stands against it, a legal hold for one.
            FactsUnavailableError: The registry cannot be written.
            JournalUnavailableError: The erasure could not be recorded; it may have been made.
        """
        return await self._under_way.to_the_end(
            self._erase(patient_id, actor, reason, context, within)
        )

    async def _erase(
        self, patient_id: str, actor: str, reason: str, context: CallContext, within: Tenants
    ) -> Erasure:
        """Erase and record."""
        erasure = await self._registry.erase(patient_id, actor=actor, reason=reason, within=within)
        details: Details = (
            ("patient_id", patient_id),
            ("facts_revision", erasure.revision),
            ("erased", erasure.erased),
            ("naming", erasure.naming),
            ("reason_digest", hashlib.sha256(reason.encode()).hexdigest()),
        )
        await self._record("person_erased", actor, context, details)
        return erasure

    async def _report_conflicts(
        self, conflicting: tuple[str, ...], revision: int, actor: str, context: CallContext
    ) -> None:
        """Count, record and say which recordings a write left in conflict."""
        self._observer.conflicts_found(len(conflicting))
        details: Details = (("recording_ids", conflicting), ("facts_revision", revision))
        await self._record("conflicts_found", actor, context, details)
        log.warning(
            "conflicts_found",
            facts_revision=revision,
            count=len(conflicting),
            recording_ids=list(conflicting[:10]),
        )

    async def _record(self, event: str, actor: str, context: CallContext, details: Details) -> None:
        """Record one event."""
        await self._journal.append(
            (EventRecord(event, self._clock.now(), context, actor, details),)
        )

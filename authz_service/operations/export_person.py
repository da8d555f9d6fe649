"""The verb of an access request: everything that is stored about a person, out of one snapshot."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager
from typing import NamedTuple, Protocol

from authz_service.operations.ports import Clock, Journal
from authz_service.operations.records import CallContext, EventRecord
from authz_service.operations.writes import Tenants
from authz_service.pdp.entities import Entity
from authz_service.pdp.facts import Fact


class PersonCounts(NamedTuple):
    """How much is stored about a person, at one revision."""

    facts_revision: int
    facts: int
    past_facts: int
    notes: int


class PersonPart(NamedTuple):
    """A part of it, of bounded size.

    Attributes:
        facts: Facts about the person, and those of others that name them.
        past_facts: Earlier versions of such facts.
        notes: What people typed about them, each with the fact beside which it stands.
    """

    facts: tuple[Fact[Entity], ...] = ()
    past_facts: tuple[Fact[Entity], ...] = ()
    notes: tuple[str, ...] = ()


class PersonSnapshot(Protocol):
    """What is stored about one person, held still."""

    @property
    def counts(self) -> PersonCounts:
        """How much there is."""
        ...

    def parts(self) -> AsyncGenerator[PersonPart, None]:
        """Yield all of it, once.

        Raises:
            FactsUnavailableError: The registry does not answer, or it was not taken in time.
        """
        ...


class PersonArchive(Protocol):
    """Where it is found."""

    def opened(
        self, subject_id: str, *, within: Tenants
    ) -> AbstractAsyncContextManager[PersonSnapshot]:
        """Lend what is stored about *subject_id*, as far as it is of the tenants in *within*.

        Raises:
            NotFoundError: Nothing is, or the person is of another tenant.
            LimitExceededError: Too many are lent already.
            FactsUnavailableError: The registry is silent, locked, gone or of another schema.
        """
        ...


class ExportPerson:
    """Reads what is stored about a person, with an event in the journal before any of it leaves."""

    def __init__(self, archive: PersonArchive, journal: Journal, *, clock: Clock) -> None:
        """Read *archive*, record in *journal*."""
        self._archive = archive
        self._journal = journal
        self._clock = clock

    async def __call__(
        self, subject_id: str, *, actor: str, context: CallContext, within: Tenants = None
    ) -> AsyncGenerator[tuple[PersonPart, int], None]:
        """Yield all parts, each with the revision at which it was read; one at least.

        Raises:
            NotFoundError: Nothing is stored about the person, or they are of another tenant.
            LimitExceededError: Too many exports are under way.
            FactsUnavailableError: The registry cannot be read, or a part was not taken in time.
            JournalUnavailableError: The export could not be recorded.
        """
        self._journal.require_usable()
        async with self._archive.opened(subject_id, within=within) as found:
            await self._record(subject_id, found.counts, actor, context)
            async for part in found.parts():
                yield part, found.counts.facts_revision

    async def _record(
        self, subject_id: str, counts: PersonCounts, actor: str, context: CallContext
    ) -> None:
        """Record whose facts go to whom: ids and counts."""
        details = (("subject_id", subject_id), *counts._asdict().items())
        event = EventRecord("person_exported", self._clock.now(), context, actor, details)
        await self._journal.append((event,))

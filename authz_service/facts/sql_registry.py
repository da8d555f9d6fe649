"""The registry for those who write to it: the port of the operations, on SQL."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

import structlog

from authz_service.facts.conflicts import Conflicts, conflicting
from authz_service.facts.database import Access, Database
from authz_service.facts.erasing import erase_person
from authz_service.facts.giving_way import GivingWay
from authz_service.facts.resolving import resolve_dispute
from authz_service.facts.revisions import state
from authz_service.facts.rows import fact_of, stored_rows
from authz_service.facts.service_keys import shared_key
from authz_service.facts.sessions import Session
from authz_service.facts.tenancy import only_within
from authz_service.facts.writing import Leave, Written, delete_facts, write_facts
from authz_service.operations.ports import Clock
from authz_service.operations.writes import (
    Erasure,
    Resolution,
    Tenants,
    ToDelete,
    ToWrite,
    WriteOutcome,
)
from authz_service.pdp.entities import Entity
from authz_service.pdp.errors import FactsUnavailableError
from authz_service.pdp.facts import Fact, FactReference

log = structlog.get_logger(__name__)

_THREADS: Final = 2
_MAX_WAITING: Final = 64
_PAGE_TOKENS: Final = "page-tokens"

Answer = TypeVar("Answer")


class SqlRegistry:
    """Facts in a database, written by one transaction each.

    For one event loop; blocking work runs on two threads of its own. A call that is cancelled has
    either been committed or left no trace.
    """

    def __init__(self, url: str, clock: Clock, *, lock_seconds: float = 2.0) -> None:
        """Describe the registry; nothing is opened yet.

        Args:
            url: ``sqlite:///path`` or ``postgresql+psycopg://…``.
            clock: Tells when a write is recorded.
            lock_seconds: How long to wait for somebody else's write.

        Raises:
            FactsUnavailableError: The URL names no database that this service can use.
        """
        self._database = Database(url, lock_seconds=lock_seconds, pool=_THREADS)
        self._clock = clock
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="facts-registry")
        self._waiting = 0

    @property
    def giving_way(self) -> GivingWay:
        """What its writes wait for before they begin."""
        return self._database.giving_way

    async def write(
        self, facts: ToWrite, *, actor: str, within: Tenants = None, may_review: bool = True
    ) -> WriteOutcome:
        return await self._in_thread(
            lambda: self._change(
                lambda session: write_facts(
                    session,
                    facts,
                    actor=actor,
                    now=self._clock.now(),
                    leave=Leave(within, may_review),
                ),
                within,
            )
        )

    async def delete(
        self, references: ToDelete, *, actor: str, within: Tenants = None, may_review: bool = True
    ) -> WriteOutcome:
        return await self._in_thread(
            lambda: self._change(
                lambda session: delete_facts(
                    session,
                    references,
                    actor=actor,
                    now=self._clock.now(),
                    leave=Leave(within, may_review),
                ),
                within,
            )
        )

    async def read(
        self, references: Sequence[FactReference], *, within: Tenants = None
    ) -> tuple[Sequence[Fact[Entity]], int]:
        return await self._in_thread(lambda: self._read(references, within))

    async def resolve(
        self, recording_id: str, *, actor: str, reason: str, within: Tenants = None
    ) -> Resolution:
        return await self._in_thread(lambda: self._resolve(recording_id, actor, reason, within))

    async def erase(
        self, patient_id: str, *, actor: str, reason: str, within: Tenants = None
    ) -> Erasure:
        return await self._in_thread(lambda: self._erase(patient_id, actor, reason, within))

    async def page_token_key(self) -> bytes:
        """Return the key that signs page tokens: 32 bytes, the same for every replica.

        Raises:
            FactsUnavailableError: The registry is silent, locked, gone or of another schema.
        """
        return await self._in_thread(
            lambda: shared_key(self._database, _PAGE_TOKENS, self._clock.now())
        )

    async def in_transaction(self, access: Access, work: Callable[[Session], Answer]) -> Answer:
        """Return what *work* does in one transaction, on a thread of the registry's own.

        Raises:
            FactsUnavailableError: The registry is silent, locked, read-only or gone, or too many
                are waiting already.
        """

        def done() -> Answer:
            with self._database.transaction(access) as session:
                return work(session)

        return await self._in_thread(done)

    def close(self) -> None:
        """Let what has begun end, and close all connections. Blocks."""
        self._threads.shutdown(wait=True, cancel_futures=True)
        self._database.close()

    async def _in_thread(self, work: Callable[[], Answer]) -> Answer:
        """Run *work* on a thread of the registry's own.

        Raises:
            FactsUnavailableError: Too many are waiting already.
        """
        if self._waiting >= _MAX_WAITING:
            raise FactsUnavailableError("too many calls are waiting for it")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._waiting -= 1

    def _change(self, change: Callable[[Session], Written], within: Tenants) -> WriteOutcome:
        """Make a change in one transaction."""
        with self._database.transaction(Access.WRITE) as session:
            written = change(session)
            return _outcome(written, conflicting(session, written.recordings, within))

    def _read(
        self, references: Sequence[FactReference], within: Tenants
    ) -> tuple[Sequence[Fact[Entity]], int]:
        """Read facts in one snapshot."""
        with self._database.transaction(Access.READ) as session:
            revision, _nonce = state(session)
            found = stored_rows(session, references)
            facts = [
                fact_of(reference.kind, found[reference])
                for reference in references
                if reference in found and found[reference].value is not None
            ]
            return only_within(session, within, facts), revision

    def _resolve(self, recording_id: str, actor: str, reason: str, within: Tenants) -> Resolution:
        """Lift the mark of a recording in one transaction."""
        with self._database.transaction(Access.WRITE) as session:
            return resolve_dispute(
                session,
                recording_id,
                actor=actor,
                reason=reason,
                now=self._clock.now(),
                within=within,
            )

    def _erase(self, patient_id: str, actor: str, reason: str, within: Tenants) -> Erasure:
        """Erase a patient in one transaction."""
        with self._database.transaction(Access.WRITE) as session:
            return erase_person(
                session,
                patient_id,
                actor=actor,
                reason=reason,
                now=self._clock.now(),
                within=within,
            )


def _outcome(written: Written, conflicts: Conflicts) -> WriteOutcome:
    """Return *written* as the port says it, with the recordings in conflict."""
    return WriteOutcome(
        written.revision,
        written.written,
        written.skipped,
        written.unchanged,
        conflicts.told,
        conflicts.elsewhere,
        *written.deeds,
    )

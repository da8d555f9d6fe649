"""The brake on SQL: a thread and a connection of its own, and before all other writers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event, Thread
from typing import Final, TypeVar

import structlog

from authz_service.facts.containing import lift_containment, read_containments, set_containment
from authz_service.facts.database import Access, Database
from authz_service.facts.giving_way import (
    PATIENCE_SECONDS,
    STOP_BLOCKERS,
    WHO_AM_I,
    GivingWay,
)
from authz_service.facts.revisions import state
from authz_service.facts.sessions import Session
from authz_service.operations.containments import ContainmentChange, Demand
from authz_service.operations.ports import Clock
from authz_service.operations.writes import Tenants
from authz_service.pdp.entities import Containment
from authz_service.pdp.errors import FactsUnavailableError
from authz_service.pdp.facts import Fact

log = structlog.get_logger(__name__)

_LOCK_SECONDS: Final = 4.0
"""Longer than ordinary writes wait: of those who give up, the brake is the last."""
_MAX_LISTS: Final = 16

Answer = TypeVar("Answer")


class SqlContainments:
    """Containments in the registry's database. For one event loop.

    Changes have a thread that nothing else uses, on a connection that is open beforehand, and a
    second connection to stop who is in their way; lists have another. A call that is cancelled has
    either been committed or left no trace.
    """

    def __init__(self, url: str, clock: Clock, *, beside: GivingWay) -> None:
        """Describe the registry; nothing is opened yet.

        Args:
            url: Where it is.
            clock: Tells when a change is recorded.
            beside: What the ordinary writes of this process wait for.

        Raises:
            FactsUnavailableError: The URL names no database that this service can use.
        """
        self._database = Database(url, lock_seconds=_LOCK_SECONDS, pool=1)
        self._lists = Database(url, lock_seconds=_LOCK_SECONDS, pool=1)
        self._way = Database(url, lock_seconds=_LOCK_SECONDS, pool=1)
        self._giving_way = beside
        self._clock = clock
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="facts-brake")
        self._list_thread = ThreadPoolExecutor(1, thread_name_prefix="facts-containments")
        self._listing = 0

    async def start(self) -> None:
        """Open the connections of changes, so that they are there when they are needed.

        Raises:
            FactsUnavailableError: The registry is silent, locked, gone or of another schema.
        """
        await self._in(self._thread, self._look)

    async def contain(
        self, fact: Fact[Containment], *, actor: str, within: Tenants = None
    ) -> ContainmentChange:
        return await self._in(
            self._thread,
            lambda: self._change(
                lambda session: set_containment(
                    session, fact, actor=actor, now=self._clock.now(), within=within
                )
            ),
        )

    async def lift(
        self, containment_id: str, demand: Demand, *, within: Tenants = None
    ) -> ContainmentChange:
        return await self._in(
            self._thread,
            lambda: self._change(
                lambda session: lift_containment(
                    session, containment_id, demand, now=self._clock.now(), within=within
                )
            ),
        )

    async def read(self, *, within: Tenants = None) -> tuple[Sequence[Containment], int]:
        if self._listing >= _MAX_LISTS:
            raise FactsUnavailableError("too many calls are waiting for it")
        self._listing += 1
        try:
            return await self._in(self._list_thread, lambda: self._read(within))
        finally:
            self._listing -= 1

    def close(self) -> None:
        """Let what has begun end, and close all connections. Blocks."""
        for thread in (self._thread, self._list_thread):
            thread.shutdown(wait=True, cancel_futures=True)
        for database in (self._database, self._lists, self._way):
            database.close()

    async def _in(self, thread: ThreadPoolExecutor, work: Callable[[], Answer]) -> Answer:
        """Run *work* on *thread*."""
        return await asyncio.get_running_loop().run_in_executor(thread, work)

    def _look(self) -> None:
        """Read the registry's state, over both connections that a change needs."""
        for database in (self._database, self._way):
            with database.connection() as session:
                state(session)

    def _change(self, change: Callable[[Session], ContainmentChange]) -> ContainmentChange:
        """Make a change in one transaction, before those who write anything else."""
        with (
            self._giving_way.urgently(),
            self._database.transaction(Access.URGENT_WRITE) as session,
            self._with_the_way_clear(session),
        ):
            return change(session)

    @contextmanager
    def _with_the_way_clear(self, session: Session) -> Iterator[None]:
        """Have whoever keeps *session* waiting stopped after a while, of whatever replica it is."""
        if session.is_sqlite:
            yield
            return
        (pid,) = session.one(WHO_AM_I) or (0,)
        through = Event()
        watching = Thread(target=self._stop_blockers, args=(pid, through), daemon=True)
        watching.start()
        try:
            yield
        finally:
            through.set()

    def _stop_blockers(self, pid: int, through: Event) -> None:
        """Stop those who block *pid*, until it is *through*."""
        while not through.wait(PATIENCE_SECONDS):
            try:
                with self._way.connection() as session:
                    session.rows(STOP_BLOCKERS, {"pid": pid})
            except FactsUnavailableError as error:
                log.warning("containment_waits", why=str(error))

    def _read(self, within: Tenants) -> tuple[Sequence[Containment], int]:
        """Read all in one snapshot."""
        with self._lists.transaction(Access.READ) as session:
            return read_containments(session, within)

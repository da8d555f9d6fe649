"""Keeps the history as long as an operator wants, in the background and off the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final, TypeVar

import structlog

from authz_service.facts.database import Database
from authz_service.facts.retention import TABLES, Kept, Removed, horizon_at, kept_from, removing
from authz_service.operations.ports import Clock
from authz_service.pdp.errors import FactsUnavailableError

log = structlog.get_logger(__name__)

_LOCK_SECONDS: Final = 1.0
_STATEMENT_SECONDS: Final = 5.0

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class RetentionPace:
    """When history is removed.

    Attributes:
        every_seconds: How long after a round the next begins.
        pause_seconds: How long writes have the registry to themselves between two batches.
    """

    every_seconds: float = 600.0
    pause_seconds: float = 0.05


@dataclass(slots=True)
class HistoryStanding:
    """What is known of the history that is kept.

    Attributes:
        kept: From where on there is history; None where it is not known yet.
        removed: How many rows this process has removed, by table.
    """

    kept: Kept | None = None
    removed: dict[str, int] = field(default_factory=lambda: dict.fromkeys(TABLES, 0))


class FactsRetention:
    """Removes what is older than a number of days, again and again. For one event loop.

    Every process of a service may do so at once: each removes what the others have not.
    """

    def __init__(
        self, url: str, clock: Clock, days: int, pace: RetentionPace | None = None
    ) -> None:
        """Do nothing yet.

        Args:
            url: ``sqlite:///path`` or ``postgresql+psycopg://…``.
            clock: The service's time.
            days: How long history is kept; 0 for ever.
            pace: When it does what.

        Raises:
            FactsUnavailableError: The URL names no database that this service can use.
        """
        self._database = Database(
            url, lock_seconds=_LOCK_SECONDS, statement_seconds=_STATEMENT_SECONDS, pool=1
        )
        self._clock = clock
        self._days = days
        self._pace = pace or RetentionPace()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="facts-retention")
        self._rounds: asyncio.Task[None] | None = None
        self.standing = HistoryStanding()

    def start(self) -> None:
        """Begin, without waiting for anything."""
        self._rounds = asyncio.get_running_loop().create_task(self._run())

    def close(self) -> None:
        """Let the batch that has begun end, and close the connection. Blocks.

        Called from another thread than the event loop's, or after `stop`.
        """
        self._thread.shutdown(wait=True, cancel_futures=True)
        self._database.close()

    async def stop(self) -> None:
        """Begin no further batch."""
        if self._rounds is not None:
            self._rounds.cancel()
            await asyncio.wait([self._rounds])

    async def _run(self) -> None:
        """Go round until stopped."""
        while True:
            try:
                await self._round()
            except FactsUnavailableError as error:
                log.warning("facts_history_not_removed", error=str(error))
            self._database.close()
            await asyncio.sleep(self._pace.every_seconds)

    async def _round(self) -> None:
        """Remove what is too old by now."""
        if self._days:
            horizon = await self._in_thread(
                lambda: horizon_at(self._database, self._clock.now(), self._days)
            )
            await self._remove(removing(self._database, horizon))
        self.standing.kept = await self._in_thread(lambda: kept_from(self._database))

    async def _remove(self, batches: Iterator[Removed]) -> None:
        """Remove batch after batch, with a pause between them."""
        rows = 0
        while (removed := await self._in_thread(lambda: next(batches, None))) is not None:
            self.standing.removed[removed.table] += removed.rows
            rows += removed.rows
            await asyncio.sleep(self._pace.pause_seconds)
        if rows:
            log.info("facts_history_removed", rows=rows)

    async def _in_thread(self, work: Callable[[], Answer]) -> Answer:
        """Run *work* on the thread of retention, which is the only one that uses its connection."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

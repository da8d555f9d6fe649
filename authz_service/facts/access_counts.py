"""Counts emergency accesses for those who watch, on a thread and a connection of its own."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from authz_service.facts.database import Access, Database
from authz_service.facts.emergency import standing_of
from authz_service.operations.emergency_ports import AccessStanding
from authz_service.operations.ports import Clock

_LOCK_SECONDS: Final = 2.0


class SqlAccessCounts:
    """Counts in a registry. For one event loop; nothing is opened before the first count.

    Apart from those who write: a registry that is silent keeps this one waiting, and not them.
    """

    def __init__(self, url: str, clock: Clock) -> None:
        """Describe the registry; what is open now is told by *clock*."""
        self._database = Database(url, lock_seconds=_LOCK_SECONDS, pool=1)
        self._clock = clock
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="facts-accesses")

    async def standing(self) -> AccessStanding:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._count)

    def close(self) -> None:
        """Let what has begun end, and close the connection. Blocks."""
        self._thread.shutdown(wait=True, cancel_futures=True)
        self._database.close()

    def _count(self) -> AccessStanding:
        """Count in one snapshot."""
        with self._database.transaction(Access.READ) as session:
            return standing_of(session, self._clock.now())

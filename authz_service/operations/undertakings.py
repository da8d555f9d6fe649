"""Changes that go on to their record even when nobody waits for them any more."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import structlog

from authz_service.operations.ports import Journal
from authz_service.pdp.errors import JournalUnavailableError

log = structlog.get_logger(__name__)

Answer = TypeVar("Answer")


class Undertakings:
    """Sees changes to their end: what is committed and not recorded would be known to nobody."""

    def __init__(self, journal: Journal) -> None:
        """Begin nothing that *journal* could not record."""
        self._journal = journal
        self._under_way: set[asyncio.Task[Any]] = set()

    async def to_the_end(self, change: Coroutine[Any, Any, Answer]) -> Answer:
        """Make *change*; see to its end whoever goes away meanwhile.

        Raises:
            JournalUnavailableError: It could not be recorded, so it was not begun.
        """
        try:
            self._journal.require_usable()
        except JournalUnavailableError:
            change.close()
            raise
        task = asyncio.ensure_future(change)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return await asyncio.shield(task)

    async def finish(self, seconds: float) -> None:
        """Return once all that has begun has ended, or after *seconds*."""
        if not self._under_way:
            return
        _, left = await asyncio.wait(self._under_way, timeout=seconds)
        if left:
            log.warning("changes_abandoned", count=len(left))

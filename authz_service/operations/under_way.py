"""Changes that have begun go on to their record, whoever waits for them."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import structlog

from authz_service.operations.ports import Journal
from authz_service.pdp.errors import JournalUnavailableError

log = structlog.get_logger(__name__)

Answer = TypeVar("Answer")


class UnderWay:
    """The changes that have begun. For one event loop.

    What was committed and not recorded would be known to nobody, so a caller that goes away ends
    nothing.
    """

    def __init__(self, journal: Journal) -> None:
        """Begin no change that *journal* could not record."""
        self._journal = journal
        self._tasks: set[asyncio.Task[Any]] = set()

    async def to_the_end(self, change: Coroutine[Any, Any, Answer]) -> Answer:
        """Make *change* unless it could not be recorded; see to its end whoever waits for it.

        Raises:
            JournalUnavailableError: The journal cannot write; nothing was changed.
        """
        try:
            self._journal.require_usable()
        except JournalUnavailableError:
            change.close()
            raise
        task = asyncio.ensure_future(change)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return await asyncio.shield(task)

    async def finish(self, seconds: float) -> None:
        """Return once every change that has begun is recorded or has failed, or after *seconds*.

        A registry that never answers must not keep the service from ending.
        """
        if not self._tasks:
            return
        _, left = await asyncio.wait(self._tasks, timeout=seconds)
        if left:
            log.warning("changes_abandoned", count=len(left))

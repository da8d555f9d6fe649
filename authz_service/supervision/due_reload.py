"""A reload that was asked for while no worker was there: it is due once one is."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from authz_service.operations.reload_policy import ReloadOrder
from authz_service.supervision.pipe import Message


class DueReload:
    """Remembers that a reload is due. For one event loop."""

    def __init__(
        self,
        reload_all: Callable[[ReloadOrder], Awaitable[Message]],
        is_possible: Callable[[], bool],
    ) -> None:
        """Have *reload_all* called once it *is_possible*: a worker is there."""
        self._reload_all = reload_all
        self._is_possible = is_possible
        self._is_due = False
        self._tasks: set[asyncio.Task[None]] = set()

    def ask(self) -> None:
        """Have it done now, or as soon as it is possible."""
        self._is_due = True
        self.begin()

    def begin(self) -> None:
        """Do what is due, where it is possible."""
        if self._is_due and self._is_possible():
            self._is_due = False
            task = asyncio.get_running_loop().create_task(self._done())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _done(self) -> None:
        """Do it; where the last worker was lost meanwhile, it is due again."""
        said = await self._reload_all(ReloadOrder("signal"))
        if said["error"] and not self._is_possible():
            self._is_due = True

"""Work that many wait for together: none of them can cancel it, and each hears of its failure."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from types import TracebackType


class Flight:
    """A piece of work under way. Belongs to one event loop; not thread-safe.

    Attributes:
        landed: Whether it is over, for those who wait; its thread may still be stuck.
        error: Why it failed; None while it is under way and where it did not fail.
    """

    __slots__ = ("_origin", "_when_landed", "error", "landed")

    def __init__(self) -> None:
        self.landed = False
        self.error: BaseException | None = None
        self._origin: TracebackType | None = None
        self._when_landed: list[Callable[[], None]] = []

    def land(self, error: BaseException | None = None) -> None:
        """Wake all who wait, with *error* if there is one. Only the first landing counts."""
        if self.landed:
            return
        self.landed, self.error = True, error
        self._origin = error.__traceback__ if error else None
        waiting, self._when_landed = self._when_landed, []
        for wake in waiting:
            wake()

    def when_landed(self, then: Callable[[], None]) -> None:
        """Call *then* on landing, or now where that has been."""
        if self.landed:
            then()
        else:
            self._when_landed.append(then)

    async def wait(self) -> None:
        """Return after the landing. Who is cancelled here leaves the work and the others alone.

        Raises:
            BaseException: The error with which the work landed.
        """
        if not self.landed:
            waiter = asyncio.get_running_loop().create_future()
            self._when_landed.append(partial(_wake, waiter))
            await waiter
        if self.error is not None:
            raise self.error.with_traceback(self._origin)  # or it would grow with each who waits


def _wake(waiter: asyncio.Future[None]) -> None:
    """Wake one who waits, unless they have gone."""
    if not waiter.done():
        waiter.set_result(None)

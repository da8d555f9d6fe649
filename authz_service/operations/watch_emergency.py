"""How many emergency accesses there are, read every few seconds for whoever watches over them."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Final

from authz_service.operations.emergency_ports import AccessCounts, AccessStanding
from authz_service.operations.ports import Clock
from authz_service.pdp.errors import AuthzError

EVERY_SECONDS: Final = 2.0
"""How long it rests between two readings."""
_MOST_SECONDS: Final = 10.0
"""What was read longer ago is not said any more."""


class AccessWatch:
    """Reads off the hot path. For one event loop.

    A registry that cannot be read is no registry without accesses: nothing is known of it then.
    """

    def __init__(
        self,
        registry: AccessCounts,
        clock: Clock,
        *,
        every_seconds: float = EVERY_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Read *registry* every so many seconds; ages are by *clock*."""
        self._registry = registry
        self._clock = clock
        self._every_seconds = every_seconds
        self._monotonic = monotonic
        self._standing: AccessStanding | None = None
        self._read_at = 0.0
        self._reading: asyncio.Task[None] | None = None

    @property
    def standing(self) -> AccessStanding | None:
        """What was read last; None where that failed, or is too long ago."""
        if self._monotonic() - self._read_at > _MOST_SECONDS:
            return None
        return self._standing

    @property
    def oldest_seconds(self) -> float | None:
        """How long ago the oldest began that nobody has reviewed; 0 where there is none."""
        standing = self.standing
        if standing is None:
            return None
        if standing.oldest is None:
            return 0.0
        return max(0.0, (self._clock.now() - standing.oldest).total_seconds())

    def start(self) -> None:
        """Read now, and again and again."""
        self._reading = asyncio.get_running_loop().create_task(self._read_on())

    async def close(self) -> None:
        """Read no more."""
        if self._reading is not None:
            self._reading.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._reading

    async def _read_on(self) -> None:
        """Read for as long as the service lives."""
        while True:
            try:
                self._standing = await self._registry.standing()
            except AuthzError:
                self._standing = None
            self._read_at = self._monotonic()
            await asyncio.sleep(self._every_seconds)

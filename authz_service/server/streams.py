"""The calls that are answered by many messages: how many there are, and how they end.

Such a call lasts for as long as it is asked for, so who asks is asked for again every second. One
message at a time is on its way to each caller: the next is made once gRPC has room for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

from authz_service.identity.caller_rules import LOOPBACK
from authz_service.pdp.errors import AuthzError, CallLimit, LimitExceededError
from authz_service.server.failures import DrainingError
from authz_service.server.in_flight import CallLimits, Place

LOOK_SECONDS = 1.0
"""How often each caller is looked at again, and for how long its call has lasted."""
_LAST_SECONDS = 1.0
"""So long those that end with the service have to take the message that is on its way to them."""


_ENDING = "the service is about to end; go on with another"


class Stream:
    """One such call. For one event loop.

    Attributes:
        began_at: When it began, on the loop's clock.
        still_allowed: Raises where its caller would no longer be let in.
    """

    __slots__ = ("_end", "_is_writing", "_place", "began_at", "caller", "still_allowed")

    def __init__(
        self, caller: str, place: Place, began_at: float, still_allowed: Callable[[], None]
    ) -> None:
        """Begin for *caller*, in the call's *place*."""
        self._place = place
        self._end: Exception | None = None
        self._is_writing = False
        self.caller = caller
        self.began_at = began_at
        self.still_allowed = still_allowed

    def end(self, error: Exception) -> None:
        """End the call with *error*: at once, or after the message that is on its way.

        gRPC sends no status past a message that nobody takes.
        """
        if self._end is None:
            self._end = error
            if not self._is_writing:
                self._place.cut(error)

    async def tell(self, messages: AsyncGenerator[Any, None], context: Any) -> None:
        """Send *messages*, each once there is room for it."""
        async with aclosing(messages):
            async for message in messages:
                self._is_writing = True
                try:
                    await context.write(message)
                finally:
                    self._is_writing = False
                if self._end is not None:
                    raise self._end


class Streams:
    """Those that are open. For one event loop."""

    def __init__(self, limits: CallLimits) -> None:
        """Have none open."""
        self._limits = limits
        self._open: set[Stream] = set()
        self._all_ended = asyncio.Event()
        self._look: asyncio.TimerHandle | None = None
        self._is_closed = False
        self.stuck = 0

    async def tell(
        self,
        messages: AsyncGenerator[Any, None],
        context: Any,
        *,
        caller: str,
        place: Place,
        still_allowed: Callable[[], None],
    ) -> None:
        """Send *messages* to *caller* until they end, or the call has to.

        Raises:
            LimitExceededError: There are too many already.
            DrainingError: The service ends.
        """
        if self._is_closed:
            raise DrainingError(_ENDING)
        self._require_room(caller)
        stream = Stream(caller, place, asyncio.get_running_loop().time(), still_allowed)
        self._open.add(stream)
        if self._look is None:
            self._look_later()
        try:
            await stream.tell(messages, context)
        finally:
            self._open.discard(stream)
            self.stuck = min(self.stuck, len(self._open))
            if not self._open:
                self._all_ended.set()

    async def close(self) -> None:
        """End all; who does not take the message that is on its way is waited for a second.

        `stuck` is afterwards how many there are still: they end with their connections.
        """
        self._is_closed = True
        for stream in tuple(self._open):
            stream.end(DrainingError(_ENDING))
        try:
            async with asyncio.timeout(_LAST_SECONDS if self._open else 0):
                self._all_ended.clear()
                while self._open:
                    await self._all_ended.wait()
        except TimeoutError:
            self.stuck = len(self._open)

    def _require_room(self, caller: str) -> None:
        """Refuse more than one caller, or all of them, may have open.

        Raises:
            LimitExceededError: There are so many.
        """
        own = sum(stream.caller == caller for stream in self._open)
        if len(self._open) >= self._limits.streams or (
            own >= self._limits.streams_of_one and caller != LOOPBACK
        ):
            raise LimitExceededError(CallLimit.STREAMS)

    def _look_later(self) -> None:
        """Look around in a second."""
        self._look = asyncio.get_running_loop().call_later(LOOK_SECONDS, self._look_around)

    def _look_around(self) -> None:
        """End those that have lasted long enough, and those whose caller may no longer call."""
        self._look = None
        if not self._open:
            return
        self._look_later()
        now = asyncio.get_running_loop().time()
        for stream in tuple(self._open):
            if now >= stream.began_at + self._limits.stream_seconds:
                stream.end(DrainingError("this call has lasted long enough; go on with another"))
                continue
            try:
                stream.still_allowed()
            except (AuthzError, DrainingError) as refusal:
                stream.end(refusal)

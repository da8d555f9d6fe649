"""The calls in flight: how many there are, whose they are, and how long each may still take.

A call takes its place before anything of it is read, and gives it back when its answer has left or
its connection is gone: who does not take answers keeps places of its own and of nobody else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from functools import partial
from typing import Any, NamedTuple

from authz_service.identity.caller_rules import LOOPBACK
from authz_service.pdp.errors import CallLimit, LimitExceededError

LOOK_SECONDS = 0.25
"""How often is looked at how long calls have taken; a request that takes longer is slow."""
GONE_SECONDS = 0.05
"""A call without a request may be one whose caller is gone; so soon gRPC cancels it then."""


class CallLimits(NamedTuple):
    """How much calls may take.

    Attributes:
        calls: Most calls in hand.
        calls_of_one: Most calls in hand of one caller. On insecure loopback there is one caller
            for everybody, whom only `calls` binds.
        calls_assured: So many calls of each caller are taken however many others there are.
        brakes_of_one: Most calls in hand of one caller that switch access off or on; they have
            places of their own, which no other call takes.
        slow_requests: Most requests on their way for longer than a look; the oldest make room.
        arrival_seconds: How long a request may be on its way, once its headers are here.
        default_seconds: How long a call may take whose caller named no deadline.
        longest_seconds: How long a call may take whatever deadline its caller named.
        streams: Most calls at once that are answered by many messages.
        streams_of_one: Most of them of one caller; on insecure loopback `streams` alone binds.
        stream_seconds: How long one of them lasts at most: less than the grace that a connection
            has when it is to be made anew.
    """

    calls: int = 4000
    calls_of_one: int = 1000
    calls_assured: int = 100
    brakes_of_one: int = 16
    slow_requests: int = 64
    arrival_seconds: float = 5.0
    default_seconds: float = 5.0
    longest_seconds: float = 30.0
    streams: int = 100
    streams_of_one: int = 10
    stream_seconds: float = 300.0


class CallCutError(TimeoutError):
    """A call has taken as long as a call may."""

    def __init__(self, why: str, limit: CallLimit | None = None) -> None:
        """Keep *why*, and which *limit* it is where the caller's own deadline is not."""
        super().__init__(why)
        self.limit = limit


class Place:
    """One call's place. For one event loop.

    Attributes:
        began_at: When it was taken, on the loop's clock.
        ends_at: When it is taken back at the latest.
        is_arriving: Whether the request is on its way still.
    """

    __slots__ = ("_cut", "_places", "_task", "began_at", "ends_at", "is_arriving")

    def __init__(
        self, places: dict[Place, None], task: asyncio.Task[Any], began_at: float, seconds: float
    ) -> None:
        """Begin for *task*, which may take *seconds*; stand in *places* until it has answered."""
        self._places = places
        self._task = task
        self._cut: Exception | None = None
        self.began_at = began_at
        self.ends_at = began_at + seconds
        self.is_arriving = True

    def cut(self, error: Exception) -> None:
        """End the call with *error*."""
        if self._cut is None:
            self._cut = error
            self._task.cancel()

    def stay(self) -> None:
        """Last for as long as need be from now on; the place is kept."""
        self._places.pop(self, None)

    async def in_time(self, answer: Awaitable[Any]) -> Any:
        """Return *answer*.

        Raises:
            CallCutError: It took too long.
            LimitExceededError: Its request was on its way for too long beside too many others.
        """
        try:
            return await answer
        except asyncio.CancelledError:
            if self._cut is None:
                raise
            self._task.uncancel()
            raise self._cut from None
        finally:
            self._places.pop(self, None)


class CallsInFlight:
    """The places that there are. For one event loop."""

    def __init__(self, limits: CallLimits) -> None:
        """Have no call in hand."""
        self._limits = limits
        self._of: dict[str, int] = {}
        self._brakes_of: dict[str, int] = {}
        self._timed: dict[Place, None] = {}
        self._look: asyncio.TimerHandle | None = None
        self.count = 0

    def enter(self, caller: str, *, is_bound: bool, is_brake: bool = False) -> Place:
        """Return a place for the call that this task serves.

        Args:
            caller: Whose call it is.
            is_bound: Whether the caller named a deadline, to which gRPC holds the call.
            is_brake: Whether it switches access off or on.

        Raises:
            LimitExceededError: There is none for *caller*.
        """
        limits = self._limits
        taken = self._brakes_of if is_brake else self._of
        own = taken.get(caller, 0)
        self._require_place(caller, own, is_brake=is_brake)
        loop = asyncio.get_running_loop()
        seconds = limits.longest_seconds if is_bound else limits.default_seconds
        task: Any = asyncio.current_task(loop)
        place = Place(self._timed, task, loop.time(), seconds)
        taken[caller] = own + 1
        self.count += 1
        task.add_done_callback(
            partial(self._leave, taken, caller)
        )  # a context's would make a cycle
        self._timed[place] = None
        if self._look is None:
            self._look = loop.call_later(LOOK_SECONDS, self._look_around, loop)
        return place

    def hurry(self) -> None:
        """Wait for no slow request from now on."""
        self._limits = self._limits._replace(slow_requests=0)

    def _require_place(self, caller: str, own: int, *, is_brake: bool) -> None:
        """Refuse one call more than *own* of *caller*, where there is no place for it.

        Raises:
            LimitExceededError: There is none.
        """
        limits = self._limits
        if is_brake:
            if own >= limits.brakes_of_one:
                raise LimitExceededError(CallLimit.CALLER)
            return
        if own >= limits.calls_of_one and caller != LOOPBACK:
            raise LimitExceededError(CallLimit.CALLER)
        if self.count >= limits.calls and own >= limits.calls_assured:
            raise LimitExceededError(CallLimit.SERVICE)

    def _leave(self, taken: dict[str, int], caller: str, _task: asyncio.Task[Any]) -> None:
        """Give one of the places *taken* back."""
        self.count -= 1
        left = taken[caller] - 1
        if left:
            taken[caller] = left
        else:
            del taken[caller]

    def _look_around(self, loop: asyncio.AbstractEventLoop) -> None:
        """End what has taken too long; look again while there is anything to look at."""
        self._look = None
        if not self._timed:
            return
        self._look = loop.call_later(LOOK_SECONDS, self._look_around, loop)
        now, slow = loop.time(), []
        for place in self._timed:
            if place.is_arriving and now >= place.began_at + self._limits.arrival_seconds:
                place.cut(CallCutError("the request was not here in time", CallLimit.ARRIVAL))
            elif now >= place.ends_at:
                place.cut(self._too_long(place))
            elif place.is_arriving and now >= place.began_at + LOOK_SECONDS:
                slow.append(place)
        for place in slow[: max(0, len(slow) - self._limits.slow_requests)]:
            place.cut(LimitExceededError(CallLimit.SLOW))

    def _too_long(self, place: Place) -> CallCutError:
        """Return what ends a call that has lasted as long as it may."""
        is_default = place.ends_at < place.began_at + self._limits.longest_seconds
        return CallCutError("deadline exceeded", None if is_default else CallLimit.DURATION)

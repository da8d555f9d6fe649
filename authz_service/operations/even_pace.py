"""Denials without a reason leave at one pace: how long one took to find says nothing of why.

What is unknown is found sooner than what has to be loaded, and what the facts close sooner than
what the policy denies. So such an answer goes on at the next step from its call's arrival, not when
it is ready: whatever was found within the same step looks alike. Only then is it recorded; the
journal's time is the same for all, and its noise never decides in which step an answer leaves.
"""

from __future__ import annotations

import asyncio
from time import perf_counter_ns
from typing import Protocol

DEFAULT_STEP_MS = 10
"""Long enough for what a question has to load, in nearly all cases."""
_NS_A_MS = 1_000_000
QUESTION_NS = 200_000
"""How much longer the step is for each further question of a call: about what it takes to load."""


class Pace(Protocol):
    """When a denial leaves whose reason is not told."""

    async def keep(self, started_ns: int, questions: int = 1) -> None:
        """Return when it may leave. Safe to cancel.

        Args:
            started_ns: When the call arrived, on `time.perf_counter_ns`.
            questions: How many questions the call asked.
        """
        ...


class EvenPace:
    """Holds back answers until the next step from the arrival of their call. For one event loop.

    A step is longer for a call that asks many questions: how many is no secret of its caller's.

    The loop's timers have steps of a millisecond that begin whenever it fell asleep last, which
    would tell how long the answer took after all. So the last part of a millisecond is waited for
    in turns of the loop, during which others go first.
    """

    def __init__(self, step_ms: int) -> None:
        """Let answers leave at steps of *step_ms*; with 0 at once."""
        self._step_ns = step_ms * _NS_A_MS

    async def keep(self, started_ns: int, questions: int = 1) -> None:
        if not self._step_ns:
            return
        step = self._step_ns + (questions - 1) * QUESTION_NS
        now = perf_counter_ns()
        due_ns = now + step - (now - started_ns) % step
        loop = asyncio.get_running_loop()
        reached = loop.create_future()
        whole_ms = (due_ns - now) // _NS_A_MS
        if whole_ms:
            loop.call_later(whole_ms / 1000, _turn, loop, reached, due_ns)
        else:
            _turn(loop, reached, due_ns)
        await reached


def _turn(loop: asyncio.AbstractEventLoop, reached: asyncio.Future[None], due_ns: int) -> None:
    """Resolve *reached* once it is *due_ns*; until then look again in the loop's next turn."""
    if reached.done():
        return
    if perf_counter_ns() >= due_ns:
        reached.set_result(None)
    else:
        loop.call_soon(_turn, loop, reached, due_ns)

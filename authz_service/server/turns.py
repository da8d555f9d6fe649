"""Large requests wait for their turn, so that the calls beside them go on.

A request of a thousand items takes the event loop a thousand times as long as one question does. Of
one caller only so much is worked on at once, in the order in which it came.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from authz_service.pdp.errors import CallLimit, LimitExceededError

SMALL_BYTES = 1024
"""Up to here a request is worked on at once; every question for one recording is smaller."""
AT_WORK_BYTES = 64 << 10
"""So much of one caller is worked on at once, or one request that is larger."""
HELD_BYTES_OF_ONE = 16 << 20
"""So much of one caller is held at most, what waits included."""
HELD_BYTES = 64 << 20
"""So much is held of all callers together; of each one request even then."""
_BREATH_BYTES = 512
_MOST_BREATHS = 64
"""Where several are worked on, each lets a turn of the event loop go by for so many of its bytes,
up to so many turns, before it begins. gRPC takes a call from its queue in two or three of them: who
stands in it behind large requests would wait for a large request's time for each."""


@dataclass(slots=True)
class _Line:
    """The large requests of one caller, in bytes; who waits, first come, first served."""

    held: int = 0
    at_work: int = 0
    waiting: deque[tuple[int, asyncio.Future[None]]] = field(default_factory=deque)

    def has_room(self, size: int) -> bool:
        """Whether *size* more can be worked on."""
        return not self.at_work or self.at_work + size <= AT_WORK_BYTES

    def call_next(self) -> None:
        """Let those that wait begin, as far as there is room."""
        while self.waiting:
            size, turn = self.waiting[0]
            if not turn.done():
                if not self.has_room(size):
                    return
                self.at_work += size
                turn.set_result(None)
            self.waiting.popleft()


class Turns:
    """Whose turn it is. For one event loop."""

    def __init__(self) -> None:
        """Have nothing to work on."""
        self._lines: dict[str, _Line] = {}
        self._held = 0

    @asynccontextmanager
    async def turn(self, caller: str, size: int) -> AsyncIterator[None]:
        """Wait until a request of *size* bytes may be worked on, and lend the turn.

        Raises:
            LimitExceededError: Too much waits already.
        """
        line = self._lines.get(caller) or _Line()
        is_full = line.held > 0 and self._held + size > HELD_BYTES
        if is_full or line.held + size > HELD_BYTES_OF_ONE:
            raise LimitExceededError(CallLimit.WAITING)
        self._lines[caller] = line
        line.held += size
        self._held += size
        try:
            await _begin(line, size)
            try:
                if line.at_work > size:
                    await _let_others_go_on(size)
                yield
            finally:
                line.at_work -= size
        finally:
            line.held -= size
            self._held -= size
            line.call_next()
            if not line.held:
                self._lines.pop(caller, None)


async def _begin(line: _Line, size: int) -> None:
    """Wait for a turn; who gives up while it waits has none."""
    if not line.waiting and line.has_room(size):
        line.at_work += size
        return
    turn = asyncio.get_running_loop().create_future()
    line.waiting.append((size, turn))
    try:
        await turn
    except asyncio.CancelledError:
        if turn.done() and not turn.cancelled():
            line.at_work -= size
        raise


async def _let_others_go_on(size: int) -> None:
    """Wait for some turns of the event loop, more of them for a larger request."""
    for _ in range(min(_MOST_BREATHS, size // _BREATH_BYTES)):
        await asyncio.sleep(0)

"""Appends gather here while the batch before them is on its way to the disk.

Made for the event loop: adding takes no system call. A batch is handed to the journal's thread
once the loop has gone some turns without an append: while it is busy with calls that have arrived,
their records gather, and when it runs out of them the batch leaves at once. Nothing waits for time
to pass; but waking a thread costs a call's worth of work, and so is done once for many.

Each append waits on a future of its own, because a cancelled wait must not cancel those of others;
all futures of a batch are resolved in one callback.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from queue import SimpleQueue
from threading import Lock

from authz_service.operations.records import Record
from authz_service.pdp.errors import JournalUnavailableError

_QUIET_TURNS = 64
"""After how many turns of the loop without an append a batch leaves; a turn takes some 3 µs."""
_MANY_BYTES = 256 * 1024
"""How much is worth a wake-up by itself: then the disk works while the loop goes on."""
_MOST_TURNS = 800
"""After how many turns it leaves at the latest, however many appends come."""
_MOST_SECONDS = 0.05
"""The same where turns are long, as with a thousand questions in one call."""


@dataclass(slots=True, eq=False)
class Gathered:
    """The appends that will go to the disk together, of one event loop.

    Attributes:
        loop: The loop whose tasks wait.
        lines: One for each append.
        appended: The records of each append.
        waiters: One for each append.
        size_bytes: How long the lines are together.
        is_handed_over: Whether the journal's thread has been told of it.
        leaves_by: When it leaves at the latest, on the loop's clock.
    """

    loop: asyncio.AbstractEventLoop
    lines: list[bytes] = field(default_factory=list)
    appended: list[Sequence[Record]] = field(default_factory=list)
    waiters: list[asyncio.Future[None]] = field(default_factory=list)
    size_bytes: int = 0
    is_handed_over: bool = False
    leaves_by: float = 0.0

    def wake(self, failure: str | None = None) -> None:
        """Let all who wait go on, or fail with *failure*. Called on the journal's thread."""
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self.loop.call_soon_threadsafe(_resolve, self.waiters, failure)


def _resolve(waiters: list[asyncio.Future[None]], failure: str | None) -> None:
    """Resolve *waiters*, on their loop; who was cancelled is passed over."""
    for waiter in waiters:
        if waiter.done():
            continue
        if failure is None:
            waiter.set_result(None)
        else:
            waiter.set_exception(JournalUnavailableError(failure))


class Gathering:
    """A bounded queue of appends: filled on event loops, emptied by the journal's thread."""

    def __init__(self, max_lines: int, max_bytes: int) -> None:
        """Hold at most *max_lines* appends of *max_bytes* together."""
        self._max_lines = max_lines
        self._max_bytes = max_bytes
        self._gate = Lock()
        self._arrivals: SimpleQueue[Gathered | None] = SimpleQueue()
        self._current: Gathered | None = None
        self._lines = 0
        self._bytes = 0
        self._closed = False
        self._refusal: str | None = None

    @property
    def refusal(self) -> str | None:
        """Why nothing may be added, or None."""
        return self._refusal

    @property
    def lines(self) -> int:
        """How many appends have been added and not been settled."""
        return self._lines

    def add(self, line: bytes, records: Sequence[Record]) -> asyncio.Future[None]:
        """Add an append to the next batch; return what resolves once it is on the disk.

        Raises:
            JournalUnavailableError: Nothing may be added, or too much waits already.
        """
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()
        size = len(line)
        with self._gate:
            if self._refusal is not None:
                raise JournalUnavailableError(self._refusal)
            if self._lines >= self._max_lines or self._bytes + size > self._max_bytes:
                raise JournalUnavailableError("too much waits to be written; the disk is too slow")
            batch = self._current
            if batch is None or batch.loop is not loop:
                self._hand_over(batch)
                batch = self._current = Gathered(loop)
                batch.leaves_by = loop.time() + _MOST_SECONDS
                loop.call_soon(self._turn, batch, 0, 0, 0)
            batch.lines.append(line)
            batch.appended.append(records)
            batch.waiters.append(waiter)
            batch.size_bytes += size
            self._lines += 1
            self._bytes += size
            if batch.size_bytes >= _MANY_BYTES:
                self._hand_over(batch)
        return waiter

    def _turn(self, batch: Gathered, seen: int, quiet: int, turns: int) -> None:
        """Hand *batch* over if the loop has been quiet for long enough; else look again."""
        count = len(batch.lines)
        quiet = quiet + 1 if count == seen else 0
        may_wait = turns < _MOST_TURNS and batch.loop.time() < batch.leaves_by
        if quiet < _QUIET_TURNS and may_wait and not batch.is_handed_over:
            batch.loop.call_soon(self._turn, batch, count, quiet, turns + 1)
            return
        with self._gate:
            self._hand_over(batch)

    def _hand_over(self, batch: Gathered | None) -> None:
        """Tell the journal's thread of *batch*, once. The gate is held."""
        if batch is not None and not batch.is_handed_over:
            batch.is_handed_over = True
            self._arrivals.put(batch)

    def take(self) -> Gathered | None:
        """Wait for a batch and return it; nothing is added to it from now on.

        None once all that was added before `close` has been taken.
        """
        batch = self._arrivals.get()
        with self._gate:
            if self._current is batch:
                self._current = None
        return batch

    def settle(self, batch: Gathered, failure: str | None = None) -> None:
        """Let those go on who wait for *batch*; they fail where there is a *failure*."""
        with self._gate:
            self._lines -= len(batch.lines)
            self._bytes -= batch.size_bytes
        batch.wake(failure)

    def refuse(self, why: str) -> None:
        """Fail all that was added, and let nothing be added until `admit`."""
        with self._gate:
            if not self._closed:
                self._refusal = why
            self._hand_over(self._current)
            self._current = None
            closed = self._closed
        while not self._arrivals.empty():
            batch = self._arrivals.get()
            if batch is not None:
                self.settle(batch, why)
        if closed:
            self._arrivals.put(None)

    def admit(self) -> None:
        """Let appends be added again, unless closed."""
        with self._gate:
            if not self._closed:
                self._refusal = None

    def close(self, why: str) -> None:
        """Let nothing be added any more; what was added stays to be taken."""
        with self._gate:
            self._closed = True
            self._refusal = why
            self._hand_over(self._current)
            self._arrivals.put(None)

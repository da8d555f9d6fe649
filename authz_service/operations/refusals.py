"""Callers that were refused: counted, logged and recorded, in a flood once and then by count."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

import structlog

from authz_service.operations.ports import Clock, Journal
from authz_service.operations.records import CallContext, EventRecord
from authz_service.pdp.errors import CallerRefusal, JournalUnavailableError
from authz_service.pdp.model import Instant

log = structlog.get_logger(__name__)

WINDOW_SECONDS: Final = 10.0
"""For how long what follows a refusal is gathered."""
MAX_KEYS: Final = 1000
"""Most callers' refusals that are told apart at a time."""
OTHERS: Final = "others"
"""Stands for the callers that are too many to be told apart; no SPIFFE ID is this word."""


class RefusalCounter(Protocol):
    """Counts refusals."""

    def caller_refused(self, refusal: CallerRefusal) -> None:
        """Count one. Must not raise or block."""
        ...


class RefusalKey(NamedTuple):
    """What refusals are gathered by: closed lists but for the caller."""

    caller: str
    refusal: CallerRefusal
    rpc: str


@dataclass(slots=True)
class Gathered:
    """The refusals of one key that came in one window, but for its very first.

    Attributes:
        window: Ends it.
        count: How many.
        first_at: When the first of them came.
        last_at: When the last came.
        context: The call of the last.
    """

    window: asyncio.TimerHandle
    count: int
    first_at: Instant
    last_at: Instant
    context: CallContext


class Refusals:
    """Hears of every caller that was refused. For one event loop.

    The first refusal of a key is logged and recorded at once. Those that follow within the window
    become one line and one record at its end, or at `finish`, and while they keep coming so do
    those of the next; after a window without any the next is a first again. Each is in the count
    of exactly one record. A refusal never waits for its record, and stands where it cannot be
    recorded.
    """

    def __init__(
        self,
        counter: RefusalCounter,
        journal: Journal,
        clock: Clock,
        *,
        window_seconds: float = WINDOW_SECONDS,
        max_keys: int = MAX_KEYS,
    ) -> None:
        """Count with *counter*, record in *journal*."""
        self._counter = counter
        self._journal = journal
        self._clock = clock
        self._window_seconds = window_seconds
        self._max_keys = max_keys
        self._gathered: dict[RefusalKey, Gathered] = {}
        self._under_way: set[asyncio.Future[None]] = set()
        self._is_unrecorded = False
        self._is_finished = False

    def refused(self, refusal: CallerRefusal, context: CallContext, rpc: str) -> None:
        """Take note that a call of *rpc* was refused."""
        self._counter.caller_refused(refusal)
        now = self._clock.now()
        key = self._key_of(RefusalKey(context.caller, refusal, rpc))
        gathered = self._gathered.get(key)
        if gathered is None:
            self._begin(key, context, now)
            return
        if not gathered.count:
            gathered.first_at = now
        gathered.count += 1
        gathered.last_at, gathered.context = now, context

    async def finish(self, seconds: float) -> None:
        """Write what is gathered; return once all is recorded or has failed, or after *seconds*."""
        self._is_finished = True
        for key in list(self._gathered):
            self._end(key)
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=seconds)

    def _key_of(self, key: RefusalKey) -> RefusalKey:
        """Return *key*, or that of the others where there are too many."""
        if key in self._gathered or len(self._gathered) < self._max_keys:
            return key
        return key._replace(caller=OTHERS)

    def _begin(self, key: RefusalKey, context: CallContext, now: Instant) -> None:
        """Write the first refusal of *key*; gather those that follow."""
        self._write(key, context, 1, (now, now))
        if not self._is_finished:
            self._gathered[key] = Gathered(self._window(key), 0, now, now, context)

    def _window(self, key: RefusalKey) -> asyncio.TimerHandle:
        """Begin a window of *key*."""
        return asyncio.get_running_loop().call_later(self._window_seconds, self._end, key)

    def _end(self, key: RefusalKey) -> None:
        """Write what was gathered of *key*, and gather on; forget a key of which nothing came."""
        gathered = self._gathered.pop(key)
        gathered.window.cancel()
        count, gathered.count = gathered.count, 0
        if not count:
            return
        if not self._is_finished:
            gathered.window = self._window(key)
            self._gathered[key] = gathered
        self._write(key, gathered.context, count, (gathered.first_at, gathered.last_at))

    def _write(
        self, key: RefusalKey, context: CallContext, count: int, between: tuple[Instant, Instant]
    ) -> None:
        """Log and record *count* refusals of *key*, the last of them of *context*."""
        known_as = context._replace(caller=key.caller)
        times = [f"{each:%Y-%m-%dT%H:%M:%S.%fZ}" for each in between]
        log.warning(
            "caller_refused",
            caller=key.caller,
            refusal=key.refusal.value,
            rpc=key.rpc,
            request_id=context.request_id,
            count=count,
        )
        event = EventRecord(
            "caller_refused",
            self._clock.now(),
            known_as,
            None,
            (
                ("refusal", key.refusal.value),
                ("rpc", key.rpc),
                ("count", count),
                ("first_at", times[0]),
                ("last_at", times[1]),
            ),
        )
        try:
            self._see_to(self._journal.append((event,)))
        except JournalUnavailableError as error:
            self._tell_unrecorded(error)

    def _see_to(self, appended: Awaitable[None]) -> None:
        """Hear what becomes of an append that nobody waits for."""
        under_way = asyncio.ensure_future(appended)
        self._under_way.add(under_way)
        under_way.add_done_callback(self._appended)

    def _appended(self, done: asyncio.Future[None]) -> None:
        """Hear that an append is on the disk, or is not."""
        self._under_way.discard(done)
        if done.cancelled():
            return
        error = done.exception()
        if error is None:
            self._is_unrecorded = False
        else:
            self._tell_unrecorded(error)

    def _tell_unrecorded(self, error: BaseException) -> None:
        """Say once that refusals are logged only, until one is recorded again."""
        if not self._is_unrecorded:
            log.warning("refusals_unrecorded", why=str(error), error_type=type(error).__name__)
        self._is_unrecorded = True

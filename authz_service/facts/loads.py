"""Loads of missing facts: what many miss at the same time comes in one snapshot for all."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Collection
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import partial

from authz_service.facts.cache_bounds import CacheBounds
from authz_service.facts.cache_metrics import FactsCacheMetrics, LoadResult
from authz_service.facts.entries import Entries
from authz_service.facts.flights import Flight
from authz_service.facts.looks import Looks
from authz_service.facts.reader import Key, Load, RegistryReader
from authz_service.pdp.errors import FactsUnavailableError

_LOOKS_PER_LOAD = 2
"""One may have been on its way before the load was; the next sees at least what the load saw."""
_MOST_SECONDS = 0.05
"""How long a load gathers at most, where the turns of the event loop are long."""


@dataclass(slots=True, eq=False)
class _Batch:
    """Keys that are loaded together.

    Attributes:
        keys: What is loaded.
        shared: Whether others may add keys, and wait for those that are there.
        flight: Lands when the load has come in.
        sent_at: When it was sent, in monotonic seconds.
        load: What came.
    """

    keys: set[Key]
    shared: bool
    flight: Flight = field(default_factory=Flight)
    sent_at: float = 0.0
    load: Load | None = None


class Loads:
    """Loads keys into the entries. Belongs to one event loop.

    At most `CacheBounds.loaders` loads are under way; keys missed meanwhile gather for the next.
    A key is not loaded twice at the same time. While every loader is stuck, all who come fail at
    once.
    """

    def __init__(
        self,
        reader: RegistryReader,
        entries: Entries,
        looks: Looks,
        bounds: CacheBounds,
        *,
        threads: Executor,
        metrics: FactsCacheMetrics,
    ) -> None:
        self._reader = reader
        self._entries = entries
        self._looks = looks
        self._bounds = bounds
        self._threads = threads
        self._metrics = metrics
        self._queue: deque[_Batch] = deque()
        self._flying: set[_Batch] = set()
        self._batch_of: dict[Key, _Batch] = {}
        self._scheduled = False
        self._closed = False

    async def bring(self, keys: Collection[Key]) -> None:
        """Return when a load of each of *keys* has come in, whatever of it could be held.

        Raises:
            FactsUnavailableError: The registry cannot be read, or not in time.
        """
        self._refuse_where_vain()
        batches = dict.fromkeys([self._batch_for(key) for key in keys])
        for batch in batches:
            await batch.flight.wait()

    async def snapshot(self, keys: Collection[Key]) -> Load:
        """Return *keys* loaded for the caller alone, whatever of it could be held.

        Raises:
            FactsUnavailableError: The registry cannot be read, or not in time.
        """
        self._refuse_where_vain()
        batch = self._enqueued(_Batch(set(keys), shared=False))
        await batch.flight.wait()
        if batch.load is None:
            raise FactsUnavailableError("a load brought nothing")
        return batch.load

    def close(self) -> None:
        """Fail those who wait, and everybody who comes later."""
        self._closed = True
        for batch in [*self._queue, *self._flying]:
            batch.flight.land(FactsUnavailableError("the service is closing"))
        self._queue.clear()

    def _refuse_where_vain(self) -> None:
        """Fail at once where waiting would lead to nothing."""
        if self._closed:
            raise FactsUnavailableError("the service is closing")
        stuck = sum(batch.flight.landed for batch in self._flying)
        if stuck >= self._bounds.loaders:
            raise FactsUnavailableError("all loads are stuck")

    def _batch_for(self, key: Key) -> _Batch:
        """Return the batch with which *key* comes: one under way, or the one that gathers."""
        batch = self._batch_of.get(key)
        if batch is None:
            batch = self._batch_of[key] = self._gathering()
            batch.keys.add(key)
        return batch

    def _gathering(self) -> _Batch:
        """Return the batch that gathers."""
        if self._queue:
            last = self._queue[-1]
            room = len(last.keys) < self._bounds.max_load_keys
            if last.shared and room and not last.flight.landed:
                return last
        return self._enqueued(_Batch(set(), shared=True))

    def _enqueued(self, batch: _Batch) -> _Batch:
        """Return *batch*, which waits now for a loader and no longer than the timeout."""
        loop = asyncio.get_running_loop()
        overdue = loop.call_later(self._bounds.timeout_seconds, self._overdue, batch)
        batch.flight.when_landed(overdue.cancel)
        batch.flight.when_landed(partial(self._release, batch))
        self._queue.append(batch)
        self._schedule()
        return batch

    def _overdue(self, batch: _Batch) -> None:
        """Fail those who wait for a load that does not return."""
        seconds = self._bounds.timeout_seconds
        self._fail(batch, FactsUnavailableError(f"a load takes longer than {seconds:g} s"))

    def _fail(self, batch: _Batch, error: BaseException) -> None:
        """Land *batch* with *error*."""
        self._count(LoadResult.FAILED, batch)
        batch.flight.land(error)

    def _count(self, result: LoadResult, batch: _Batch) -> None:
        """Count a load, with the time since it was sent."""
        seconds = time.monotonic() - batch.sent_at if batch.sent_at else 0.0
        self._metrics.loaded(result, len(batch.keys), seconds)

    def _release(self, batch: _Batch) -> None:
        """Let the keys of *batch*, which has landed, be asked for again."""
        if batch.shared:
            for key in batch.keys:
                del self._batch_of[key]

    def _schedule(self) -> None:
        """Send loads once the loop is quiet: what others miss until then comes along."""
        if not self._scheduled:
            self._scheduled = True
            loop = asyncio.get_running_loop()
            loop.call_soon(self._turn, 0, 0, loop.time() + _MOST_SECONDS)

    def _turn(self, seen: int, quiet: int, until: float) -> None:
        """Send what waits if nobody has missed anything for some turns; else look again."""
        loop = asyncio.get_running_loop()
        count = sum(len(batch.keys) for batch in self._queue)
        quiet = quiet + 1 if count == seen else 0
        may_wait = quiet < self._bounds.quiet_turns and loop.time() < until
        if 0 < count < self._bounds.max_load_keys and may_wait:
            loop.call_soon(self._turn, count, quiet, until)
        else:
            self._send_waiting()

    def _send_waiting(self) -> None:
        """Send as many batches as there are loaders free."""
        self._scheduled = False
        while self._queue and len(self._flying) < self._bounds.loaders:
            batch = self._queue.popleft()
            if not batch.flight.landed:
                self._send(batch)

    def _send(self, batch: _Batch) -> None:
        """Send *batch* on its way."""
        self._flying.add(batch)
        batch.sent_at = time.monotonic()
        loaded = asyncio.get_running_loop().run_in_executor(
            self._threads, self._reader.load, tuple(batch.keys)
        )
        loaded.add_done_callback(partial(self._returned, batch))

    def _returned(self, batch: _Batch, future: asyncio.Future[Load]) -> None:
        """Take in what a load brought, unless it comes too late for anybody."""
        if future.cancelled():
            return
        self._flying.discard(batch)
        self._schedule()
        error = future.exception()
        if batch.flight.landed:
            return
        if error is not None:
            self._fail(batch, error)
        else:
            self._judge(batch, future.result(), _LOOKS_PER_LOAD)

    def _judge(self, batch: _Batch, load: Load, looks_left: int) -> None:
        """Hold what is true of *load*, after another look where it is ahead of the entries."""
        if looks_left and self._entries.lags_behind(load):
            look = self._looks.start()
            look.when_landed(partial(self._judge_after, look, batch, load, looks_left - 1))
            return
        thrown_away = self._entries.insert(load)
        self._count(LoadResult.OUTRUN if thrown_away else LoadResult.LOADED, batch)
        batch.load = load
        batch.flight.land()

    def _judge_after(self, look: Flight, batch: _Batch, load: Load, looks_left: int) -> None:
        """Judge *load* in the light of *look*, which has landed."""
        if batch.flight.landed:
            return
        if look.error is not None:
            self._fail(batch, look.error)
        else:
            self._judge(batch, load, looks_left)

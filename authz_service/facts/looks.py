"""Looks at the registry's state: one at a time, shared by all who wait for one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future
from functools import partial

import structlog

from authz_service.facts.cache_bounds import CacheBounds
from authz_service.facts.cache_metrics import FactsCacheMetrics, LookResult
from authz_service.facts.entries import Entries
from authz_service.facts.flights import Flight
from authz_service.facts.reader import Changes, Look, RegistryReader
from authz_service.pdp.errors import FactsUnavailableError

log = structlog.get_logger(__name__)

OnUsable = Callable[[bool, str], None]
"""Told whether the registry is usable, and why not; on every change, on the event loop."""


class Looks:
    """Brings the entries to the registry's present state. Belongs to one event loop.

    A look whose thread is stuck fails everybody at once until the thread returns: there is never
    a second one.

    Attributes:
        usable: Whether the last look succeeded.
    """

    def __init__(
        self,
        reader: RegistryReader,
        entries: Entries,
        bounds: CacheBounds,
        *,
        thread: Executor,
        metrics: FactsCacheMetrics,
        on_usable: OnUsable | None,
    ) -> None:
        self.usable = False
        self._why = ""
        self._reader = reader
        self._entries = entries
        self._bounds = bounds
        self._thread = thread
        self._metrics = metrics
        self._on_usable = on_usable
        self._flight: Flight | None = None
        self._failed_flight: Flight | None = None
        self._failed_at = 0.0
        self._closed = False

    @property
    def just_failed(self) -> Flight | None:
        """The look that failed, as long as it is too early for another one."""
        if time.monotonic() - self._failed_at < self._bounds.retry_seconds:
            return self._failed_flight
        return None

    def start(self) -> Flight:
        """Return the look that is under way, sent now if there was none. Does not wait.

        Shortly after a failure it is the look that failed.
        """
        flight = self._flight
        if flight is None:
            failed = self.just_failed
            if failed is not None:
                return failed
            flight = self._flight = Flight()
            self._send(flight)
        return flight

    def close(self) -> None:
        """Fail those who wait, and everybody who comes later."""
        self._closed = True
        if self._flight is None:
            self._flight = Flight()
        self._flight.land(FactsUnavailableError("the service is closing"))

    def _send(self, flight: Flight) -> None:
        """Send a look on its way."""
        loop, sent_at = asyncio.get_running_loop(), time.monotonic()
        entries = self._entries
        seen = self._thread.submit(_look, self._reader, entries.revision, entries.nonce)
        if self._is_good_and_quick(seen, sent_at):
            self._seen(flight, sent_at, seen.result())
            return
        overdue = loop.call_later(self._bounds.timeout_seconds, self._overdue, flight)
        returned = asyncio.wrap_future(seen, loop=loop)
        returned.add_done_callback(partial(self._returned, flight, overdue, sent_at))

    def _is_good_and_quick(self, seen: Future[Look | Changes], sent_at: float) -> bool:
        """Whether a look was done on the spot, so that it counts at once.

        One that fails or is slow counts in the next turn of the loop: until then all share it.
        """
        return (
            seen.done()
            and seen.exception() is None
            and time.monotonic() - sent_at < self._bounds.staleness_seconds / 4
        )

    def _overdue(self, flight: Flight) -> None:
        """Fail those who wait for a look that does not return."""
        if flight.landed:
            return
        error = FactsUnavailableError(
            f"a look at it takes longer than {self._bounds.timeout_seconds:g} s"
        )
        self._failed(error, self._bounds.timeout_seconds)
        flight.land(error)

    def _returned(
        self,
        flight: Flight,
        overdue: asyncio.TimerHandle,
        sent_at: float,
        future: asyncio.Future[Look | Changes],
    ) -> None:
        """Apply what a look saw, also one that nobody waits for any more."""
        overdue.cancel()
        if future.cancelled() or self._closed:
            return
        error = future.exception()
        if error is None:
            self._seen(flight, sent_at, future.result())
            return
        self._flight, self._failed_flight = None, flight
        self._failed_at = time.monotonic()
        flight.land(self._failed(error, self._failed_at - sent_at))

    def _seen(self, flight: Flight, sent_at: float, seen: Look | Changes) -> None:
        """Apply what a look saw, and wake those who wait for it."""
        self._flight = self._failed_flight = None
        self._metrics.looked(self._entries.apply(seen), time.monotonic() - sent_at)
        self._report(usable=True, why="")
        flight.land()

    def _failed(self, error: BaseException, seconds: float) -> FactsUnavailableError:
        """Count a look that failed; return the error that those who wait are told."""
        self._metrics.looked(LookResult.FAILED, seconds)
        if not isinstance(error, FactsUnavailableError):
            log.error("facts_look_failed", error_type=type(error).__name__, exc_info=error)
            error = FactsUnavailableError("it answers in a way that was not foreseen")
        self._report(usable=False, why=str(error))
        return error

    def _report(self, *, usable: bool, why: str) -> None:
        """Tell of it where it changed, or the reason did."""
        if (usable, why) == (self.usable, self._why):
            return
        self.usable, self._why = usable, why
        if self._on_usable is not None:
            self._on_usable(usable, why)


def _look(reader: RegistryReader, revision: int, nonce: str) -> Look | Changes:
    """Return the registry's state and, where it moved on from the known one, what changed."""
    look = reader.look()
    if revision < 0 or look.revision <= revision:
        return look
    return reader.changes(revision, nonce)

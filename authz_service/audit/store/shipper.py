"""Ships a service's journal on a thread of its own; no check ever waits for it.

The journal does not tell it of new lines: it looks where the journal stands, a few times a second,
which costs the checks nothing. It rests between, however busy the service is, so that what came
meanwhile goes in one transaction. What the store or the journal's files do to it ends in a pause
and another attempt.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from threading import Event, Thread
from time import monotonic
from typing import Final

import structlog

from authz_service.audit.files import Files, LocalFiles
from authz_service.audit.store.failures import (
    LASTING,
    AlarmKind,
    FailureKind,
    ShippingAlarmError,
    StoreFailureError,
)
from authz_service.audit.store.opening import open_store
from authz_service.audit.store.ports import ShippingMetrics, Store
from authz_service.audit.store.retention import Retention
from authz_service.audit.store.shipment import Shipment
from authz_service.audit.store.shipper_options import ShipperOptions
from authz_service.audit.store.shipping import Shipping
from authz_service.audit.store.standing import ShippingStatus, Standing
from authz_service.audit.store.tail import JournalSource
from authz_service.operations.ports import Clock

log = structlog.get_logger(__name__)

NO_STORE: Final = "none"
"""The URL that stands for no store: nothing is shipped, and nothing retired."""

_OFF: Final = ShippingStatus(usable=False, why="", off=True)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_BREATH_SECONDS: Final = 0.00005
_MOST_DOUBLINGS: Final = 16


class Shipper:
    """Ships one journal to one store, from `start` to `close`."""

    def __init__(
        self,
        url: str,
        clock: Clock,
        metrics: ShippingMetrics,
        *,
        options: ShipperOptions | None = None,
        opened: Callable[[str], Store] = open_store,
        files: Files | None = None,
    ) -> None:
        """Do nothing yet.

        Args:
            url: The store, or `NO_STORE`.
            clock: The service's time.
            metrics: Hears of what is shipped and what is not.
            options: When it does what.
            opened: Opens the store.
            files: Operations on the journal's directory.
        """
        self._url = url
        self._clock = clock
        self._metrics = metrics
        self._options = options or ShipperOptions()
        self._opened = opened
        self._files = files or LocalFiles()
        self._standing = Standing(metrics, self._now, self._options.silence_seconds)
        self._shipping: Shipping | None = None
        self._thread: Thread | None = None
        self._stopping = Event()
        self._deadline = 0.0
        self._ship_at = 0.0
        self._look_at = 0.0
        self._retire_at = 0.0

    @property
    def is_off(self) -> bool:
        """Whether there is no store to ship to."""
        return self._url == NO_STORE

    def start(self, source: JournalSource) -> None:
        """Begin to ship *source*, whether the store is there or not; blocks for nothing."""
        if self.is_off:
            return
        self._shipping = shipping = Shipping(
            source, lambda: self._opened(self._url), self._now, breathe=_breathe
        )
        retention = Retention(
            shipping, self._files, self._url, self._clock, self._options.retention_hours
        )
        self._thread = Thread(
            target=self._run, args=(shipping, retention), name="shipper", daemon=True
        )
        self._thread.start()

    def status(self) -> ShippingStatus:
        """Return how shipping is doing. Thread-safe; never waits."""
        if self.is_off:
            return _OFF
        return self._standing.status(self._shipping)

    async def close(self, seconds: float) -> None:
        """Ship what is left, for *seconds* at most; say what could not be shipped."""
        if self._thread is None:
            return
        self._deadline = monotonic() + seconds
        self._stopping.set()
        await asyncio.to_thread(self._thread.join, seconds + self._options.first_retry_seconds)
        status = self.status()
        if status.behind_lines != 0:
            log.error("shipping_unfinished", lines=status.behind_lines, error=status.why)

    def _run(self, shipping: Shipping, retention: Retention) -> None:
        """Ship until closed, and then what is left. The thread's top."""
        while True:
            is_last = self._stopping.is_set()  # what a round before it found is not the end
            pause = self._round(shipping, retention)
            if not is_last:
                self._stopping.wait(pause)
                continue
            standing = self._standing
            if standing.is_level or standing.is_stopped or monotonic() + pause > self._deadline:
                shipping.leave()
                return
            time.sleep(pause)

    def _round(self, shipping: Shipping, retention: Retention) -> float:
        """Ship what there is, and retire a slice; return how long to rest, in seconds."""
        try:
            if monotonic() >= self._ship_at or self._stopping.is_set():
                self._ship(shipping, retention)
                self._ship_at = monotonic() + self._options.round_seconds
            return self._rest_after(is_retiring=self._retire(retention))
        except ShippingAlarmError as alarm:
            self._standing.alarmed(alarm)
            return self._options.alarm_retry_seconds
        except StoreFailureError as failure:
            kind, why = failure.kind, failure.why
        except Exception as error:  # a thread's top: it must go on trying
            kind, why = FailureKind.BUG, f"unexpected {type(error).__name__}"
            if not self._standing.failures:
                log.exception("shipping_broke", error_type=type(error).__name__)
        finally:
            self._standing.idle()
        shipping.leave()
        return self._pause_after(shipping, kind, why)

    def _ship(self, shipping: Shipping, retention: Retention) -> None:
        """Ship what is synced by now, and go on for as long as whole pieces are left.

        Retention has a turn now and then meanwhile, as that may be for as long as the load is high.
        """
        self._standing.is_level = False
        until, turn_at = shipping.source.position, monotonic() + self._options.round_seconds
        while (shipment := self._step(shipping)) is not None:
            if shipment.end.sequence + 1 >= until.sequence and not shipping.has_backlog:
                break
            if self._stopping.is_set() and monotonic() > self._deadline:
                return
            if monotonic() >= turn_at:
                self._retire(retention)
                turn_at = monotonic() + self._options.round_seconds
        self._standing.level()
        if monotonic() >= self._look_at:
            self._standing.busy()
            shipping.look()
            self._look_at = monotonic() + self._options.look_seconds

    def _step(self, shipping: Shipping) -> Shipment | None:
        """Ship a piece, and count it."""
        self._standing.busy()
        shipment = shipping.step()
        self._standing.succeeded()
        if shipment is not None:
            self._metrics.shipped(len(shipment.lines), shipment.records)
        return shipment

    def _retire(self, retention: Retention) -> bool:
        """Do a slice of what retention has to do; return whether there may be more."""
        if self._stopping.is_set() or monotonic() < self._retire_at:
            return False
        self._standing.busy()
        deleted = self._advanced(retention)
        if deleted is None:
            self._retire_at = max(self._retire_at, monotonic() + self._options.retire_seconds)
            return False
        if deleted:
            self._metrics.retired(deleted)
            self._standing.calm(AlarmKind.UNVERIFIED)
        return True

    def _rest_after(self, *, is_retiring: bool) -> float:
        """Return how long to rest, in seconds, after a round that had more to retire, or not."""
        rest = max(0.0, self._ship_at - monotonic())
        return min(rest, self._options.slice_seconds) if is_retiring else rest

    def _advanced(self, retention: Retention) -> int | None:
        """Do a slice of retention's work; shipping goes on, whatever comes of it."""
        try:
            return retention.advance()
        except ShippingAlarmError as alarm:
            self._standing.alarmed(ShippingAlarmError(AlarmKind.UNVERIFIED, alarm.why))
            self._retire_at = monotonic() + self._options.alarm_retry_seconds
        except OSError as error:
            self._metrics.failed(FailureKind.JOURNAL)
            log.warning("retirement_failed", error=error.strerror)
        return None

    def _pause_after(self, shipping: Shipping, kind: FailureKind, why: str) -> float:
        """Note a failure; return how long to rest, in seconds."""
        doublings = min(self._standing.failures, _MOST_DOUBLINGS)
        self._standing.failed(kind, why)
        self._ship_at = 0.0
        shipping.look_back()
        pause = self._options.first_retry_seconds * 2.0**doublings
        options = self._options
        is_lasting = kind in LASTING
        return min(pause, options.alarm_retry_seconds if is_lasting else options.last_retry_seconds)

    def _now(self) -> int:
        """Return the service's time in microseconds since 1970."""
        return (self._clock.now() - _EPOCH) // _MICROSECOND


def _breathe() -> None:
    """Let other threads have the interpreter: merely to offer it would not be enough."""
    time.sleep(_BREATH_SECONDS)

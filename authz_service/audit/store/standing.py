"""How shipping is doing: noted by its thread, read by any."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from time import monotonic

import structlog

from authz_service.audit.store.failures import (
    LASTING,
    AlarmKind,
    FailureKind,
    ShippingAlarmError,
)
from authz_service.audit.store.ports import ShippingMetrics
from authz_service.audit.store.shipping import Shipping

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ShippingStatus:
    """How shipping is doing.

    Attributes:
        usable: Whether what is recorded gets into the store.
        why: Why it does not; empty where it does.
        alarms: What a person has to look at, by kind; the first kinds stop shipping.
        behind_lines: How many lines are not in the store; None where that is not known.
        behind_seconds: How long ago the oldest of them was recorded; None where not known.
        off: Whether there is no store to ship to.
    """

    usable: bool
    why: str
    alarms: Mapping[AlarmKind, str] = field(default_factory=dict)
    behind_lines: int | None = None
    behind_seconds: float | None = None
    off: bool = False

    def plain(self) -> dict[str, object]:
        """Return it as JSON has it."""
        return {
            "off": self.off,
            "usable": self.usable,
            "why": self.why,
            "alarms": {kind.value: why for kind, why in self.alarms.items()},
            "behind_lines": self.behind_lines,
            "behind_seconds": self.behind_seconds,
        }


class Standing:
    """What became of the latest attempts. Written by the shipper's thread.

    Attributes:
        why: Why the store does not take what it is given; empty where it does.
        failures: How many attempts have failed in a row.
        is_level: Whether all that was synced at the last look is in the store.
    """

    def __init__(
        self, metrics: ShippingMetrics, now: Callable[[], int], silence_seconds: float
    ) -> None:
        """Know nothing of the store yet.

        Args:
            metrics: Hears of failures and alarms.
            now: The service's time, in microseconds since 1970.
            silence_seconds: How long the store may take before it counts as silent.
        """
        self._metrics = metrics
        self._now = now
        self._silence_seconds = silence_seconds
        self._alarms: dict[AlarmKind, str] = {}
        self._level_at = now()
        self._busy_since: float | None = None
        self._is_lasting = False
        self.why = "the decision store has not been reached yet"
        self.failures = 0
        self.is_level = False

    @property
    def is_stopped(self) -> bool:
        """Whether an alarm keeps anything from being shipped."""
        return any(kind is not AlarmKind.UNVERIFIED for kind in self._alarms)

    def busy(self) -> None:
        """Note that the store is asked something now."""
        self._busy_since = monotonic()

    def idle(self) -> None:
        """Note that the store is asked nothing."""
        self._busy_since = None

    def level(self) -> None:
        """Note that all is in the store."""
        self._level_at, self.is_level = self._now(), True

    def succeeded(self) -> None:
        """Note that the store took what it was given, or has it all."""
        if self.failures or self.is_stopped:
            log.info("shipping_resumed")
        self.why, self.failures, self._is_lasting = "", 0, False
        if self.is_stopped:
            for kind in set(self._alarms) - {AlarmKind.UNVERIFIED}:
                self.calm(kind)

    def failed(self, kind: FailureKind, why: str) -> None:
        """Note a failure; it is logged once, as an error where it does not pass by itself."""
        self.why = f"the decision store is not usable: {why}"
        self._metrics.failed(kind)
        if kind in LASTING:
            if not self._is_lasting:
                log.error("shipping_failed", error=why, kind=kind.value)
            self._is_lasting = True
        elif not self.failures:
            log.warning("shipping_failed", error=why, kind=kind.value)
        self.failures += 1

    def alarmed(self, alarm: ShippingAlarmError) -> None:
        """Note what a person has to look at; it is logged once."""
        if alarm.kind is not AlarmKind.UNVERIFIED:
            self.why = alarm.why
        if alarm.kind not in self._alarms:
            self._metrics.alarm(alarm.kind, raised=True)
            log.error("shipping_alarmed", kind=alarm.kind.value, error=alarm.why)
        self._alarms = {**self._alarms, alarm.kind: alarm.why}

    def calm(self, kind: AlarmKind) -> None:
        """Note that there is no alarm of *kind* any more."""
        if kind in self._alarms:
            self._alarms = {each: why for each, why in self._alarms.items() if each is not kind}
            self._metrics.alarm(kind, raised=False)

    def status(self, shipping: Shipping | None) -> ShippingStatus:
        """Return how *shipping* is doing; None before its start. Thread-safe; never waits."""
        why = self._silence() or self.why
        if shipping is None:
            return ShippingStatus(usable=False, why=why)
        at, position = shipping.at, shipping.source.position
        if at is None:
            return ShippingStatus(usable=False, why=why, alarms=self._alarms)
        behind = max(0, position.sequence - 1 - at.sequence)
        since = shipping.next_at or self._level_at
        seconds = max(0.0, (self._now() - since) / 1e6) if behind else 0.0
        return ShippingStatus(not why, why, self._alarms, behind, seconds)

    def _silence(self) -> str:
        """Return that the store takes too long, if it does."""
        since = self._busy_since
        spent = 0.0 if since is None else monotonic() - since
        if spent < self._silence_seconds:
            return ""
        return f"the decision store has not answered for {spent:.0f} seconds"

"""The service's own time."""

from __future__ import annotations

from datetime import UTC, datetime

from authz_service.operations.ports import Clock
from authz_service.pdp.model import Instant
from authz_service.settings import Settings


class SystemClock:
    """The time of the machine, in UTC."""

    def now(self) -> Instant:
        return datetime.now(UTC)


class FixedClock:
    """A clock that stands still, for trials."""

    def __init__(self, instant: Instant) -> None:
        """Stand still at *instant*."""
        self._instant = instant

    def now(self) -> Instant:
        return self._instant


def clock_of(settings: Settings) -> Clock:
    """Return the clock that an operator has chosen."""
    return FixedClock(settings.fixed_clock) if settings.fixed_clock else SystemClock()

"""What became of the openings of emergency access, counted one by one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from prometheus_client.metrics_core import Metric

from authz_service.pdp.emergency import REFUSALS
from authz_service.pdp.model import Effect, Reason
from authz_service.telemetry.families import counter


class EmergencyMeter:
    """Counts openings and refusals. Written by the event loop."""

    def __init__(self) -> None:
        """Begin at nothing, for every answer that there can be."""
        opened = (Effect.ALLOW.value, Reason.RULE_ALLOWED.value)
        refused = ((Effect.DENY.value, reason.value) for reason in REFUSALS)
        self._openings = Counter(dict.fromkeys((opened, *refused), 0))

    def decided(self, effect: str, reason: str) -> None:
        """Count one answer."""
        self._openings[effect, reason] += 1

    def collect(self) -> Iterator[Metric]:
        """Yield what was answered."""
        yield counter(
            "authz_emergency_openings",
            "Questions for emergency access, by effect and reason.",
            ("effect", "reason"),
            self._openings.items(),
        )

"""What became of the callers file, counted reading by reading."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from prometheus_client.core import InfoMetricFamily
from prometheus_client.metrics_core import Metric

from authz_service.telemetry.families import by_one_label, counter

_OUTCOMES = ("activated", "unchanged", "refused", "unrecorded")


class CallersMeter:
    """Counts readings of the callers file. Written by the event loop."""

    def __init__(self) -> None:
        """Begin at nothing."""
        self._loads = Counter(dict.fromkeys(_OUTCOMES, 0))
        self._revision = ""

    def loaded(self, outcome: str, revision: str) -> None:
        """Count one reading; *revision* is the one in force afterwards."""
        self._loads[outcome] += 1
        self._revision = revision

    def collect(self) -> Iterator[Metric]:
        """Yield what became of the file, and which is in force."""
        yield counter(
            "authz_callers_reloads",
            "Readings of the callers file, by what became of it.",
            ("result",),
            by_one_label(self._loads),
        )
        active = InfoMetricFamily("authz_callers", "The callers file in force.")
        active.add_metric((), {"revision": self._revision})
        yield active

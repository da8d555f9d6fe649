"""What the parent of workers shows: how they are, and which policy they share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import InfoMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from authz_service.telemetry.families import gauge, watched


class Workers(Protocol):
    """What there is to say of the workers."""

    @property
    def states(self) -> Mapping[str, int]:
        """How many are in each state; every state is named."""
        ...

    @property
    def restarts(self) -> Mapping[str, int]:
        """How often one was started again, by why; every reason is named."""
        ...

    @property
    def revision(self) -> str:
        """The policy revision in force in all of them."""
        ...


class ParentMetrics(Collector):
    """Reads the workers at each scrape; what a worker counts it shows itself."""

    def __init__(self, workers: Workers) -> None:
        """Show *workers*."""
        self._workers = workers
        self._readings: list[tuple[str, str, str, Callable[[], float | Mapping[str, float]]]] = []
        self._registry = CollectorRegistry()
        self._registry.register(self)
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self._registry)

    def watch(
        self,
        name: str,
        documentation: str,
        read: Callable[[], float | Mapping[str, float]],
        label: str = "",
    ) -> None:
        """Add a value, or values by *label*, that are read at each scrape."""
        self._readings.append((name, documentation, label, read))

    def render(self) -> bytes:
        """Return all metrics in the text format 0.0.4."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """Yield every metric."""
        workers = self._workers
        yield watched("authz_workers", "Workers, by state.", "state", workers.states)
        yield watched(
            "authz_worker_restarts_total", "Workers started again, by why.", "reason",
            workers.restarts,
        )  # fmt: skip
        active = InfoMetricFamily("authz_policy", "The policy in force in all workers.")
        active.add_metric((), {"revision": workers.revision})
        yield active
        serving = int(workers.states["serving"] > 0)
        yield gauge("authz_serving", "1 while a worker can answer questions.", serving)
        for name, documentation, label, read in self._readings:
            yield watched(name, documentation, label, read())

"""Plain numbers as families of Prometheus metrics."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric

from authz_service.telemetry.histogram import Histogram

Labelled = Iterable[tuple[tuple[str, ...], float]]
"""Numbers, each with the values of its labels."""


def counter(name: str, documentation: str, labels: tuple[str, ...], counts: Labelled) -> Metric:
    """Return a counter with a value for each combination of labels."""
    family = CounterMetricFamily(name, documentation, labels=labels)
    for values, count in list(counts):
        family.add_metric(values, count)
    return family


def by_one_label(counts: Mapping[str, float]) -> Labelled:
    """Return *counts* as numbers with one label each."""
    return [((value,), count) for value, count in counts.items()]


def total(name: str, documentation: str, count: float) -> Metric:
    """Return a counter without labels."""
    return counter(name, documentation, (), [((), count)])


def gauge(name: str, documentation: str, value: float) -> Metric:
    """Return a gauge without labels."""
    return GaugeMetricFamily(name, documentation, value=value)


def histogram(
    name: str,
    documentation: str,
    labels: tuple[str, ...],
    histograms: Iterable[tuple[tuple[str, ...], Histogram]],
) -> Metric:
    """Return a histogram for each combination of labels."""
    family = HistogramMetricFamily(name, documentation, labels=labels)
    for values, observed in histograms:
        family.add_metric(values, observed.buckets(), observed.sum)
    return family


def watched(
    name: str, documentation: str, label: str, value: float | Mapping[str, float]
) -> Metric:
    """Return a gauge, or a counter where the name says so, with what was read."""
    made = CounterMetricFamily if name.endswith("_total") else GaugeMetricFamily
    family = made(name, documentation, labels=(label,) if label else ())
    values = value if isinstance(value, Mapping) else {"": value}
    for label_value, number in values.items():
        family.add_metric((label_value,) if label else (), number)
    return family

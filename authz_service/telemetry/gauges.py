"""What is read at each scrape rather than counted."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Protocol

from authz_service.telemetry.metrics import Metrics

_UNKNOWN = math.nan
"""Neither nothing nor much: no comparison with it holds, so that no alert rests on a guess."""


class CacheCounts(Protocol):
    """What the cache of facts says of itself; mappings are by kind of value."""

    @property
    def revision(self) -> int:
        """The registry's revision at which everything held is true."""
        ...

    @property
    def dropped(self) -> int:
        """How many values were dropped because the registry changed."""
        ...

    @property
    def entries(self) -> Mapping[str, int]:
        """How many values are held."""
        ...

    @property
    def hits(self) -> Mapping[str, int]:
        """How many values were served from memory."""
        ...

    @property
    def misses(self) -> Mapping[str, int]:
        """How many values had to be waited for."""
        ...

    @property
    def evicted(self) -> Mapping[str, int]:
        """How many values made room for others."""
        ...


class ShippingStanding(Protocol):
    """What shipping says of itself."""

    @property
    def usable(self) -> bool:
        """Whether what is recorded gets into the store."""
        ...

    @property
    def behind_lines(self) -> int | None:
        """How many lines are not in the store; None where that is not known."""
        ...

    @property
    def behind_seconds(self) -> float | None:
        """How long ago the oldest of them was recorded; None where not known."""
        ...


class AccessCounts(Protocol):
    """How many emergency accesses there are."""

    @property
    def open(self) -> int:
        """How many are in force."""
        ...

    @property
    def unreviewed(self) -> int:
        """How many nobody has reviewed."""
        ...


class AccessReading(Protocol):
    """What was read of emergency accesses last."""

    @property
    def standing(self) -> AccessCounts | None:
        """How many there are; None where that is not known."""
        ...

    @property
    def oldest_seconds(self) -> float | None:
        """How long ago the oldest began that nobody reviewed; None where not known."""
        ...


def watch_cache(metrics: Metrics, counts: Callable[[], CacheCounts]) -> None:
    """Show at each scrape what the cache of facts holds."""
    watch = metrics.watch
    watch(
        "authz_facts_revision",
        "The registry's revision at which everything held is true.",
        lambda: counts().revision,
    )
    watch(
        "authz_facts_cache_dropped_total",
        "Values dropped because the registry changed.",
        lambda: counts().dropped,
    )
    watch("authz_facts_cache_entries", "Values held.", lambda: counts().entries, "kind")
    watch("authz_facts_cache_hits_total", "Values served.", lambda: counts().hits, "kind")
    watch("authz_facts_cache_misses_total", "Values waited for.", lambda: counts().misses, "kind")
    watch("authz_facts_cache_evicted_total", "Values evicted.", lambda: counts().evicted, "kind")


class HistoryKept(Protocol):
    """From where on there is history."""

    @property
    def revision(self) -> int:
        """From which revision."""
        ...

    @property
    def since(self) -> datetime | None:
        """From which instant; None where that is not known."""
        ...


class HistoryStanding(Protocol):
    """What the retention of facts says of itself."""

    @property
    def kept(self) -> HistoryKept | None:
        """From where on there is history; None where that is not known."""
        ...

    @property
    def removed(self) -> Mapping[str, int]:
        """How many rows were removed, by table."""
        ...


def watch_history(metrics: Metrics, standing: Callable[[], HistoryStanding]) -> None:
    """Show at each scrape how far the history of facts reaches back."""
    watch = metrics.watch
    watch(
        "authz_facts_history_from_revision",
        "The oldest revision that can be asked about; NaN where that is not known.",
        lambda: _number(kept.revision if (kept := standing().kept) else None),
    )
    watch(
        "authz_facts_history_from_timestamp_seconds",
        "When that revision was recorded, in seconds since 1970; NaN where that is not known.",
        lambda: _number(
            kept.since.timestamp() if (kept := standing().kept) and kept.since else None
        ),
    )
    watch(
        "authz_facts_history_removed_total",
        "Rows of history that this process removed because they were too old.",
        lambda: standing().removed,
        "table",
    )


def watch_serving(metrics: Metrics, serving: Callable[[], bool]) -> None:
    """Show at each scrape whether questions can be answered."""
    metrics.watch("authz_serving", "1 while questions can be answered.", serving)


def watch_calls(metrics: Metrics, in_flight: Callable[[], int]) -> None:
    """Show at each scrape how many calls have a place."""
    metrics.watch(
        "authz_calls_in_flight",
        "Calls in hand, those included whose answers were not taken yet.",
        in_flight,
    )


def watch_shipping(metrics: Metrics, standing: Callable[[], ShippingStanding]) -> None:
    """Show at each scrape how shipping is doing."""
    watch = metrics.watch
    watch(
        "authz_shipping_usable",
        "1 while what is recorded gets into the decision store.",
        lambda: float(standing().usable),
    )
    watch(
        "authz_shipping_behind_lines",
        "Lines of the journal that are not in the store; NaN where that is not known.",
        lambda: _number(standing().behind_lines),
    )
    watch(
        "authz_shipping_behind_seconds",
        "Age of the oldest record that is not in the store; NaN where that is not known.",
        lambda: _number(standing().behind_seconds),
    )


def watch_emergency(metrics: Metrics, reading: AccessReading) -> None:
    """Show at each scrape how many emergency accesses there are, on all replicas together."""

    def counts() -> Mapping[str, float]:
        known = reading.standing
        return {
            "open": _number(known.open if known else None),
            "unreviewed": _number(known.unreviewed if known else None),
        }

    metrics.watch(
        "authz_emergency_accesses",
        "Emergency accesses in the registry; NaN where that is not known.",
        counts,
        "state",
    )
    metrics.watch(
        "authz_emergency_oldest_unreviewed_seconds",
        "Age of the oldest access that nobody reviewed, 0 for none; NaN where not known.",
        lambda: _number(reading.oldest_seconds),
    )


def _number(known: float | None) -> float:
    """Return what is known."""
    return _UNKNOWN if known is None else float(known)

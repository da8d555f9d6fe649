"""What is read at each scrape rather than counted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from authz_service.telemetry.metrics import Metrics


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

"""The emergency accesses of one process: where they are kept, and who counts them."""

from __future__ import annotations

import contextlib

from authz_service.facts.access_counts import SqlAccessCounts
from authz_service.facts.emergency_registry import SqlEmergencyRegistry
from authz_service.facts.sql_registry import SqlRegistry
from authz_service.operations.ports import Clock
from authz_service.operations.watch_emergency import AccessWatch
from authz_service.runtime import closed_in_time
from authz_service.telemetry.gauges import watch_emergency
from authz_service.telemetry.metrics import Metrics


def watched_accesses(
    registry: SqlRegistry,
    url: str,
    clock: Clock,
    metrics: Metrics,
    closing: contextlib.AsyncExitStack,
) -> SqlEmergencyRegistry:
    """Return the emergency accesses of *registry*, at *url*, shown by *metrics* until *closing*."""
    counts = SqlAccessCounts(url, clock)
    closing.push_async_callback(closed_in_time, counts.close)
    watch = AccessWatch(counts, clock)
    watch.start()
    closing.push_async_callback(watch.close)
    watch_emergency(metrics, watch)
    return SqlEmergencyRegistry(registry, clock)

"""The registry as a service has it open: writer, cache, lists and brake, and what they tell."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass

from authz_service.accesses import watched_accesses
from authz_service.clocks import SystemClock
from authz_service.facts.as_of import SqlHistory
from authz_service.facts.cache import FactsCache
from authz_service.facts.change_feed import SqlChangeFeed
from authz_service.facts.emergency_registry import SqlEmergencyRegistry
from authz_service.facts.listing import CandidateLists
from authz_service.facts.looks import OnUsable
from authz_service.facts.opening import all_lists_over, cache_over, feed_over
from authz_service.facts.person_archive import SqlPersonArchive
from authz_service.facts.retaining import FactsRetention
from authz_service.facts.schema_version import migrate
from authz_service.facts.sql_containments import SqlContainments
from authz_service.facts.sql_reader import SqlReader
from authz_service.facts.sql_registry import SqlRegistry
from authz_service.facts.subject_listing import SubjectLists
from authz_service.operations.ports import Clock
from authz_service.runtime import closed_in_time
from authz_service.settings import Settings
from authz_service.telemetry.containments_gauge import watch_containments
from authz_service.telemetry.gauges import watch_cache, watch_history
from authz_service.telemetry.metrics import Metrics


@dataclass(frozen=True, slots=True)
class OpenedRegistry:
    """The ways into one registry.

    Attributes:
        registry: For those who write.
        facts: For checks.
        candidates: For lists.
        containments: The brake.
        feed: For those who watch.
        subjects: For lists of who may.
        history: For questions about an earlier instant.
        accesses: For emergency accesses.
        persons: For whoever asks what is stored about them.
    """

    registry: SqlRegistry
    facts: FactsCache
    candidates: CandidateLists
    containments: SqlContainments
    feed: SqlChangeFeed
    subjects: SubjectLists
    history: SqlHistory
    accesses: SqlEmergencyRegistry
    persons: SqlPersonArchive


async def open_registry(
    settings: Settings,
    clock: Clock,
    metrics: Metrics,
    closing: AsyncExitStack,
    on_usable: OnUsable,
) -> OpenedRegistry:
    """Open the registry, made or upgraded where it has to be; *closing* closes it.

    Args:
        settings: Where it is, and how old facts may be.
        clock: The service's time.
        metrics: Shows what the cache holds.
        closing: Is told what has to be closed.
        on_usable: Told when the registry becomes usable or unusable.

    Raises:
        FactsUnavailableError: The registry is silent, locked, gone or of another schema.
    """
    url = settings.registry_url
    await asyncio.to_thread(migrate, url)
    registry = SqlRegistry(url, clock)
    closing.push_async_callback(closed_in_time, registry.close)
    containments = SqlContainments(url, clock, beside=registry.giving_way)
    closing.push_async_callback(closed_in_time, containments.close)
    await containments.start()
    reader = SqlReader(url, SystemClock())
    closing.push_async_callback(closed_in_time, reader.close)
    facts = cache_over(
        reader,
        staleness_seconds=settings.facts_staleness_ms / 1000,
        max_entries=settings.facts_cache_entries,
        metrics=metrics.facts,
        on_usable=on_usable,
    )
    closing.push_async_callback(facts.close)
    await facts.start()
    _retain_history(settings, clock, metrics, closing)
    lists = all_lists_over(reader, facts)
    closing.callback(lists.close)
    watch_cache(metrics, facts.counts)
    watch_containments(metrics, lambda: facts.containments.known, clock)
    feed = feed_over(url, facts)
    closing.push_async_callback(closed_in_time, feed.close)
    history = SqlHistory(url)
    closing.push_async_callback(closed_in_time, history.close)
    persons = SqlPersonArchive(url)
    closing.push_async_callback(closed_in_time, persons.close)
    accesses = watched_accesses(registry, url, clock, metrics, closing)
    return OpenedRegistry(
        registry,
        facts,
        lists.candidates,
        containments,
        feed,
        lists.subjects,
        history,
        accesses,
        persons,
    )


def _retain_history(
    settings: Settings, clock: Clock, metrics: Metrics, closing: AsyncExitStack
) -> None:
    """Begin to remove what history keeps longer than it has to."""
    retention = FactsRetention(settings.registry_url, clock, settings.facts_history_days)
    closing.push_async_callback(closed_in_time, retention.close)
    closing.push_async_callback(retention.stop)
    watch_history(metrics, lambda: retention.standing)
    retention.start()

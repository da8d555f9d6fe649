"""How cache and lists are set up over a registry: a local one is read on the spot."""

from __future__ import annotations

from typing import NamedTuple

from authz_service.facts.cache import FactsCache
from authz_service.facts.cache_bounds import CacheBounds
from authz_service.facts.cache_metrics import FactsCacheMetrics
from authz_service.facts.change_feed import SqlChangeFeed
from authz_service.facts.listing import CandidateLists
from authz_service.facts.looks import OnUsable
from authz_service.facts.sql_reader import SqlReader
from authz_service.facts.subject_listing import SubjectLists
from authz_service.facts.workers import on_the_loop, worker_threads
from authz_service.operations.change_feed import RegistryState

_QUIET_TURNS = 16
_KEYS_ON_THE_LOOP = 200
"""So many that a load stops everybody else for a few milliseconds at most."""
_KEYS_IN_A_THREAD = 2_000

_RETRY_SECONDS = 0.05


def cache_over(
    reader: SqlReader,
    *,
    staleness_seconds: float,
    max_entries: int,
    metrics: FactsCacheMetrics,
    on_usable: OnUsable,
) -> FactsCache:
    """Return a cache over *reader*; `start` it on the event loop that it shall belong to.

    Args:
        reader: The registry.
        staleness_seconds: The oldest look on which an answer may rest.
        max_entries: How many subjects, recordings and patients are held, each.
        metrics: Hears of looks and loads.
        on_usable: Told when the registry becomes usable or unusable.
    """
    bounds = CacheBounds(
        staleness_seconds=staleness_seconds,
        max_entries=max_entries,
        quiet_turns=_QUIET_TURNS,
        retry_seconds=0.0 if reader.is_local else _RETRY_SECONDS,
        max_load_keys=_KEYS_ON_THE_LOOP if reader.is_local else _KEYS_IN_A_THREAD,
    )
    return FactsCache(
        reader,
        bounds,
        metrics=metrics,
        on_usable=on_usable,
        threads_for=on_the_loop if reader.is_local else worker_threads,
    )


def lists_over(reader: SqlReader, cache: FactsCache) -> CandidateLists:
    """Return the lists of the registry of *reader*, whose facts come from *cache*."""
    return CandidateLists(
        reader, cache, threads_for=on_the_loop if reader.is_local else worker_threads
    )


def feed_over(url: str, cache: FactsCache) -> SqlChangeFeed:
    """Return the changes of the registry of *url*, at which *cache* looks for them as well."""

    async def look() -> RegistryState:
        await cache.facts_for((), 0)
        return RegistryState(*cache.state)

    return SqlChangeFeed(url, look, pace_seconds=cache.bounds.staleness_seconds)


class RegistryLists(NamedTuple):
    """All lists of one registry.

    Attributes:
        candidates: Of recordings, by subject.
        subjects: Of subjects, by recording.
    """

    candidates: CandidateLists
    subjects: SubjectLists

    def close(self) -> None:
        """End their threads as soon as the registry lets go of them."""
        self.candidates.close()
        self.subjects.close()


def all_lists_over(reader: SqlReader, cache: FactsCache) -> RegistryLists:
    """Return all lists of the registry of *reader*; *cache* says how fresh they are."""
    subjects = SubjectLists(reader, cache)
    return RegistryLists(lists_over(reader, cache), subjects)

"""What the cache of facts tells about itself; where it goes is not known here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class LookResult(StrEnum):
    """What a look at the registry found."""

    UNCHANGED = "unchanged"
    ADVANCED = "advanced"
    RESET = "reset"
    FAILED = "failed"


class LoadResult(StrEnum):
    """What became of a load."""

    LOADED = "loaded"
    OUTRUN = "outrun"
    FAILED = "failed"


class FactsCacheMetrics(Protocol):
    """Hears of what the cache does in the background. Called on the event loop."""

    def looked(self, result: LookResult, seconds: float) -> None:
        """Count one look that took *seconds*. Must not raise or block."""
        ...

    def loaded(self, result: LoadResult, keys: int, seconds: float) -> None:
        """Count one load of *keys* that took *seconds*. Must not raise or block.

        Outrun means that some of what it brought had changed meanwhile, and was thrown away.
        """
        ...


class SilentMetrics:
    """Nobody listens."""

    def looked(self, result: LookResult, seconds: float) -> None:
        pass

    def loaded(self, result: LoadResult, keys: int, seconds: float) -> None:
        pass


@dataclass(frozen=True, slots=True)
class CacheCounts:
    """The cache at one moment. Spaces are subject, recording, patient, containments, unknown.

    Attributes:
        revision: The registry's revision at which everything held is true; -1 before the first.
        entries: How many values are held, by space.
        evicted: How many had to make room since the start, by space.
        dropped: How many were dropped since the start because the registry changed.
        hits: How many values served questions answered without waiting, by the space of their key.
        misses: How many keys had to be waited for, by their space.
    """

    revision: int
    entries: Mapping[str, int]
    evicted: Mapping[str, int]
    dropped: int
    hits: Mapping[str, int]
    misses: Mapping[str, int]

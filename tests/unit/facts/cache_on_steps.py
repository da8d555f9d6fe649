"""A cache over a naive registry, whose threads move when a test says so."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from authz_service.facts.cache import FactsCache
from authz_service.facts.cache_bounds import CacheBounds
from authz_service.operations.ports import FactsQuestion
from authz_service.pdp.facts import Facts
from tests.fake_registry import (
    FakeRegistry,
    SteppedThreads,
    StillClock,
    patient,
    recording,
    settle,
    subject,
)

Asked = asyncio.Task[Sequence[Facts]]


@dataclass
class Stage:
    """The cache, what it stands on, and what it told."""

    clock: StillClock
    registry: FakeRegistry
    looks: SteppedThreads
    loads: SteppedThreads
    cache: FactsCache
    usable: list[tuple[bool, str]] = field(default_factory=list)

    def ask(self, *questions: FactsQuestion, at_least: int = 0) -> Asked:
        """Ask, and go on."""
        return asyncio.ensure_future(self.cache.facts_for(questions, at_least))

    async def answer(self, *questions: FactsQuestion, at_least: int = 0) -> Sequence[Facts]:
        """Ask, and let every thread go."""
        asked = self.ask(*questions, at_least=at_least)
        await settle(self.looks, self.loads)
        return await asked


def staged(bounds: CacheBounds) -> Stage:
    """Return a cache that was not started, over a registry with two recordings of two people."""
    clock = StillClock()
    registry = FakeRegistry(clock)
    registry.write(
        subject_ann=subject("ann", "a1"),
        subject_bob=subject("bob", "b1"),
        patient_ann=patient("ann", "a1"),
        patient_bob=patient("bob", "b1"),
        recording_r1=recording("r1", "ann", "r1"),
        recording_r2=recording("r2", "bob", "r2"),
    )
    looks, loads = SteppedThreads(), SteppedThreads()
    threads = {"facts-look": looks, "facts-load": loads}
    usable: list[tuple[bool, str]] = []
    cache = FactsCache(
        registry,
        bounds,
        on_usable=lambda is_usable, why: usable.append((is_usable, why)),
        monotonic=clock,
        threads_for=lambda many, name: threads[name],
    )
    return Stage(clock, registry, looks, loads, cache, usable)


async def started(bounds: CacheBounds) -> Stage:
    """Return a cache that was started."""
    stage = staged(bounds)
    starting = asyncio.ensure_future(stage.cache.start())
    await settle(stage.looks, stage.loads)
    await starting
    return stage

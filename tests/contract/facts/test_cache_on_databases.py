"""The cache on real databases: writes of other connections at the worst moments, and lost files."""

from __future__ import annotations

import asyncio
import os
import shutil
import threading
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from authz_service.facts.cache import FactsCache
from authz_service.facts.cache_bounds import CacheBounds
from authz_service.facts.reader import Changes, Key, Load, Look
from authz_service.facts.sql_reader import SqlReader
from authz_service.facts.sql_registry import SqlRegistry
from authz_service.operations.ports import FactsQuestion
from authz_service.pdp.entity_words import SubjectStatus
from authz_service.pdp.errors import FactsUnavailableError
from authz_service.pdp.facts import Facts
from tests.contract.facts.registry_cases import (
    ACTOR,
    SteppingClock,
    SystemClock,
    fact,
    subject,
    world,
)

BOUNDS = CacheBounds(staleness_seconds=0.2, timeout_seconds=10.0)
ANA_R1 = FactsQuestion("ana", "r1")


class Barrier:
    """Holds a thread at one point until a test lets it go."""

    def __init__(self) -> None:
        self.armed = False
        self._arrived = threading.Event()
        self._free = threading.Event()

    def __call__(self) -> None:
        """Stop here, once, if armed."""
        if self.armed:
            self.armed = False
            self._arrived.set()
            assert self._free.wait(10)

    async def arrived(self) -> None:
        """Return when the thread has come to the barrier."""
        assert await asyncio.to_thread(self._arrived.wait, 10)

    def release(self) -> None:
        """Let the thread go."""
        self._free.set()


class HeldReader:
    """A reader whose loads can be held after they came back from the database."""

    def __init__(self, reader: SqlReader, after_load: Callable[[], None]) -> None:
        self._reader = reader
        self._after_load = after_load

    def look(self) -> Look:
        return self._reader.look()

    def changes(self, after: int, after_nonce: str) -> Changes:
        return self._reader.changes(after, after_nonce)

    def load(self, keys: Collection[Key]) -> Load:
        load = self._reader.load(keys)
        self._after_load()
        return load


@pytest.fixture
def within_load() -> Iterator[Barrier]:
    """Between the two halves of a load, inside its snapshot."""
    barrier = Barrier()
    yield barrier
    barrier.release()


@pytest.fixture
def after_load() -> Iterator[Barrier]:
    """Between a load and its insertion."""
    barrier = Barrier()
    yield barrier
    barrier.release()


@pytest.fixture
def held_reader(
    registry_url: str, within_load: Barrier, after_load: Barrier
) -> Iterator[HeldReader]:
    """A reader of the registry with both barriers in it."""
    reader = SqlReader(registry_url, SystemClock(), between=within_load)
    yield HeldReader(reader, after_load)
    reader.close()


@pytest.fixture
async def cache(registry: SqlRegistry, held_reader: HeldReader) -> AsyncIterator[FactsCache]:
    """A started cache over a registry with one corroborated recording."""
    await registry.write(world(), actor=ACTOR)
    made = FactsCache(held_reader, BOUNDS)
    await made.start()
    yield made
    await made.close()


async def suspend(registry: SqlRegistry, day: int = 1) -> int:
    """Suspend Ana; return the revision."""
    suspended = replace(subject("ana"), status=SubjectStatus.SUSPENDED)
    return (await registry.write([fact(suspended, day=day)], actor=ACTOR)).revision


def status(facts: Facts) -> SubjectStatus:
    """Return the status of the subject of *facts*."""
    assert facts.subject is not None
    return facts.subject.subject.status


async def test_a_registry_is_answered_from_memory_after_the_first_question(
    cache: FactsCache,
) -> None:
    (loaded,) = await cache.facts_for((ANA_R1,), 0)

    assert cache.cached(ANA_R1, 0) == loaded
    assert (loaded.revision, status(loaded)) == (1, SubjectStatus.ACTIVE)
    assert loaded.recording is not None
    assert loaded.patient is not None


@pytest.mark.parametrize("looked", [True, False], ids=["look-sees-it", "no-look-in-between"])
async def test_a_write_between_a_load_and_its_insertion_is_never_overlooked(
    cache: FactsCache, registry: SqlRegistry, after_load: Barrier, *, looked: bool
) -> None:
    """The load is back with what was true; before it is held, somebody is suspended."""
    after_load.armed = True
    asked = asyncio.ensure_future(cache.facts_for((ANA_R1,), 0))
    await after_load.arrived()
    revision = await suspend(registry)
    if looked:
        await cache.facts_for((), revision)

    after_load.release()
    (facts,) = await asked
    (later,) = await cache.facts_for((ANA_R1,), revision)

    seen = (facts.revision, status(facts))
    after, before = (revision, SubjectStatus.SUSPENDED), (revision - 1, SubjectStatus.ACTIVE)
    assert seen == after or (not looked and seen == before)
    assert (later.revision, status(later)) == after
    assert cache.cached(ANA_R1, revision) == later


async def test_a_write_within_a_load_does_not_mix_two_moments(
    cache: FactsCache, registry: SqlRegistry, within_load: Barrier
) -> None:
    """Half of the values are read before the write and half after it, in one snapshot."""
    within_load.armed = True
    asked = asyncio.ensure_future(cache.facts_for((ANA_R1,), 0))
    await within_load.arrived()
    revision = await suspend(registry)
    looked = asyncio.ensure_future(cache.facts_for((), revision))
    await looked

    within_load.release()
    (facts,) = await asked

    assert facts.revision == revision
    assert facts.patient is not None
    assert (status(facts), facts.patient.subject.status) == (SubjectStatus.SUSPENDED,) * 2


async def test_what_is_committed_is_seen_once_the_bound_has_passed(
    cache: FactsCache, registry: SqlRegistry
) -> None:
    """Under traffic that never stops, and with nobody naming a revision."""
    await cache.facts_for((ANA_R1,), 0)
    await suspend(registry)
    loop = asyncio.get_running_loop()
    obeyed_by = loop.time() + BOUNDS.staleness_seconds

    answered = 0
    while loop.time() <= obeyed_by:
        await asyncio.sleep(0)
        answered += cache.cached(ANA_R1, 0) is not None

    assert answered > 0
    assert status((await cache.facts_for((ANA_R1,), 0))[0]) is SubjectStatus.SUSPENDED


async def test_answers_under_constant_writes_are_each_one_state(
    cache: FactsCache, registry: SqlRegistry
) -> None:
    """Every write changes two people together; no answer ever shows one of them changed."""
    writing = True

    async def write_on() -> None:
        day = 1
        while writing:
            kin = (f"day{day}",)
            both = [fact(subject(who, family=kin), day=day) for who in ("ana", "bob")]
            await registry.write(both, actor=ACTOR)
            day += 1

    writer = asyncio.ensure_future(write_on())
    bob = FactsQuestion("bob", "r1")
    try:
        for _ in range(60):
            answers = await cache.facts_for((ANA_R1, bob), 0)
            people = [*(facts.subject for facts in answers), answers[0].patient]
            assert len({one.subject.family for one in people if one is not None}) == 1
            assert len({facts.revision for facts in answers}) == 1
    finally:
        writing = False
        await writer


async def test_a_restored_file_shares_nothing_with_what_was_held(
    sqlite_url: str, clock: SteppingClock, tmp_path: Path
) -> None:
    """Put back by copying, and written to until its revision is the one that was held."""
    path, backup = Path(sqlite_url.removeprefix("sqlite:///")), tmp_path / "backup.db"
    registry = SqlRegistry(sqlite_url, clock)
    await registry.write(world(), actor=ACTOR)
    registry.close()
    shutil.copy(path, backup)
    registry = SqlRegistry(sqlite_url, clock)
    await registry.write([fact(subject("eve"), day=1)], actor=ACTOR)
    reader = SqlReader(sqlite_url, SystemClock())
    cache = FactsCache(reader, BOUNDS)
    await cache.start()
    held = await cache.facts_for((ANA_R1,), 2)
    registry.close()
    for stale in path.parent.glob(f"{path.name}-*"):
        stale.unlink()
    os.replace(backup, path)  # noqa: PTH105  # what a restore does to the file
    registry = SqlRegistry(sqlite_url, clock)
    assert await suspend(registry) == 2

    await asyncio.sleep(BOUNDS.staleness_seconds)
    (facts,) = await cache.facts_for((ANA_R1,), 0)

    assert status(held[0]) is SubjectStatus.ACTIVE
    assert (facts.revision, status(facts)) == (2, SubjectStatus.SUSPENDED)
    await cache.close()
    registry.close()
    reader.close()


async def test_a_registry_that_is_gone_is_not_answered_for(
    sqlite_url: str, clock: SteppingClock
) -> None:
    """Facts in memory are of no use once nobody can say that they are still true."""
    path = Path(sqlite_url.removeprefix("sqlite:///"))
    registry = SqlRegistry(sqlite_url, clock)
    await registry.write(world(), actor=ACTOR)
    registry.close()
    told: list[bool] = []
    reader = SqlReader(sqlite_url, SystemClock())
    cache = FactsCache(reader, BOUNDS, on_usable=lambda usable, why: told.append(usable))
    await cache.start()
    await cache.facts_for((ANA_R1,), 0)
    away = path.with_suffix(".away")
    os.rename(path, away)  # noqa: PTH104  # what an operator does to the file
    await asyncio.sleep(BOUNDS.staleness_seconds)

    with pytest.raises(FactsUnavailableError):
        await cache.facts_for((ANA_R1,), 0)
    assert cache.cached(ANA_R1, 0) is None
    os.rename(away, path)  # noqa: PTH104  # what an operator does to the file

    assert (await cache.facts_for((ANA_R1,), 0))[0].revision == 1
    assert told == [True, False, True]
    await cache.close()
    reader.close()

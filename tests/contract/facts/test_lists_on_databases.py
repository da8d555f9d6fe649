"""Pages of candidates with their facts, on real databases: writes of others at every moment."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from authz_service.facts.cache import FactsCache
from authz_service.facts.cache_bounds import CacheBounds
from authz_service.facts.database import Access, Database
from authz_service.facts.listing import CandidateLists
from authz_service.facts.reader import Candidates, Load, PageQuestion
from authz_service.facts.rows import canonical
from authz_service.facts.sql_reader import SqlReader
from authz_service.facts.writing import write_facts
from authz_service.operations.lists import CandidatePage, CandidateQuestion, ListKey
from authz_service.pdp.entities import Entity
from authz_service.pdp.entity_words import SubjectStatus
from authz_service.pdp.errors import FactsUnavailableError, RevisionAheadError
from authz_service.pdp.model import Relation
from tests.contract.facts.registry_cases import (
    ACTOR,
    STARTED,
    SteppingClock,
    attendance,
    consultation,
    fact,
    recording,
    run,
    subject,
    tenant,
)

BOUNDS = CacheBounds(staleness_seconds=0.2, timeout_seconds=10.0)
OF_ANA = CandidateQuestion("ana", frozenset({Relation.OWNER, Relation.ATTENDING}))
COUNT = 6

Hook = Callable[[], None]


class HookedReader:
    """A reader of candidates that lets a test act right after each reading."""

    def __init__(self, reader: SqlReader) -> None:
        self._reader = reader
        self.after_candidates: Hook = lambda: None
        self.after_snapshot: Hook = lambda: None
        self.readings = 0
        self.snapshots = 0

    def candidates(self, question: PageQuestion) -> Candidates:
        found = self._reader.candidates(question)
        self.readings += 1
        self.after_candidates()
        return found

    def candidates_with_facts(self, question: PageQuestion) -> tuple[Candidates, Load]:
        found = self._reader.candidates_with_facts(question)
        self.snapshots += 1
        self.after_snapshot()
        return found


class Writer:
    """Another program that writes to the registry, from any thread."""

    def __init__(self, url: str) -> None:
        self._database = Database(url, lock_seconds=5, pool=1)
        self._clock = SteppingClock()
        self._day = 0

    def write(self, *entities: Entity) -> int:
        """Write *entities* as seen a day later than those before; return the revision."""
        self._day += 1
        facts = [fact(entity, day=self._day) for entity in entities]
        with self._database.transaction(Access.WRITE) as session:
            return write_facts(session, facts, actor=ACTOR, now=self._clock.now()).revision

    def close(self) -> None:
        """Close its connection."""
        self._database.close()


def of_ana(number: int) -> Entity:
    """Return Ana's recording of a number; two at a time were made at the same instant."""
    return recording("ana", f"r{number}", created_at=STARTED + timedelta(hours=number // 2))


@pytest.fixture
def writer(registry_url: str) -> Iterator[Writer]:
    """Another program, which has written Ana and six recordings of hers."""
    made = Writer(registry_url)
    made.write(
        tenant(),
        subject("ana"),
        consultation("ana"),
        *(of_ana(number) for number in range(COUNT)),
        *(attendance("ana", f"r{number}") for number in range(COUNT)),
    )
    yield made
    made.close()


@pytest.fixture
async def cache(writer: Writer, reader: SqlReader) -> AsyncIterator[FactsCache]:
    """A started cache over what the writer wrote."""
    made = FactsCache(reader, BOUNDS)
    await made.start()
    yield made
    await made.close()


@pytest.fixture
def hooked(reader: SqlReader) -> HookedReader:
    return HookedReader(reader)


@pytest.fixture
def lists(cache: FactsCache, hooked: HookedReader) -> Iterator[CandidateLists]:
    """Lists beside the cache."""
    made = CandidateLists(hooked, cache)
    yield made
    made.close()


async def page(
    lists: CandidateLists, after: ListKey | None = None, limit: int = 50, at_least: int = 0
) -> CandidatePage:
    """Return a page of what Ana reaches, which is one state throughout."""
    found = await lists.candidates(OF_ANA, after=after, limit=limit, at_least=at_least)
    assert {one.revision for one in found.facts} <= {found.revision}
    assert len(found.facts) == len(found.keys)
    for one, key in zip(found.facts, found.keys, strict=True):
        assert one.recording is not None
        assert one.recording.recording.entity.id == key.recording_id
        assert one.recording.recording.entity.created_at == key.created_at
    return found


def ids(found: CandidatePage) -> list[str]:
    """Return the recordings of a page."""
    return [key.recording_id for key in found.keys]


async def test_pages_follow_each_other_and_the_second_reading_is_from_memory(
    lists: CandidateLists, cache: FactsCache, hooked: HookedReader
) -> None:
    first = await page(lists, limit=3)
    second = await page(lists, after=first.keys[-1], limit=3)
    missed = sum(cache.counts().misses.values())
    again = await page(lists, limit=3)

    assert (ids(first), first.is_last) == (["r5", "r4", "r3"], False)
    assert (ids(second), second.is_last) == (["r2", "r1", "r0"], True)
    assert again == first
    assert sum(cache.counts().misses.values()) == missed
    assert (hooked.readings, hooked.snapshots) == (3, 0)


async def test_a_write_between_candidates_and_facts_is_never_mixed_in(
    lists: CandidateLists, hooked: HookedReader, writer: Writer, cache: FactsCache
) -> None:
    """Candidates are read; before their facts are, another recording comes and Ana is suspended."""
    await page(lists)
    suspended = replace(subject("ana"), status=SubjectStatus.SUSPENDED)

    def write_once() -> None:
        hooked.after_candidates = lambda: None
        writer.write(of_ana(6), attendance("ana", "r6"), suspended)

    hooked.after_candidates = write_once
    mixed = await page(lists)
    later = await page(lists, at_least=2)

    assert [(mixed.revision, len(mixed.keys)), (later.revision, len(later.keys))] in (
        [(1, COUNT), (2, COUNT + 1)],
        [(2, COUNT + 1), (2, COUNT + 1)],
    )
    statuses = {one.subject.subject.status for one in later.facts if one.subject is not None}
    assert statuses == {SubjectStatus.SUSPENDED}


async def test_a_write_that_the_cache_has_seen_is_in_the_page(
    lists: CandidateLists, hooked: HookedReader, writer: Writer, cache: FactsCache
) -> None:
    """The cache moves on between candidates and facts: the candidates are read again."""
    loop = asyncio.get_running_loop()

    def write_and_look() -> None:
        hooked.after_candidates = lambda: None
        revision = writer.write(of_ana(6))
        asyncio.run_coroutine_threadsafe(cache.facts_for((), revision), loop).result(10)

    hooked.after_candidates = write_and_look
    found = await page(lists)

    assert (found.revision, ids(found)[0]) == (2, "r6")
    assert hooked.readings == 2


async def test_where_somebody_always_writes_a_page_is_one_snapshot(
    lists: CandidateLists, hooked: HookedReader, writer: Writer, cache: FactsCache
) -> None:
    """Every reading is outrun; the page then brings its facts along, and is still one state."""
    loop = asyncio.get_running_loop()
    written = 0

    def write_and_look() -> None:
        nonlocal written
        revision = writer.write(of_ana(6 + written))
        written += 1
        asyncio.run_coroutine_threadsafe(cache.facts_for((), revision), loop).result(10)

    hooked.after_candidates = write_and_look
    found = await page(lists)

    assert hooked.snapshots == 1
    assert (found.revision, len(found.keys)) == (1 + written, COUNT + written)


async def test_a_snapshot_that_is_too_old_is_not_a_page(
    lists: CandidateLists, hooked: HookedReader, writer: Writer, cache: FactsCache
) -> None:
    """What was committed before the staleness bound would be missing from it."""
    loop = asyncio.get_running_loop()

    def write_and_look() -> None:
        revision = writer.write(subject("bob"))
        asyncio.run_coroutine_threadsafe(cache.facts_for((), revision), loop).result(10)

    def wait() -> None:
        asyncio.run_coroutine_threadsafe(asyncio.sleep(0.25), loop).result(10)

    hooked.after_candidates, hooked.after_snapshot = write_and_look, wait

    with pytest.raises(FactsUnavailableError, match="more slowly than facts may be old"):
        await page(lists)


async def test_pages_under_constant_writes_are_each_one_state(
    lists: CandidateLists, writer: Writer
) -> None:
    """Each write moves Ana and a recording of hers together; revisions never go back."""
    writing = True

    def write_on() -> None:
        number = COUNT
        while writing:
            kin = tuple(f"r{one}" for one in range(COUNT, number + 1))
            writer.write(subject("ana", family=kin), of_ana(number))
            number += 1

    done = asyncio.get_running_loop().run_in_executor(None, write_on)
    revision = pages = 0
    try:
        while pages < 30 or revision < 5:  # until the writer has had its turns, however slow it is
            found = await page(lists, limit=500)
            pages += 1
            await asyncio.sleep(0)
            assert found.facts[0].subject is not None
            written = found.facts[0].subject.subject.family
            assert set(ids(found)) == {*(f"r{one}" for one in range(COUNT)), *written}
            assert found.revision >= revision
            revision = found.revision
    finally:
        writing = False
        await done


async def test_a_revision_that_is_not_there_yet_is_refused(
    lists: CandidateLists, writer: Writer
) -> None:
    with pytest.raises(RevisionAheadError):
        await page(lists, at_least=2)
    assert writer.write(of_ana(6)) == 2

    assert (await page(lists, at_least=2)).revision == 2


async def test_what_is_committed_is_in_the_next_page(lists: CandidateLists, writer: Writer) -> None:
    """Candidates are read for every page: no staleness keeps a recording out of a list."""
    await page(lists)
    writer.write(of_ana(6))

    assert ids(await page(lists))[0] == "r6"


async def test_an_empty_list_is_of_a_revision_too(lists: CandidateLists) -> None:
    nobody = CandidateQuestion("nobody", frozenset(Relation))

    found = await lists.candidates(nobody, after=None, limit=5, at_least=0)

    assert found == CandidatePage([], (), is_last=True, revision=1)


async def test_a_registry_that_is_not_the_one_it_was_starts_anew(
    lists: CandidateLists, registry_url: str
) -> None:
    """The same revision of another history shares nothing with what is held.

    The cache has looked a moment ago and does not know yet; the candidates do.
    """
    await page(lists)
    suspended = canonical(replace(subject("ana"), status=SubjectStatus.SUSPENDED))
    nonce = "0" * 32
    run(
        registry_url,
        f"UPDATE facts_revision SET nonce = '{nonce}'",  # noqa: S608  # hexadecimal
        f"UPDATE facts_writes SET nonce = '{nonce}' WHERE revision = 1",  # noqa: S608  # hexadecimal
        f"UPDATE subjects SET value = '{suspended}' WHERE id = 'ana'",  # noqa: S608  # a value of ours
    )

    (restored,) = (await page(lists, limit=1)).facts

    assert restored.subject is not None
    assert restored.subject.subject.status is SubjectStatus.SUSPENDED


async def test_a_list_that_takes_too_long_is_given_up(
    cache: FactsCache, hooked: HookedReader
) -> None:
    loop = asyncio.get_running_loop()
    hooked.after_candidates = lambda: asyncio.run_coroutine_threadsafe(
        asyncio.sleep(0.3), loop
    ).result(10)
    impatient = FactsCache(hooked, replace(BOUNDS, timeout_seconds=0.1))  # type: ignore[arg-type]  # its bounds alone are asked for
    lists = CandidateLists(hooked, impatient)

    with pytest.raises(FactsUnavailableError, match=r"no list within 0\.1 s"):
        await page(lists)
    lists.close()

"""The feed of changes on each database, held against a naive reader of everything."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import sqlite3
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest

from authz_service.facts import change_pages
from authz_service.facts.change_feed import SqlChangeFeed
from authz_service.facts.database import Access, Database
from authz_service.facts.exporter import export_lines
from authz_service.facts.revisions import state
from authz_service.facts.sql_registry import SqlRegistry
from authz_service.operations.change_feed import ChangePosition, RegistryState, RevisionPart
from authz_service.pdp.entity_plain import fact_to_plain
from authz_service.pdp.entity_words import FactKind
from authz_service.pdp.errors import (
    FactsUnavailableError,
    HistoryGoneError,
    RevisionAheadError,
    StateError,
)
from authz_service.pdp.facts import FactReference
from tests.contract.facts.registry_cases import (
    ACTOR,
    SteppingClock,
    attendance,
    block,
    consultation,
    fact,
    recording,
    reference,
    run,
    subject,
    tenant,
    world,
)

WRITES = int(os.environ.get("AUTHZ_TEST_FEED_WRITES", "60"))
Applied = dict[FactReference, dict[str, Any]]


def present_state(url: str) -> RegistryState:
    """Return the state that the registry of *url* is in."""
    database = Database(url, lock_seconds=2, pool=1)
    try:
        with database.transaction(Access.READ) as session:
            return RegistryState(*state(session))
    finally:
        database.close()


@asynccontextmanager
async def feeding(url: str) -> AsyncIterator[SqlChangeFeed]:
    """Lend the feed of the registry of *url*."""

    async def look() -> RegistryState:
        return await asyncio.to_thread(present_state, url)

    feed = SqlChangeFeed(url, look, pace_seconds=0.01)
    try:
        yield feed
    finally:
        feed.close()


async def told_after(feed: SqlChangeFeed, revision: int = 0, nonce: str = "") -> list[RevisionPart]:
    """Return all that is told after a revision."""
    position = await feed.position_after(revision, nonce)
    parts: list[RevisionPart] = []
    while True:
        page = await feed.page(position)
        parts += page.parts
        position = page.end
        if page.is_last:
            return parts


def applied(parts: list[RevisionPart], facts: Applied | None = None) -> Applied:
    """Return *facts* with the changes of *parts* made to them, one after the other."""
    facts = {} if facts is None else facts
    for part in parts:
        for named, changed in part.changes:
            if changed is None:
                facts.pop(named, None)
            else:
                facts[named] = fact_to_plain(changed, long_names=True)
    return facts


def exported(url: str) -> list[bytes]:
    """Return all facts that are stored, one line each."""
    return sorted(export_lines(url))


def lines_of(facts: Applied) -> list[bytes]:
    """Return *facts* as an export has them."""

    return sorted(orjson.dumps(each, option=orjson.OPT_APPEND_NEWLINE) for each in facts.values())


async def scribble(registry: SqlRegistry, chance: random.Random, writes: int, day: int = 1) -> None:
    """Write and delete at random; some writes are refused or change nothing."""
    people = ("ana", "bob", "eve")
    await registry.write(world(), actor=ACTOR)
    for number in range(writes):
        who = chance.choice(people)
        made: list[Any] = [
            subject(who, birth_date=None, family=tuple(chance.sample(people, 1))),
            consultation(who),
            recording(who, chance.choice(("r1", "r2", "r3"))),
            attendance(who, chance.choice(("r1", "r2"))),
            block(who, f"b{number}"),
            tenant(),
        ]
        try:
            if chance.random() < 0.3:
                gone = chance.choice(
                    [reference(FactKind.ATTENDANCE, "r2"), reference(FactKind.CONSULTATION, "c1")]
                )
                await registry.delete([gone], actor=f"actor-{number}")
            else:
                chosen = chance.sample(made, chance.randint(1, len(made)))
                facts = [
                    fact(each, day=day + chance.randint(number, number + 3)) for each in chosen
                ]
                await registry.write(facts, actor=f"actor-{number}")
        except StateError:
            continue


@pytest.mark.parametrize("seed", range(2))
async def test_the_changes_in_their_order_make_all_facts(
    registry: SqlRegistry, registry_url: str, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever applies what is told to nothing holds what an export holds; pages may be small."""
    monkeypatch.setattr(change_pages, "PAGE_BYTES", 600)
    await scribble(registry, random.Random(seed), WRITES)

    async with feeding(registry_url) as feed:
        parts = await told_after(feed)

    assert lines_of(applied(parts)) == exported(registry_url)
    assert [part.state.revision for part in parts if part.is_whole] == list(
        range(1, present_state(registry_url).revision + 1)
    )
    assert any(not part.is_whole for part in parts)
    assert parts[-1].state == present_state(registry_url)


async def test_what_was_erased_is_told_as_gone_from_any_revision_on(
    registry: SqlRegistry, registry_url: str
) -> None:
    """Whoever had read it is told, and nobody who reads from further back is told what it was."""
    await registry.write(world(), actor=ACTOR)
    await registry.write([fact(subject("ana", family=("bob",)), day=2)], actor=ACTOR)
    async with feeding(registry_url) as feed:
        known = applied(await told_after(feed))
        await registry.erase("ana", actor="dpo", reason="asked for")
        since = [await told_after(feed, revision) for revision in (0, 1, 2)]

    left = exported(registry_url)
    assert lines_of(applied(since[0])) == left
    assert lines_of(applied(since[2], known)) == left
    erased = reference(FactKind.SUBJECT, "ana")
    said = [fact for parts in since for part in parts for named, fact in part.changes
            if named == erased]  # fmt: skip
    assert said
    assert set(said) == {None}


async def test_each_revision_says_who_and_when_and_which_disputes(
    registry: SqlRegistry, registry_url: str
) -> None:
    await registry.write(world(), actor="ada")
    await registry.write([fact(recording("bob"), day=1)], actor="ben")
    await registry.write([fact(recording("ana"), day=2)], actor="cy")
    await registry.resolve("r1", actor="di", reason="seen")

    async with feeding(registry_url) as feed:
        parts = await told_after(feed)

    assert [part.actor for part in parts] == ["ada", "ben", "cy", "di"]
    assert [part.attributions for part in parts] == [(), ("r1",), (), ("r1",)]
    assert [len(part.changes) for part in parts] == [6, 1, 1, 0]
    assert all(part.recorded_at for part in parts)
    assert not any(part.read_anew for part in parts)


async def test_whoever_goes_on_from_any_revision_misses_and_repeats_nothing(
    registry: SqlRegistry, registry_url: str
) -> None:
    await scribble(registry, random.Random(7), 12)

    async with feeding(registry_url) as feed:
        parts = await told_after(feed)
        for number, part in enumerate(parts, 1):
            rest = await told_after(feed, *part.state)

            assert [each.state for each in rest] == [each.state for each in parts[number:]]


async def test_a_revision_that_is_half_told_goes_on_where_it_was(
    registry: SqlRegistry, registry_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(change_pages, "PAGE_BYTES", 1)
    await registry.write(world(), actor=ACTOR)

    async with feeding(registry_url) as feed:
        parts = await told_after(feed)

    assert [part.is_whole for part in parts] == [False] * 5 + [True]
    assert {part.actor for part in parts} == {ACTOR}
    assert len({part.state for part in parts}) == 1
    assert lines_of(applied(parts)) == exported(registry_url)


async def test_a_page_holds_no_more_than_its_rows_and_its_bytes(
    registry: SqlRegistry, registry_url: str
) -> None:
    wide = [fact(subject(f"p{n}", family=tuple(f"f{m}" for m in range(900)))) for n in range(200)]
    await registry.write([fact(tenant()), *wide], actor=ACTOR)
    await registry.write([fact(block("ana", f"b{n}")) for n in range(1000)], actor=ACTOR)

    async with feeding(registry_url) as feed:
        parts = await told_after(feed)

    assert sum(len(part.changes) for part in parts) == 1201
    assert max(len(part.changes) for part in parts) <= change_pages.PAGE_ROWS
    lengths = [sum(len(str(changed)) for _, changed in part.changes if changed) for part in parts]
    assert max(lengths) < 4 * change_pages.PAGE_BYTES
    assert len(parts) > 5


async def test_a_value_that_stands_in_the_facts_own_row_is_told(
    registry: SqlRegistry, registry_url: str
) -> None:
    """The last change of a fact need not repeat its value."""
    await registry.write(world(), actor=ACTOR)
    await registry.write([fact(subject("bob", family=("eve",)), day=1)], actor=ACTOR)
    run(
        registry_url,
        "UPDATE fact_changes SET in_place = (1 = 1), value = NULL WHERE kind = 'subject'"
        " AND (id = 'ana' OR revision = 2)",
    )

    async with feeding(registry_url) as feed:
        parts = await told_after(feed)

    assert lines_of(applied(parts)) == exported(registry_url)


async def test_a_fill_says_that_all_is_to_be_read_anew(registry_url: str) -> None:
    run(
        registry_url,
        "INSERT INTO facts_writes VALUES (1, 'n1', 'loader', 5, 4, 5)",
        "INSERT INTO fact_changes (revision, kind, id, keys, source, observed_at, recorded_at)"
        " VALUES (1, 'registry', 'fill', '[\"*\"]', 'fill', 5, 5)",
        "UPDATE facts_revision SET revision = 1, nonce = 'n1'",
    )

    async with feeding(registry_url) as feed:
        (part,) = await told_after(feed)

    assert (part.read_anew, part.is_whole, part.changes, part.actor) == (True, True, (), "loader")


async def test_a_revision_that_is_not_there_yet_is_ahead(registry_url: str) -> None:
    async with feeding(registry_url) as feed:
        with pytest.raises(RevisionAheadError):
            await feed.position_after(1, "")


async def test_a_registry_that_was_restored_is_another(
    own_registry_url: str, clock: SteppingClock
) -> None:
    registry = SqlRegistry(own_registry_url, clock)
    await registry.write(world(), actor=ACTOR)
    known = present_state(own_registry_url)
    run(
        own_registry_url,
        "UPDATE facts_revision SET nonce = 'another'",
        "UPDATE facts_writes SET nonce = 'another' WHERE revision = 1",
    )

    async with feeding(own_registry_url) as feed:
        with pytest.raises(HistoryGoneError, match="restored"):
            await feed.position_after(*known)
        with pytest.raises(HistoryGoneError, match="restored"):
            await feed.page(ChangePosition(known))
    registry.close()


async def test_a_file_that_is_put_back_ends_the_watch(
    sqlite_url: str, tmp_path: Path, clock: SteppingClock
) -> None:
    """A backup taken at revision 1 takes the place of a registry at revision 3."""
    registry = SqlRegistry(sqlite_url, clock)
    await registry.write(world(), actor=ACTOR)
    _backup(sqlite_url, tmp_path / "backup.db")
    await registry.write([fact(block())], actor=ACTOR)
    await registry.write([fact(block("ana", "b2"))], actor=ACTOR)
    known = present_state(sqlite_url)
    registry.close()

    async with feeding(sqlite_url) as feed:
        assert (await feed.page(ChangePosition(known))).parts == ()
        _put_back(sqlite_url, tmp_path / "backup.db")

        assert await feed.moved_on(known, 5)
        with pytest.raises(HistoryGoneError):
            await feed.page(ChangePosition(known))
        with pytest.raises(RevisionAheadError):
            await feed.position_after(*known)


def _backup(url: str, path: Path) -> None:
    """Copy a registry as the backup API does."""

    with sqlite3.connect(url.removeprefix("sqlite:///")) as source, sqlite3.connect(path) as target:
        source.backup(target)


def _put_back(url: str, path: Path) -> None:
    """Put a file in a registry's place."""
    place = Path(url.removeprefix("sqlite:///"))
    for left in (place.with_name(place.name + "-wal"), place.with_name(place.name + "-shm")):
        left.unlink(missing_ok=True)
    fresh = path.with_suffix(".again")
    shutil.copy(path, fresh)
    fresh.replace(place)


@pytest.mark.parametrize("start", [0, 1])
async def test_history_that_is_not_kept_is_gone_at_the_start_and_in_between(
    own_registry_url: str, clock: SteppingClock, start: int
) -> None:
    registry = SqlRegistry(own_registry_url, clock)
    await registry.write(world(), actor=ACTOR)
    await registry.write([fact(block())], actor=ACTOR)
    await registry.write([fact(block("ana", "b2"))], actor=ACTOR)

    async with feeding(own_registry_url) as feed:
        position = await feed.position_after(start, "")
        run(own_registry_url, "UPDATE facts_revision SET history_from = 2")

        with pytest.raises(HistoryGoneError, match="from 2 on"):
            await feed.position_after(start, "")
        with pytest.raises(HistoryGoneError, match="from 2 on"):
            await feed.page(position)
        assert [part.state.revision for part in await told_after(feed, 2)] == [3]
    registry.close()


async def test_who_waits_is_woken_by_a_write_and_one_look_serves_all(
    registry: SqlRegistry, registry_url: str
) -> None:
    looks = 0

    async def look() -> RegistryState:
        nonlocal looks
        looks += 1
        return await asyncio.to_thread(present_state, registry_url)

    feed = SqlChangeFeed(registry_url, look, pace_seconds=0.05)
    known = present_state(registry_url)
    waiting = [asyncio.ensure_future(feed.moved_on(known, 5)) for _ in range(50)]
    await asyncio.sleep(0.12)
    assert not any(each.done() for each in waiting)
    await registry.write(world(), actor=ACTOR)

    assert await asyncio.gather(*waiting) == [True] * 50
    assert looks < 20
    assert not await feed.moved_on(present_state(registry_url), 0.12)
    feed.close()


async def test_who_waits_hears_that_the_registry_is_silent(registry_url: str) -> None:
    async def look() -> RegistryState:
        raise FactsUnavailableError("it does not answer")

    feed = SqlChangeFeed(registry_url, look, pace_seconds=0.01)

    with pytest.raises(FactsUnavailableError):
        await feed.moved_on(RegistryState(0, ""), 5)
    feed.close()


async def test_who_asks_for_the_same_page_is_given_the_same(
    registry: SqlRegistry, registry_url: str
) -> None:
    await registry.write(world(), actor=ACTOR)

    async with feeding(registry_url) as feed:
        position = await feed.position_after(0, "")
        pages = await asyncio.gather(*(feed.page(position) for _ in range(20)))

    assert len({id(page) for page in pages}) == 1


async def test_several_writers_at_once_are_told_in_the_order_of_their_commits(
    registry_url: str,
) -> None:
    """Four writers on connections of their own; a watcher reads meanwhile."""

    def write(name: str) -> None:
        async def many() -> None:
            own = SqlRegistry(registry_url, SteppingClock(), lock_seconds=20)
            for number in range(10):
                facts = [fact(block("ana", f"{name}{n}"), day=number) for n in range(number + 1)]
                await own.write(facts, actor=name)
            own.close()

        asyncio.run(many())

    writers = [threading.Thread(target=write, args=(f"w{n}",)) for n in range(4)]
    for each in writers:
        each.start()
    parts: list[RevisionPart] = []
    async with feeding(registry_url) as feed:
        position = await feed.position_after(0, "")
        while any(each.is_alive() for each in writers) or position.state != present_state(
            registry_url
        ):
            page = await feed.page(position)
            parts += page.parts
            position = page.end
            if page.is_last:
                await feed.moved_on(position.state, 0.2)
    for each in writers:
        each.join()

    assert [part.state.revision for part in parts if part.is_whole] == list(range(1, 41))
    assert lines_of(applied(parts)) == exported(registry_url)

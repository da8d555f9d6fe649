"""History goes once it is too old, and nothing else goes with it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from authz_service.facts.as_of import SqlHistory
from authz_service.facts.database import Access, Database
from authz_service.facts.retaining import FactsRetention, RetentionPace
from authz_service.facts.retention import BATCH, Kept, horizon_at, kept_from, removing
from authz_service.facts.sql_reader import SqlReader
from authz_service.facts.sql_registry import SqlRegistry
from authz_service.operations.ports import FactsQuestion
from authz_service.pdp.entities import Containment, ContainmentScope
from authz_service.pdp.entity_words import FactKind
from authz_service.pdp.errors import StateError
from tests.contract.facts.histories import STARTS, MovedClock
from tests.contract.facts.registry_cases import ACTOR, fact, reference, run, subject, world

DAY = timedelta(days=1)
FAST = RetentionPace(every_seconds=0.01, pause_seconds=0.0)


@pytest.fixture
def database(registry_url: str) -> Iterator[Database]:
    made = Database(registry_url, lock_seconds=2, pool=2)
    yield made
    made.close()


def rows_of(database: Database, table: str) -> int:
    """Return how many rows a table has."""
    with database.transaction(Access.READ) as session:
        return int(session.rows(f"SELECT count(*) FROM {table}")[0][0])  # noqa: S608  # ours


async def written_daily(url: str, days: int) -> None:
    """Write a world, and then a subject anew every day."""
    for day in range(days):
        registry = SqlRegistry(url, MovedClock(STARTS + day * DAY))
        relative = (f"kin{day}",)
        facts = world() if day == 0 else [fact(subject("ana", family=relative), day=day)]
        await registry.write(facts, actor=ACTOR)
        registry.close()


async def test_what_is_older_goes_and_the_state_of_the_horizon_stays(
    registry_url: str, database: Database
) -> None:
    await written_daily(registry_url, 6)

    horizon = horizon_at(database, STARTS + 5 * DAY, days=2)
    list(removing(database, horizon))

    assert horizon == 4
    assert kept_from(database) == Kept(4, STARTS + 3 * DAY)
    assert rows_of(database, "facts_writes") == 3
    assert rows_of(database, "fact_changes") == 3
    assert rows_of(database, "past_mentions") == 2
    past = SqlHistory(registry_url)
    then = past.read(FactsQuestion("ana", "r1"), STARTS + 3 * DAY)
    past.close()
    assert then.patient is not None
    assert then.patient.family_ids == {"kin3"}
    assert then.recording is not None


async def test_a_second_removal_finds_nothing(registry_url: str, database: Database) -> None:
    await written_daily(registry_url, 4)
    list(removing(database, 3))

    again = list(removing(database, 3))

    assert sum(one.rows for one in again) == 0


async def test_history_never_begins_earlier_again(registry_url: str, database: Database) -> None:
    """A replica whose clock is behind moves nothing back."""
    await written_daily(registry_url, 4)
    list(removing(database, 3))

    list(removing(database, 1))

    assert kept_from(database).revision == 3


async def test_a_removal_that_was_cut_short_is_finished_by_the_next(
    registry_url: str, database: Database
) -> None:
    """From its first batch on nobody is answered from what is half removed."""
    registry = SqlRegistry(registry_url, MovedClock())
    for day in range(4):
        people = [fact(subject(f"p{n}", family=(f"d{day}",)), day=day) for n in range(BATCH // 2)]
        await registry.write(people, actor=ACTOR)
    registry.close()
    batches = removing(database, 4)
    next(batches)
    del batches

    assert kept_from(database).revision == 4
    list(removing(database, 4))

    assert rows_of(database, "fact_changes") == 0
    assert rows_of(database, "past_mentions") == 0


async def test_a_cache_that_stands_before_the_horizon_drops_everything(
    registry_url: str, database: Database
) -> None:
    """What changed since is not all there any more; from the horizon on it is."""
    await written_daily(registry_url, 4)
    reader = SqlReader(registry_url, MovedClock(datetime.now(UTC)))
    with database.transaction(Access.READ) as session:
        nonces: dict[int, str] = dict(session.rows("SELECT revision, nonce FROM facts_writes"))
    list(removing(database, 3))

    before = reader.changes(2, nonces[2])
    at = reader.changes(3, nonces[3])

    assert (before.complete, at.complete) == (False, True)
    assert [revision for revision, _keys in at.touched] == [4]
    reader.close()


async def test_a_containment_that_is_kept_for_its_setter_makes_no_cache_wrong(
    registry_url: str, database: Database
) -> None:
    """Its write stays, and the changes beside it do not."""
    registry = SqlRegistry(registry_url, MovedClock())
    scope = ContainmentScope(tenant_id="uk")
    await registry.write([fact(Containment("k1", scope))], actor="eve")
    for day in range(1, 4):
        await registry.write([fact(subject("ana", family=(f"d{day}",)), day=day)], actor=ACTOR)
    with database.transaction(Access.READ) as session:
        row = session.one("SELECT nonce FROM facts_writes WHERE revision = 1")
    list(removing(database, 4))
    reader = SqlReader(registry_url, MovedClock(datetime.now(UTC)))
    lifted = Containment("k1", scope, lifted_by="eve", lifted_at=STARTS)

    with pytest.raises(StateError, match="another person lifts it"):
        await registry.write([fact(lifted, day=9)], actor="eve")
    changes = reader.changes(1, row[0] if row else "")

    assert not changes.complete
    reader.close()
    registry.close()


async def test_removing_and_writing_do_not_disturb_each_other(
    registry_url: str, database: Database
) -> None:
    """Two remove what two others write over at the same time: every later state stays whole."""
    registry = SqlRegistry(registry_url, MovedClock())
    people = [f"p{n}" for n in range(60)]
    await registry.write([fact(subject(one)) for one in people], actor=ACTOR)
    await registry.write([fact(subject(one, family=("a",)), day=1) for one in people], actor=ACTOR)

    def write(day: int) -> None:
        own = SqlRegistry(registry_url, MovedClock(STARTS + day * DAY))
        for one in people:
            said = [fact(subject(one, family=(f"d{day}",)), day=day)]
            asyncio.run(own.write(said, actor=ACTOR))
        own.close()

    def remove(horizon: int) -> None:
        list(removing(database, horizon))

    with ThreadPoolExecutor(3) as threads:
        work = [threads.submit(write, 5)]
        work += [threads.submit(remove, 2) for _ in range(2)]
        for done in work:
            done.result(60)

    past = SqlHistory(registry_url)
    for one in people:
        then = past.read(FactsQuestion(one, "r1"), STARTS + DAY)
        assert then.revision == 2
        assert then.subject is not None
        assert then.subject.subject.family == ("a",)
    past.close()
    registry.close()


@pytest.mark.postgres
async def test_a_clock_that_jumped_ahead_removes_nothing() -> None:
    """The time of the server counts where it is earlier: what is gone cannot be brought back."""
    from tests.postgres import new_registry  # noqa: PLC0415  # starts a server

    url = new_registry()
    registry = SqlRegistry(url, MovedClock(datetime.now(UTC)))
    await registry.write([fact(subject("ana"))], actor=ACTOR)
    await registry.write([fact(subject("ana", family=("kin",)), day=1)], actor=ACTOR)
    registry.close()
    database = Database(url, lock_seconds=2, pool=1)

    horizon = horizon_at(database, datetime.now(UTC) + 400 * DAY, days=30)

    assert horizon == 0
    database.close()


async def test_a_service_keeps_as_many_days_as_it_is_told(
    registry_url: str, database: Database
) -> None:
    await written_daily(registry_url, 6)
    clock = MovedClock(STARTS + 3 * DAY)
    retention = FactsRetention(registry_url, clock, days=2, pace=FAST)
    retention.start()

    first = await _until_kept_from(retention, 2)
    clock.at = STARTS + 5 * DAY
    second = await _until_kept_from(retention, 4)
    await retention.stop()
    retention.close()

    assert (first, second) == (Kept(2, STARTS + DAY), Kept(4, STARTS + 3 * DAY))
    assert retention.standing.removed["facts_writes"] == 4


async def test_for_ever_is_for_ever(registry_url: str, database: Database) -> None:
    await written_daily(registry_url, 3)
    retention = FactsRetention(registry_url, MovedClock(STARTS + 9999 * DAY), days=0, pace=FAST)
    retention.start()

    kept = await _until_kept_from(retention, 1)
    await retention.stop()
    retention.close()

    assert kept == Kept(1, STARTS)
    assert sum(retention.standing.removed.values()) == 0


async def test_a_registry_that_is_away_is_tried_again(own_registry_url: str) -> None:
    await written_daily(own_registry_url, 2)
    run(own_registry_url, "ALTER TABLE facts_writes RENAME TO away")
    retention = FactsRetention(own_registry_url, MovedClock(STARTS + DAY), days=1, pace=FAST)
    retention.start()
    await asyncio.sleep(0.1)

    assert retention.standing.kept is None
    run(own_registry_url, "ALTER TABLE away RENAME TO facts_writes")
    kept = await _until_kept_from(retention, 1)
    await retention.stop()
    retention.close()

    assert kept.revision == 1


async def _until_kept_from(retention: FactsRetention, revision: int) -> Kept:
    """Return from where history is kept, once it is from *revision* on."""
    async with asyncio.timeout(10):
        while (kept := retention.standing.kept) is None or kept.revision != revision:  # noqa: ASYNC110  # it tells nobody
            await asyncio.sleep(0.01)
    return kept


async def test_deleted_facts_go_with_their_history(registry_url: str, database: Database) -> None:
    """The trace that keeps an older observation out stays."""
    registry = SqlRegistry(registry_url, MovedClock())
    await registry.write(world(), actor=ACTOR)
    await registry.delete([reference(FactKind.ATTENDANCE, "r1")], actor=ACTOR)
    list(removing(database, 2))

    outcome = await registry.write(world(), actor=ACTOR)

    assert rows_of(database, "fact_changes") == 0
    assert rows_of(database, "past_mentions") == 0
    assert (outcome.skipped, outcome.unchanged) == (1, 5)
    registry.close()

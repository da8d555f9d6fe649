"""The brake on both databases: set and in force, lifted by another, and delayed by nothing."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import timedelta
from hashlib import sha256
from time import monotonic, sleep

import pytest

from authz_service.facts.database import Access, Database
from authz_service.facts.giving_way import PATIENCE_SECONDS, GivingWay
from authz_service.facts.reader import CONTAINMENTS_KEY
from authz_service.facts.sql_containments import SqlContainments
from authz_service.facts.sql_reader import SqlReader
from authz_service.facts.sql_registry import SqlRegistry
from authz_service.operations.containments import ContainmentChange, Demand
from authz_service.operations.writes import Tenants
from authz_service.pdp.entities import Containment, ContainmentScope, Entity
from authz_service.pdp.entity_words import Audience, FactKind
from authz_service.pdp.errors import (
    CallerNotAllowedError,
    FactsUnavailableError,
    NotFoundError,
    StateError,
)
from authz_service.pdp.facts import Fact
from tests.contract.facts.registry_cases import SteppingClock, fact, reference, subject

EVERYONE = ContainmentScope(Audience.EVERYONE)
IN_UK = ContainmentScope(tenant_id="uk")
MENDED = Demand("sam.roe", "owners corrected", "desk")
WITHIN_SECONDS = 1.0
_WRITERS = 6
_HELD_SECONDS = 0.5
_STATEMENTS = 20


@pytest.fixture
def brake(
    registry_url: str, registry: SqlRegistry, clock: SteppingClock
) -> Iterator[SqlContainments]:
    made = SqlContainments(registry_url, clock, beside=registry.giving_way)
    yield made
    made.close()


async def contained(
    brake: SqlContainments,
    containment_id: str = "k1",
    scope: ContainmentScope = EVERYONE,
    within: Tenants = None,
) -> ContainmentChange:
    """Set a containment by jo.doe."""
    made = Containment(containment_id, scope, "ticket 4711", set_by="jo.doe")
    said = Fact(made, "desk", fact(subject("ana")).observed_at)
    return await brake.contain(said, actor="jo.doe", within=within)


async def test_what_is_set_is_loaded_at_its_revision(
    brake: SqlContainments, reader: SqlReader
) -> None:
    change = await contained(brake)

    load = reader.load({CONTAINMENTS_KEY})
    assert load.values[CONTAINMENTS_KEY] == (change.containment,)
    assert load.revision == change.revision == 1
    assert await brake.read() == ([change.containment], 1)


async def test_another_person_lifts_it_and_the_reason_is_kept_beside_it(
    brake: SqlContainments, registry_url: str
) -> None:
    """One transaction: there is no lifting without its reason."""
    await contained(brake)

    change = await brake.lift("k1", MENDED)

    assert change.containment.lifted_by == "sam.roe"
    assert change.containment.lifted_at is not None
    assert (await brake.read())[0] == [change.containment]
    digest = sha256(b"owners corrected").hexdigest()
    notes = rows(registry_url, "SELECT kind, id, revision, note, sha256 FROM fact_notes")
    assert notes == [("containment", "k1", change.revision, "owners corrected", digest)]


@pytest.mark.parametrize("actor", ["jo.doe", "jo.private"])
async def test_who_set_it_does_not_lift_it_under_any_id(
    brake: SqlContainments, registry: SqlRegistry, registry_url: str, actor: str
) -> None:
    people: Sequence[Fact[Entity]] = [fact(subject("jo.private", same_person_as=("jo.doe",)))]
    await registry.write(people, actor="desk")
    await contained(brake)

    with pytest.raises(StateError, match="another person lifts it"):
        await brake.lift("k1", Demand(actor, "I was wrong", "desk"))

    ((one,), revision) = await brake.read()
    assert (one.lifted_at, revision) == (None, 2)
    assert rows(registry_url, "SELECT note FROM fact_notes") == []


async def test_a_second_lifting_says_since_when_it_is_lifted(brake: SqlContainments) -> None:
    await contained(brake)
    first = await brake.lift("k1", MENDED)

    with pytest.raises(StateError, match=r"k1: is lifted since 2021-01-01T00:00:\d\dZ"):
        await brake.lift("k1", Demand("kim.poe", "again", "desk"))

    assert (await brake.read())[0] == [first.containment]


async def test_of_two_who_lift_at_once_one_does(
    brake: SqlContainments, registry_url: str, clock: SteppingClock
) -> None:
    """Two replicas: the second finds what the first did, and overwrites nothing."""
    other = SqlContainments(registry_url, clock, beside=GivingWay())
    await contained(brake)

    both = await asyncio.gather(
        brake.lift("k1", MENDED),
        other.lift("k1", Demand("kim.poe", "mended too", "desk")),
        return_exceptions=True,
    )
    other.close()

    (done,) = [one for one in both if isinstance(one, ContainmentChange)]
    (refused,) = [one for one in both if isinstance(one, StateError)]
    assert "is lifted since" in str(refused)
    assert (await brake.read())[0] == [done.containment]


async def test_one_that_does_not_exist_is_not_found(
    brake: SqlContainments, registry: SqlRegistry
) -> None:
    await contained(brake)
    await brake.lift("k1", MENDED)
    await registry.delete([reference(FactKind.CONTAINMENT, "k1")], actor="op")

    for unknown in ("k1", "k2"):
        with pytest.raises(NotFoundError):
            await brake.lift(unknown, MENDED)


async def test_a_bound_caller_touches_only_what_names_its_tenant(brake: SqlContainments) -> None:
    """Everybody is of no tenant: who is bound to one cannot stop all of them."""
    uk, us = frozenset({"uk"}), frozenset({"us"})

    with pytest.raises(CallerNotAllowedError):
        await contained(brake, within=uk)
    with pytest.raises(CallerNotAllowedError):
        await contained(brake, scope=IN_UK, within=us)
    change = await contained(brake, scope=IN_UK, within=uk)
    await contained(brake, "k2")

    assert (await brake.read(within=us))[0] == []
    assert (await brake.read(within=uk))[0] == [change.containment]
    for containment_id, within in (("k1", us), ("k2", uk)):
        with pytest.raises(NotFoundError):
            await brake.lift(containment_id, MENDED, within=within)
    assert (await brake.lift("k1", MENDED, within=uk)).revision == 3


async def test_one_that_is_observed_at_the_present_is_lifted_by_a_clock_that_went_back(
    brake: SqlContainments, clock: SteppingClock
) -> None:
    """What was observed later would otherwise stay, and the lifting be skipped without a word."""
    made = Containment("k1", EVERYONE, "ticket 4711", set_by="jo.doe")
    ahead = clock.now() + timedelta(minutes=4)
    await brake.contain(Fact(made, "desk", ahead), actor="jo.doe")

    change = await brake.lift("k1", MENDED)

    assert (await brake.read())[0] == [change.containment]


async def test_one_that_is_to_be_lifted_later_is_lifted_now(
    brake: SqlContainments, registry: SqlRegistry, clock: SteppingClock
) -> None:
    change = await contained(brake)
    later = clock.now() + timedelta(days=1)
    planned = Containment(
        "k1", EVERYONE, "ticket 4711", "jo.doe", change.containment.set_at, "kim.poe", later
    )
    await registry.write([fact(planned, day=1)], actor="kim.poe")

    lifted = (await brake.lift("k1", MENDED)).containment

    assert (lifted.lifted_by, lifted.lifted_at < later) == ("sam.roe", True)  # type: ignore[operator]  # it is set


async def test_the_brake_waits_for_one_write_however_many_wait(
    brake: SqlContainments, registry_url: str
) -> None:
    """A line of writers, on connections of their own as other replicas would have them."""
    await brake.start()
    databases = [Database(registry_url, lock_seconds=10) for _ in range(_WRITERS)]
    if databases[0].is_sqlite:
        for database in databases:  # of one process: SQLite keeps no line between several
            database.giving_way = brake._giving_way
    first_is_at_it = threading.Event()
    threads = [threading.Thread(target=hold, args=(one, first_is_at_it)) for one in databases]
    for thread in threads:
        thread.start()
    await asyncio.to_thread(first_is_at_it.wait, 10)
    await asyncio.sleep(_HELD_SECONDS / 5)  # so that the others are in line

    begun = monotonic()
    await contained(brake)
    seconds = monotonic() - begun
    for thread in threads:
        thread.join(20)
    for database in databases:
        database.close()

    assert seconds < _HELD_SECONDS


@pytest.mark.postgres
async def test_the_brake_ends_a_write_that_hangs_on_another_replica(
    postgresql_registry_url: str, clock: SteppingClock
) -> None:
    """Its process is stopped in the middle of a write, and would keep the row for half a minute."""
    brake = SqlContainments(postgresql_registry_url, clock, beside=GivingWay())
    hung = Database(postgresql_registry_url, lock_seconds=10)
    await brake.start()

    took: list[float] = []

    async def hang() -> None:
        with hung.transaction(Access.WRITE) as session:
            session.run("UPDATE facts_revision SET revision = revision")
            begun = monotonic()
            await contained(brake, "over-a-hung-write")
            took.append(monotonic() - begun)
            session.one("SELECT 1")

    with pytest.raises(FactsUnavailableError, match="a containment went before this write"):
        await hang()
    brake.close()
    hung.close()

    assert PATIENCE_SECONDS <= took[0] < WITHIN_SECONDS


def hold(database: Database, at_it: threading.Event) -> None:
    """Write for a while, as a thousand facts take, or until it is stopped."""
    with (
        suppress(FactsUnavailableError),
        database.transaction(Access.WRITE) as session,
    ):
        session.run("UPDATE facts_revision SET revision = revision")
        at_it.set()
        for _ in range(_STATEMENTS):
            sleep(_HELD_SECONDS / _STATEMENTS)
            session.one("SELECT 1")
        session.discard()


def rows(url: str, statement: str) -> list[tuple[object, ...]]:
    """Return what the registry holds."""
    database = Database(url, lock_seconds=1)
    try:
        with database.transaction(Access.READ) as session:
            return session.rows(statement)
    finally:
        database.close()

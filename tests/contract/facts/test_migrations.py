"""A registry of an earlier schema says after its upgrade what a new one would say."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from alembic.script import ScriptDirectory
from psycopg import IsolationLevel

from authz_service.facts import migration_connection
from authz_service.facts.database import parsed
from authz_service.facts.migrations import online
from authz_service.facts.schema import SCHEMA_VERSION, VERSION_TABLE
from authz_service.facts.schema_version import SchemaState, alembic_config, migrate, schema_state
from authz_service.facts.sql_registry import SqlRegistry
from authz_service.pdp.entity_words import FactKind
from authz_service.pdp.errors import FactsUnavailableError
from tests.contract.facts.lists_oracle import reach_of, stored_facts, stored_reach
from tests.contract.facts.registry_cases import (
    ACTOR,
    SteppingClock,
    differences,
    fact,
    recording,
    reference,
    run,
)
from tests.contract.facts.released_registries import VERSIONS, contents, made_as_released
from tests.postgres import new_database


@pytest.fixture(scope="module")
def released_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A SQLite registry of every released schema."""
    folder = tmp_path_factory.mktemp("released")
    files = {version: folder / f"{version}.db" for version in VERSIONS}
    for version, path in files.items():
        made_as_released(f"sqlite:///{path}", version)
    return files


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def database(request: pytest.FixtureRequest) -> str:
    """Each database in turn."""
    return str(request.param)


@pytest.fixture(params=VERSIONS)
def released_url(
    request: pytest.FixtureRequest,
    database: str,
    released_files: dict[str, Path],
    tmp_path: Path,
) -> Iterator[str]:
    """A registry of each released schema, on each database in turn."""
    version = str(request.param)
    if database == "postgresql":
        url = new_database()
        made_as_released(url, version)
        yield url
        return
    shutil.copy(released_files[version], tmp_path / "registry.db")
    yield f"sqlite:///{tmp_path / 'registry.db'}"


def test_every_schema_but_the_present_one_has_a_recorded_registry() -> None:
    scripts = ScriptDirectory.from_config(alembic_config()).walk_revisions()

    assert {*VERSIONS, SCHEMA_VERSION} == {script.revision for script in scripts}


def test_versions_are_four_digits_in_one_line() -> None:
    """They are compared as texts."""
    scripts = [*ScriptDirectory.from_config(alembic_config()).walk_revisions()][::-1]

    assert [script.revision for script in scripts] == [
        f"{number + 1:04}" for number in range(len(scripts))
    ]
    assert [script.down_revision for script in scripts] == [
        None,
        *(script.revision for script in scripts[:-1]),
    ]


async def test_a_released_registry_says_afterwards_what_it_said(released_url: str) -> None:
    """Nothing is written but what follows from the facts: caches elsewhere need not start anew."""
    before = contents(released_url)

    assert migrate(released_url) is SchemaState.OLDER

    assert schema_state(released_url) is SchemaState.CURRENT
    assert differences(released_url) == []
    assert contents(released_url) == before
    assert stored_reach(released_url) == reach_of(stored_facts(released_url))
    assert {way for _who, way, *_ in stored_reach(released_url)} == {
        "attending", "beside", "treating", "proxy", "hold", "SHARE", "LEGAL", "QUALITY",
        "EMERGENCY",
    }  # fmt: skip
    registry = SqlRegistry(released_url, SteppingClock())
    facts, revision = await registry.read([reference(FactKind.RECORDING, "rec-mara")])
    written = await registry.write([fact(recording("ana"), day=1)], actor=ACTOR)
    registry.close()
    assert ([one.entity.id for one in facts], revision, written.revision) == (["rec-mara"], 6, 7)


def test_holds_are_read_page_by_page(database: str, tmp_path: Path) -> None:
    """More recordings are held than the migration reads at a time."""
    url = new_database() if database == "postgresql" else f"sqlite:///{tmp_path / 'registry.db'}"
    made_as_released(url, "0001")
    hold = '{"holds":[{"viewers":["lea","leo"]}]}'
    rows = ", ".join(
        f"('h{number}', 'fjell', NULL, 'mara', {number}, '{hold}', 's', 0, 1)"
        for number in range(_HELD)
    )
    run(url, f"INSERT INTO recordings VALUES {rows}")  # noqa: S608  # words of ours

    migrate(url)

    held = [row for row in stored_reach(url) if row[1] == "hold" and row[3] != "rec-held"]
    assert len(held) == 2 * _HELD


_HELD = 1_100


async def test_an_earlier_schema_is_not_worked_on(released_url: str) -> None:
    registry = SqlRegistry(released_url, SteppingClock())

    with pytest.raises(FactsUnavailableError, match=r"older than this program|another version"):
        await registry.write([fact(recording("ana"), day=1)], actor=ACTOR)
    with pytest.raises(FactsUnavailableError, match=r"older than this program|another version"):
        await registry.page_token_key()
    registry.close()


def address_of(url: str) -> str:
    """Return *url* as psycopg takes it."""
    return parsed(url).set(drivername="postgresql").render_as_string(hide_password=False)


@pytest.fixture
def first_url() -> str:
    """A PostgreSQL registry of the first schema, without facts."""
    url = new_database()
    made_as_released(url, "0001", rows=False)
    return url


@pytest.mark.postgres
def test_writes_wait_for_the_upgrade_and_it_for_them(first_url: str) -> None:
    """One that had begun is contained; one that waited finds a later schema, and stops there."""
    address = address_of(first_url)
    with (
        psycopg.connect(address) as earlier,
        psycopg.connect(address) as later,
        psycopg.connect(address, autocommit=True) as watching,
        ThreadPoolExecutor(2) as threads,
    ):
        earlier.execute(_BEGIN_OF_A_WRITE)
        earlier.execute(_A_RECORDING)
        earlier.execute("INSERT INTO attendance_participants VALUES ('r1', 'eve', 'CLINICIAN')")
        upgraded = threads.submit(migrate, first_url)
        _until_so_many_wait(watching, 1)
        waited = threads.submit(lambda: later.execute(_BEGIN_OF_A_WRITE).fetchone())
        _until_so_many_wait(watching, 2)

        earlier.commit()

        found = waited.result(20)
        later.rollback()
        assert upgraded.result(20) is SchemaState.OLDER
        assert found is not None
        assert found[0] >= "0001"
    assert stored_reach(first_url) == [("eve", "attending", 7, "r1")]


_BEGIN_OF_A_WRITE = (
    "UPDATE facts_revision SET revision = revision + 1"  # noqa: S608  # a name of ours
    f" RETURNING (SELECT version_num FROM {VERSION_TABLE})"
)
_A_RECORDING = "INSERT INTO recordings VALUES ('r1', 'uk', NULL, 'ana', 7, '{}', 'test', 0, 1)"
_WAITING = "SELECT count(*) FROM pg_locks WHERE NOT granted"
_INDEX_IS_MADE = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(%s)"
_LONG = "fact_changes_by_fact"


def _until_so_many_wait(connection: psycopg.Connection[tuple[int]], count: int) -> None:
    """Return when *count* statements wait for a lock."""
    ends = time.monotonic() + 20
    while time.monotonic() < ends:
        row = connection.execute(_WAITING).fetchone()
        if row is not None and row[0] >= count:
            return
        time.sleep(0.01)
    pytest.fail(f"{count} statements should wait for a lock by now")


@pytest.mark.postgres
def test_what_takes_long_is_built_while_others_read_and_write() -> None:
    """An index waits here for an old transaction, and writers of the earlier version do not."""
    url = new_database()
    made_as_released(url, "0003")
    address = address_of(url)
    with (
        psycopg.connect(address) as old,
        psycopg.connect(address) as writer,
        psycopg.connect(address, autocommit=True) as watching,
        ThreadPoolExecutor(1) as threads,
    ):
        _take_a_snapshot(old)
        upgraded = threads.submit(migrate, url)
        _until_it_is_begun(watching)
        for _ in range(3):
            writer.execute(_BEGIN_OF_A_WRITE)
            writer.execute("UPDATE subjects SET revision = 9 WHERE id = 'mara'")
            writer.execute(
                "INSERT INTO fact_changes (revision, kind, id, keys, source, observed_at,"
                " recorded_at) SELECT revision, 'subject', 'mara', '', 's', 0, 0"
                " FROM facts_revision"
            )
            writer.commit()
        assert watching.execute(_INDEX_IS_MADE, [_LONG]).fetchone() == (False,)
        assert not upgraded.done()

        old.commit()

        assert upgraded.result(20) is SchemaState.OLDER
    assert differences(url) == []


def _take_a_snapshot(connection: psycopg.Connection[tuple[object, ...]]) -> None:
    """Read as a backup does, which sees one state for as long as it goes on."""
    connection.isolation_level = IsolationLevel.REPEATABLE_READ
    connection.execute("SELECT 1 FROM tenants")


def _until_it_is_begun(connection: psycopg.Connection[tuple[object, ...]]) -> None:
    """Return when the index is being built."""
    ends = time.monotonic() + 20
    while time.monotonic() < ends:
        if connection.execute(_INDEX_IS_MADE, [_LONG]).fetchone() is not None:
            return
        time.sleep(0.01)
    pytest.fail("the index should be under way by now")


@pytest.mark.postgres
def test_an_upgrade_that_was_ended_midway_is_finished_by_the_next() -> None:
    """The old schema is there until the new one is, and what was half built is built anew."""
    url = new_database()
    made_as_released(url, "0003")
    address = address_of(url)
    with (
        psycopg.connect(address) as old,
        psycopg.connect(address, autocommit=True) as watching,
        ThreadPoolExecutor(1) as threads,
    ):
        _take_a_snapshot(old)
        upgraded = threads.submit(migrate, url)
        _until_it_is_begun(watching)
        watching.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'authz-migration'"
            " AND datname = current_database()"
        )
        with pytest.raises(FactsUnavailableError):
            upgraded.result(20)
        assert schema_state(url) is SchemaState.OLDER
        assert watching.execute(_INDEX_IS_MADE, [_LONG]).fetchone() == (False,)
        old.rollback()

        assert migrate(url) is SchemaState.OLDER

        assert watching.execute(_INDEX_IS_MADE, [_LONG]).fetchone() == (True,)
    assert differences(url) == []


@pytest.mark.postgres
@pytest.mark.slow
def test_an_upgrade_that_was_killed_midway_is_finished_by_the_next() -> None:
    """What it had begun the server ends by itself; then it is the next one's turn."""
    url = new_database()
    made_as_released(url, "0003")
    address = address_of(url)
    program = f"from authz_service.facts.schema_version import migrate; migrate({url!r})"
    with (
        psycopg.connect(address) as old,
        psycopg.connect(address, autocommit=True) as watching,
        ThreadPoolExecutor(1) as threads,
    ):
        _take_a_snapshot(old)
        with subprocess.Popen([sys.executable, "-c", program]) as killed:
            _until_it_is_begun(watching)
            killed.kill()
        assert schema_state(url) is SchemaState.OLDER
        next_one = threads.submit(migrate, url)
        old.rollback()

        assert next_one.result(25) is SchemaState.OLDER
    assert differences(url) == []


@pytest.mark.postgres
def test_two_replicas_that_upgrade_at_once_upgrade_once() -> None:
    url = new_database()
    made_as_released(url, "0001")
    gate = threading.Barrier(2)

    def together(_number: int) -> SchemaState:
        gate.wait(10)
        return migrate(url)

    with ThreadPoolExecutor(2) as threads:
        found = list(threads.map(together, range(2)))

    assert sorted(found) == [SchemaState.CURRENT, SchemaState.OLDER]
    assert differences(url) == []


@pytest.mark.postgres
def test_a_table_that_is_in_use_for_too_long_is_left_alone(
    first_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who reads for long, as a backup does, is not ended, and nobody is held up behind it."""
    monkeypatch.setattr(online, "_PATIENCE_SECONDS", 0.5)
    address = address_of(first_url)
    with psycopg.connect(address) as backup, psycopg.connect(address, autocommit=True) as reader:
        migrate_from_the_third(first_url)
        backup.execute("SELECT * FROM facts_revision")
        with ThreadPoolExecutor(1) as threads:
            upgraded = threads.submit(migrate, first_url)
            slowest = 0.0
            while not upgraded.done():
                begun = time.monotonic()
                reader.execute("SELECT revision FROM facts_revision")
                slowest = max(slowest, time.monotonic() - begun)
            with pytest.raises(FactsUnavailableError, match="in use for too long"):
                upgraded.result()
        assert slowest < 1
    assert migrate(first_url) is SchemaState.OLDER


def migrate_from_the_third(url: str) -> None:
    """Bring a registry to the schema that the test of the fourth begins at."""
    made_as_released(url, "0003", rows=False)


@pytest.mark.postgres
def test_who_waits_for_another_upgrade_for_too_long_does_not_start(
    first_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migration_connection, "PATIENCE_SECONDS", 0.2)
    with psycopg.connect(address_of(first_url), autocommit=True) as other:
        other.execute(f"SELECT pg_advisory_lock({migration_connection._LOCK_NUMBER})".encode())

        with pytest.raises(FactsUnavailableError, match="another program has been upgrading it"):
            migrate(first_url)

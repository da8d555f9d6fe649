"""The store's schema is made by migrations alone, once, and says of itself what it is."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

from authz_service.audit.store.engines import parsed, postgresql_engine
from authz_service.audit.store.failures import FailureKind, StoreFailureError
from authz_service.audit.store.opening import open_store
from authz_service.audit.store.partitions import Partitions, month_of
from authz_service.audit.store.schema import SCHEMA_VERSION, VERSION_TABLE, metadata
from authz_service.audit.store.schema_version import (
    SchemaState,
    alembic_config,
    migrate,
    schema_state,
)
from authz_service.facts.schema_version import migrate as migrate_facts
from authz_service.pdp.errors import FactsUnavailableError
from tests.contract.shipping.journal_files import query
from tests.marked import PASSWORD
from tests.postgres import new_database


def test_the_tables_are_those_that_the_migrations_make(url: str) -> None:
    engine = create_engine(parsed(url))
    with engine.connect() as connection:
        options: dict[str, Any] = {
            "version_table": VERSION_TABLE,
            "include_name": lambda name, kind, _parents: kind != "table" or name in metadata.tables,
        }
        context = MigrationContext.configure(connection, opts=options)
        differences = compare_metadata(context, metadata)
    engine.dispose()

    assert differences == []


def test_the_version_is_that_of_the_last_migration() -> None:
    assert ScriptDirectory.from_config(alembic_config()).get_current_head() == SCHEMA_VERSION


def test_a_newer_store_is_not_touched(own_url: str) -> None:
    assert migrate(own_url) is SchemaState.EMPTY
    assert migrate(own_url) is SchemaState.CURRENT
    query(own_url, f"UPDATE {VERSION_TABLE} SET version_num = '9999'")  # noqa: S608  # ours

    assert schema_state(own_url) is SchemaState.NEWER
    with pytest.raises(StoreFailureError, match="newer than this program") as raised:
        open_store(own_url)
    assert raised.value.kind is FailureKind.SCHEMA


def test_a_database_of_somebody_else_is_not_touched(own_url: str) -> None:
    migrate(own_url)
    query(own_url, f"DROP TABLE {VERSION_TABLE}")

    assert schema_state(own_url) is SchemaState.FOREIGN
    with pytest.raises(StoreFailureError, match="holds other tables"):
        open_store(own_url)


def test_a_sqlite_file_is_not_shared(tmp_path: Path) -> None:
    """Whoever writes the one would wait for whoever writes the other."""
    url = f"sqlite:///{tmp_path / 'registry.db'}"
    migrate_facts(url)

    with pytest.raises(StoreFailureError, match="holds other tables"):
        migrate(url)


def test_a_sqlite_store_is_no_registry(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'decisions.db'}"
    migrate(url)

    with pytest.raises(FactsUnavailableError, match="holds other tables"):
        migrate_facts(url)


@pytest.mark.postgres
def test_a_postgresql_database_may_be_shared() -> None:
    url = new_database()
    migrate_facts(url)

    assert migrate(url) is SchemaState.EMPTY
    assert migrate(url) is SchemaState.CURRENT


def test_a_new_file_comes_with_its_folders_and_for_its_user_alone(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/a/decisions.db"

    assert schema_state(url) is SchemaState.EMPTY
    assert not (tmp_path / "a").exists()
    migrate(url)
    assert (tmp_path / "a" / "decisions.db").stat().st_mode & 0o777 == 0o600


def test_two_at_once_make_one_store(own_url: str) -> None:
    """Two services start together on an empty database."""
    together = Barrier(3)

    def make(_number: int) -> SchemaState:
        together.wait(timeout=10)
        return migrate(own_url)

    with ThreadPoolExecutor(3) as threads:
        found = list(threads.map(make, range(3)))

    assert sorted(found) == [SchemaState.CURRENT, SchemaState.CURRENT, SchemaState.EMPTY]


@pytest.mark.postgres
def test_two_at_once_make_one_partition() -> None:
    url = new_database()
    migrate(url)
    instants = [1_600_000_000_000_000 + month * 2_700_000_000_000 for month in range(8)]
    together = Barrier(3)

    def make(_number: int) -> None:
        engine = postgresql_engine(parsed(url), 5, 10, autocommit=True)
        lent = engine.raw_connection()
        connection: Any = lent.driver_connection
        together.wait(timeout=10)
        Partitions(connection).ensure(instants)
        lent.close()

    with ThreadPoolExecutor(3) as threads:
        list(threads.map(make, range(3)))

    made = query(url, "SELECT relname FROM pg_class WHERE relispartition AND relkind = 'r'")
    months = {month_of(at) for at in instants}
    assert len(months) == 8
    assert len(made) == 2 * len(months)


@pytest.mark.postgres
def test_a_slice_of_a_long_line_is_read_without_the_rest() -> None:
    """Partitions inherit that lines are kept out of line and not compressed."""
    url = new_database()
    open_store(url).close()
    engine = postgresql_engine(parsed(url), 5, 10, autocommit=True)
    lent = engine.raw_connection()
    connection: Any = lent.driver_connection
    Partitions(connection).ensure([1_600_000_000_000_000])
    lent.close()

    storage = query(
        url,
        "SELECT attrelid::regclass::text, attstorage::text FROM pg_attribute "
        "WHERE attname = 'line' AND attrelid::regclass::text LIKE 'journal_lines%' ORDER BY 1",
    )

    assert storage == [("journal_lines", "e"), ("journal_lines_2020_09", "e")]


@pytest.mark.parametrize(
    ("url", "why"),
    [
        pytest.param("nonsense", "malformed", id="malformed"),
        pytest.param("sqlite://", "has to be sqlite:///path", id="in-memory"),
        pytest.param(
            f"mysql://u:{PASSWORD}@h/d", "has to be sqlite:///path", id="another-database"
        ),
    ],
)
def test_a_url_that_names_no_store_is_refused(url: str, why: str) -> None:
    with pytest.raises(StoreFailureError, match=why) as raised:
        open_store(url)

    assert PASSWORD not in str(raised.value)

"""Which schema a decision store has, and how it gets the present one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Final

import structlog
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Connection, inspect
from sqlalchemy.exc import DBAPIError

from authz_service.audit.store.engines import parsed, postgresql_engine, sqlite_engine, sqlite_path
from authz_service.audit.store.failures import FailureKind, StoreFailureError, failure_of
from authz_service.audit.store.schema import SCHEMA_VERSION, VERSION_TABLE, metadata
from authz_service.migrating import ONE_MIGRATION

log = structlog.get_logger(__name__)

_LOCK_NUMBER: Final = 0x61757468_7A646563
_LOCK_SECONDS: Final = 30.0


class SchemaState(StrEnum):
    """What a database holds, as far as this program can tell."""

    CURRENT = "current"
    OLDER = "older"
    NEWER = "newer"
    EMPTY = "empty"
    FOREIGN = "foreign"


def schema_state(url: str | URL) -> SchemaState:
    """Return what the database of *url* holds; a SQLite file that is not there is empty.

    Raises:
        StoreFailureError: The database does not answer.
    """
    target = parsed(url)
    if target.get_backend_name() == "sqlite" and not sqlite_path(target).exists():
        return SchemaState.EMPTY
    with _connected(target, "BEGIN") as connection:
        return _state(connection)


def migrate(url: str | URL) -> SchemaState:
    """Give the database of *url* the present schema; return what it held before.

    A store that has it is only read. One migration at a time: others wait for it. All or nothing.

    Raises:
        StoreFailureError: The database does not answer, holds something else, or was made by a
            newer version of this program.
    """
    target = parsed(url)
    if schema_state(target) is SchemaState.CURRENT:
        return SchemaState.CURRENT
    if target.get_backend_name() == "sqlite":
        _make_file(sqlite_path(target))
    with _connected(target, "BEGIN EXCLUSIVE") as connection:
        _wait_for_others(connection)
        before = _state(connection)
        if before is SchemaState.NEWER:
            raise StoreFailureError(
                FailureKind.SCHEMA,
                "its schema is newer than this program; use the program's newer version",
            )
        if before is SchemaState.FOREIGN:
            raise StoreFailureError(
                FailureKind.SCHEMA, "its database holds other tables and no decision store"
            )
        if before is not SchemaState.CURRENT:
            config = alembic_config()
            config.attributes["connection"] = connection
            with ONE_MIGRATION:
                command.upgrade(config, "head")
            log.info("decisions_migrated", trigger=before.value)
    return before


def alembic_config() -> Config:
    """Return Alembic's configuration: the migrations that are installed with this program."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    return config


def _make_file(path: Path) -> None:
    """Make an empty SQLite file, for this user alone: it holds who asked about whom."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
    except OSError as error:
        why = f"{error.filename or path}: {(error.strerror or 'cannot be made').lower()}"
        raise StoreFailureError(FailureKind.REFUSED, why) from error


def _state(connection: Connection) -> SchemaState:
    """Return what the database behind *connection* holds."""
    tables = set(inspect(connection).get_table_names())
    if VERSION_TABLE not in tables:
        foreign = tables & set(metadata.tables)
        is_ours_alone = connection.dialect.name == "sqlite"
        return SchemaState.FOREIGN if foreign or (tables and is_ours_alone) else SchemaState.EMPTY
    context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
    version = context.get_current_revision()
    if version == SCHEMA_VERSION:
        return SchemaState.CURRENT
    if version is None:
        return SchemaState.EMPTY
    scripts = ScriptDirectory.from_config(alembic_config()).walk_revisions()
    return (
        SchemaState.OLDER if version in {each.revision for each in scripts} else (SchemaState.NEWER)
    )


@contextmanager
def _connected(url: URL, begin: str) -> Iterator[Connection]:
    """Lend a connection in one transaction, which SQLite opens by *begin*.

    Raises:
        StoreFailureError: The database does not answer, or is locked.
    """
    is_sqlite = url.get_backend_name() == "sqlite"
    engine = (
        sqlite_engine(url, _LOCK_SECONDS, begin=begin)
        if is_sqlite
        else postgresql_engine(url, _LOCK_SECONDS, _LOCK_SECONDS)
    )
    try:
        with engine.begin() as connection:
            yield connection
    except (DBAPIError, OSError) as error:
        raise failure_of(error) from error
    finally:
        engine.dispose()


def _wait_for_others(connection: Connection) -> None:
    """Wait until no other program migrates the same PostgreSQL database."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK_NUMBER})")

"""Which schema a registry has, and how it gets the present one."""

from __future__ import annotations

import sqlite3
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
from sqlalchemy import URL, Connection, Engine, NullPool, create_engine, event, inspect
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError

from authz_service.facts.database import parsed
from authz_service.facts.engines import sqlite_path
from authz_service.facts.schema import SCHEMA_VERSION, VERSION_TABLE
from authz_service.migrating import ONE_MIGRATION
from authz_service.pdp.errors import FactsUnavailableError

log = structlog.get_logger(__name__)

_LOCK_NUMBER: Final = 0x61757468_7A666163
_LOCK_SECONDS: Final = 30


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
        FactsUnavailableError: The database does not answer.
    """
    target = parsed(url)
    if target.get_backend_name() == "sqlite" and not sqlite_path(target).exists():
        return SchemaState.EMPTY
    with _connected(target, "BEGIN") as connection:
        return _state(connection)


def migrate(url: str | URL) -> SchemaState:
    """Give the database of *url* the present schema; return what it held before.

    One migration at a time: others wait for it. All or nothing.

    Raises:
        FactsUnavailableError: The database does not answer, holds something else, or was made by
            a newer version of this program.
    """
    target = parsed(url)
    if target.get_backend_name() == "sqlite":
        path = sqlite_path(target)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)  # it holds who is whose patient
    with _connected(target, "BEGIN EXCLUSIVE") as connection:
        _wait_for_others(connection)
        before = _state(connection)
        if before is SchemaState.NEWER:
            raise FactsUnavailableError(
                "its schema is newer than this program; use the program's newer version"
            )
        if before is SchemaState.FOREIGN:
            raise FactsUnavailableError("its database holds other tables and no registry")
        if before is not SchemaState.CURRENT:
            config = alembic_config()
            config.attributes["connection"] = connection
            with ONE_MIGRATION:
                command.upgrade(config, "head")
            log.info("registry_migrated", trigger=before.value)
    return before


def alembic_config() -> Config:
    """Return Alembic's configuration: the migrations that are installed with this program."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    return config


def _state(connection: Connection) -> SchemaState:
    """Return what the database behind *connection* holds."""
    tables = set(inspect(connection).get_table_names())
    if VERSION_TABLE not in tables:
        foreign = tables & {"facts_revision", "subjects", "recordings"}
        is_ours_alone = connection.dialect.name == "sqlite"
        return SchemaState.FOREIGN if foreign or (tables and is_ours_alone) else SchemaState.EMPTY
    context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
    version = context.get_current_revision()
    if version == SCHEMA_VERSION:
        return SchemaState.CURRENT
    if version is None:
        return SchemaState.EMPTY
    known = {
        script.revision for script in ScriptDirectory.from_config(alembic_config()).walk_revisions()
    }
    return SchemaState.OLDER if version in known else SchemaState.NEWER


@contextmanager
def _connected(url: URL, begin: str) -> Iterator[Connection]:
    """Lend a connection in one transaction, which SQLite opens by *begin*.

    Raises:
        FactsUnavailableError: The database does not answer, or is locked.
    """
    engine = _engine(url, begin)
    try:
        with engine.begin() as connection:
            yield connection
    except (DBAPIError, OSError) as error:
        raise FactsUnavailableError("it does not answer, or is locked or read-only") from error
    finally:
        engine.dispose()


def _wait_for_others(connection: Connection) -> None:
    """Wait until no other program migrates the same PostgreSQL database."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{_LOCK_SECONDS}s'")
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK_NUMBER})")


def _engine(url: URL, begin_words: str) -> Engine:
    """Return an engine for one transaction, which SQLite opens by *begin_words*."""
    if url.get_backend_name() == "postgresql":
        return create_engine(url, poolclass=NullPool, connect_args={"connect_timeout": 5})
    engine = create_engine(
        url.difference_update_query(["mode"]),
        poolclass=NullPool,
        connect_args={"timeout": _LOCK_SECONDS, "isolation_level": None},
    )

    @event.listens_for(engine, "connect")
    def prepare(connection: DBAPIConnection, _entry: object) -> None:
        cursor = connection.cursor()
        try:
            cursor.execute("PRAGMA journal_mode = WAL")
            cursor.execute("PRAGMA synchronous = FULL")
        except sqlite3.OperationalError:
            log.debug("registry_journal_mode_kept")
        finally:
            cursor.close()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql(begin_words)

    return engine

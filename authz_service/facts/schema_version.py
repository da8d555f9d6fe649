"""Which schema a registry has, and how it gets the present one."""

from __future__ import annotations

from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Final

import structlog
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Connection, inspect, text

from authz_service.facts.compatibility import why_not
from authz_service.facts.database import parsed
from authz_service.facts.engines import sqlite_path
from authz_service.facts.migration_connection import connected, our_turn
from authz_service.facts.migrations.online import briefly
from authz_service.facts.schema import SCHEMA_VERSION, VERSION_TABLE
from authz_service.migrating import ONE_MIGRATION
from authz_service.pdp.errors import FactsUnavailableError

log = structlog.get_logger(__name__)

MIGRATIONS: Final = Path(__file__).parent / "migrations"
"""The migrations that are installed with this program."""

_WORKS_FROM: Final = text("SELECT works_from FROM facts_revision")


class SchemaState(StrEnum):
    """What a database holds, as far as this program can tell."""

    CURRENT = "current"
    OLDER = "older"
    LATER = "later"
    """Newer than this program, which may still work on it."""
    NEWER = "newer"
    EMPTY = "empty"
    FOREIGN = "foreign"


_BEHIND: Final = frozenset({SchemaState.OLDER, SchemaState.EMPTY})
"""What is migrated."""


def schema_state(url: str | URL) -> SchemaState:
    """Return what the database of *url* holds; a SQLite file that is not there is empty.

    Raises:
        FactsUnavailableError: The database does not answer.
    """
    target = parsed(url)
    if target.get_backend_name() == "sqlite" and not sqlite_path(target).exists():
        return SchemaState.EMPTY
    with connected(target) as connection, connection.begin():
        return _state(connection)


def migrate(url: str | URL) -> SchemaState:
    """Give the database of *url* the present schema; return what it held before.

    One migration at a time: others wait for it. Each is done whole or not at all; what a migration
    builds ahead on PostgreSQL is seen by nobody until then, and is found again by the next attempt.
    A later schema that bears this program is left as it is.

    Raises:
        FactsUnavailableError: The database does not answer, holds something else, was made by a
            newer version of this program and does not bear this one, or is in use for too long.
    """
    target = parsed(url)
    if target.get_backend_name() == "postgresql":
        with connected(target) as connection, our_turn(connection):
            return _migrate_postgresql(connection)
    path = sqlite_path(target)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)  # it holds who is whose patient
    with connected(target, "BEGIN EXCLUSIVE") as connection, connection.begin():
        before = _migratable(connection)
        if before in _BEHIND:
            _upgrade(connection, "head")
            log.info("registry_migrated", trigger=before.value)
        return before


def alembic_config() -> Config:
    """Return Alembic's configuration for them."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("path_separator", "os")
    return config


def _state(connection: Connection) -> SchemaState:
    """Return what the database behind *connection* holds."""
    tables = set(inspect(connection).get_table_names())
    if VERSION_TABLE not in tables:
        foreign = tables & {"facts_revision", "subjects", "recordings"}
        is_ours_alone = connection.dialect.name == "sqlite"
        return SchemaState.FOREIGN if foreign or (tables and is_ours_alone) else SchemaState.EMPTY
    version = _version(connection)
    if version is None:
        return SchemaState.EMPTY
    if version == SCHEMA_VERSION:
        return SchemaState.CURRENT
    if version in {script.revision for script in _scripts().walk_revisions()}:
        return SchemaState.OLDER
    bears_us = not why_not(version, _works_from(connection))
    return SchemaState.LATER if bears_us else SchemaState.NEWER


def _version(connection: Connection) -> str | None:
    """Return the version of the schema behind *connection*; None where there is none yet."""
    context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
    return context.get_current_revision()


def _scripts() -> ScriptDirectory:
    """Return the migrations that are installed with this program."""
    return ScriptDirectory.from_config(alembic_config())


def _works_from(connection: Connection) -> str:
    """Return the version of the oldest program that may work on a newer schema."""
    columns = {column["name"] for column in inspect(connection).get_columns("facts_revision")}
    if "works_from" not in columns:
        return ""
    return str(connection.execute(_WORKS_FROM).scalar_one())


def _migratable(connection: Connection) -> SchemaState:
    """Return what the database behind *connection* holds, if it is a registry or can become one.

    Raises:
        FactsUnavailableError: It is of a newer version that does not bear this one, or holds
            something else.
    """
    found = _state(connection)
    if found is SchemaState.NEWER:
        raise FactsUnavailableError(
            "its schema is newer than this program; use the program's newer version"
        )
    if found is SchemaState.FOREIGN:
        raise FactsUnavailableError("its database holds other tables and no registry")
    return found


def _migrate_postgresql(connection: Connection) -> SchemaState:
    """Migrate a PostgreSQL database: what takes long ahead, the rest in short transactions."""
    with connection.begin():
        before = _migratable(connection)
        version = _version(connection) if before is SchemaState.OLDER else None
    if before is SchemaState.EMPTY:
        briefly(connection, lambda: _upgrade(connection, "head"))
    if version is not None:
        _upgrade_by_steps(connection, version)
    if before in _BEHIND:
        log.info("registry_migrated", trigger=before.value)
    return before


def _upgrade_by_steps(connection: Connection, version: str) -> None:
    """Bring a registry of an earlier *version* up to the present one, a migration at a time."""
    pending = [*_scripts().iterate_revisions("head", version)]
    for script in reversed(pending):
        ahead = getattr(script.module, "ahead", None)
        if ahead is not None:
            log.info("registry_migration_prepared", trigger=script.revision)
            ahead(connection)
        briefly(connection, partial(_upgrade, connection, script.revision))


def _upgrade(connection: Connection, revision: str) -> None:
    """Run the migrations up to *revision* in the transaction that is open."""
    config = alembic_config()
    config.attributes["connection"] = connection
    with ONE_MIGRATION:
        command.upgrade(config, revision)

"""The connection on which a registry is migrated: one at a time, and no statement is cut short."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import structlog
from sqlalchemy import URL, Connection, Engine, NullPool, create_engine, event, text
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError

from authz_service.facts.trouble import why_unusable
from authz_service.pdp.errors import FactsUnavailableError

log = structlog.get_logger(__name__)

PATIENCE_SECONDS: Final = 30.0
"""How long a start waits for another program's migration, and for whoever uses the tables."""

_LOCK_NUMBER: Final = 0x61757468_7A666163
_TAKE_TURN: Final = text(f"SELECT pg_try_advisory_lock({_LOCK_NUMBER})")
_TURN_TAKEN: Final = text(
    "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1"  # noqa: S608  # numbers of ours
    f" AND classid = {_LOCK_NUMBER >> 32} AND objid = {_LOCK_NUMBER & 0xFFFFFFFF}"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))"
)
_REST_SECONDS: Final = 0.1
_CONNECT_SECONDS: Final = 5


@contextmanager
def connected(url: URL, begin: str = "BEGIN") -> Iterator[Connection]:
    """Lend a connection without a transaction; SQLite opens one by *begin*.

    Raises:
        FactsUnavailableError: The database does not answer, or is locked.
    """
    engine = _engine(url, begin)
    try:
        with engine.connect() as connection:
            yield connection
    except (DBAPIError, OSError) as error:
        raise FactsUnavailableError(why_unusable(error)) from error
    finally:
        engine.dispose()


@contextmanager
def our_turn(connection: Connection) -> Iterator[None]:
    """Keep other programs from migrating the same PostgreSQL database, until the connection ends.

    The lock is tried and not waited for: who waits inside of a statement holds a snapshot, and an
    index that is built concurrently waits for all snapshots.

    Raises:
        FactsUnavailableError: Another program goes on migrating it.
    """
    ends = time.monotonic() + PATIENCE_SECONDS
    while not _taken(connection):
        if time.monotonic() > ends:
            raise FactsUnavailableError(
                "another program has been upgrading it for a while; start again once that is done"
            )
        time.sleep(_REST_SECONDS)
    yield


def is_under_way(connection: Connection) -> bool:
    """Whether some program migrates the PostgreSQL database behind *connection* now."""
    return bool(connection.execute(_TURN_TAKEN).scalar_one())


def _taken(connection: Connection) -> bool:
    """Take the turn, if it is free."""
    with connection.begin():
        return bool(connection.execute(_TAKE_TURN).scalar_one())


def _engine(url: URL, begin_words: str) -> Engine:
    """Return an engine for one connection."""
    if url.get_backend_name() == "postgresql":
        return create_engine(
            url,
            poolclass=NullPool,
            connect_args={
                "connect_timeout": _CONNECT_SECONDS,
                "application_name": "authz-migration",
                "keepalives_idle": 5,
                "keepalives_interval": 1,
                "keepalives_count": 3,
                "options": "-c statement_timeout=0 -c idle_in_transaction_session_timeout=0",
            },
        )
    engine = create_engine(
        url.difference_update_query(["mode"]),
        poolclass=NullPool,
        connect_args={"timeout": PATIENCE_SECONDS, "isolation_level": None},
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

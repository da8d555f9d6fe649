"""Connections on which the store is read: bounded waits, one transaction each, no plan by chance.

PostgreSQL is told to walk indexes in their order where it can. Its own choice rests on statistics,
which a month that has just begun does not have, and one wrong choice would read all of a month.
"""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from sqlalchemy import URL, Engine
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import PoolProxiedConnection

from authz_service.audit.store.engines import parsed, postgresql_engine, sqlite_engine
from authz_service.audit.store.failures import (
    DRIVER_ERRORS,
    FailureKind,
    StoreFailureError,
    failure_of,
)
from authz_service.audit.store.questions import Parameters, Statement
from authz_service.audit.store.schema import SCHEMA_VERSION, VERSION_TABLE

_LOCK_SECONDS: Final = 1.0
_STEPS: Final = 20_000
"""So many steps of SQLite's machine pass between two looks at the clock."""
_PLAIN_PLANS: Final = {
    f"enable_{way}": "off" for way in ("seqscan", "bitmapscan", "sort", "hashjoin", "mergejoin")
}
_VERSION: Final = f"SELECT version_num FROM {VERSION_TABLE}"  # noqa: S608  # a name of ours
_NAME: Final = re.compile(r":([a-z]\w*)")
_INDEX: Final = re.compile(r"{(\w+)}")

Row = tuple[Any, ...]


class Session:
    """One connection in one transaction, on one thread."""

    def __init__(self, connection: DBAPIConnection, *, is_sqlite: bool) -> None:
        """Run statements on *connection*."""
        self._cursor = connection.cursor()
        self._is_sqlite = is_sqlite

    def rows(self, statement: Statement) -> list[Row]:
        """Return all rows of *statement*."""
        self.run(*statement)
        return list(self._cursor.fetchall())

    def run(self, text: str, parameters: Parameters | None = None) -> None:
        """Run a statement."""
        self._cursor.execute(in_words_of(text, is_sqlite=self._is_sqlite), parameters or {})


class Readings:
    """A decision store that is read. Thread-safe; nothing is opened before the first reading.

    Attributes:
        is_sqlite: Whether it is a SQLite file.
    """

    def __init__(self, url: str | URL, *, statement_seconds: float, connections: int) -> None:
        """Describe the store.

        Args:
            url: ``sqlite:///path`` or ``postgresql+psycopg://…``.
            statement_seconds: How long one statement may take.
            connections: How many threads may read at once.

        Raises:
            StoreFailureError: The URL names no database that can hold a store.
        """
        target = parsed(url)
        self.is_sqlite = target.get_backend_name() == "sqlite"
        self._statement_seconds = statement_seconds
        self._engine: Engine = (
            sqlite_engine(target, _LOCK_SECONDS)
            if self.is_sqlite
            else postgresql_engine(
                target,
                _LOCK_SECONDS,
                statement_seconds,
                autocommit=True,
                kept=connections,
                plans=_PLAIN_PLANS,
            )
        )

    @contextmanager
    def session(self) -> Iterator[Session]:
        """Lend a connection in a transaction that only reads.

        Raises:
            StoreFailureError: The store is silent, locked, gone or of another schema.
        """
        lent: PoolProxiedConnection | None = None
        try:
            lent = self._engine.raw_connection()
            session = Session(lent, is_sqlite=self.is_sqlite)
            self._begin(session, lent)
            yield session
            session.run("ROLLBACK")
        except DRIVER_ERRORS as error:
            raise self._failure_of(error) from error
        else:
            lent.close()
            lent = None
        finally:
            if lent is not None:
                lent.invalidate()

    def close(self) -> None:
        """Close all connections that are not in use."""
        self._engine.dispose()

    def _begin(self, session: Session, lent: PoolProxiedConnection) -> None:
        """Begin, and see whose schema it is."""
        opened = lent.driver_connection
        if isinstance(opened, sqlite3.Connection):
            end = time.monotonic() + self._statement_seconds
            opened.set_progress_handler(lambda: time.monotonic() > end, _STEPS)
            session.run("PRAGMA query_only = ON")
        session.run(
            "BEGIN" if self.is_sqlite else "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
        )
        if session.rows(Statement(_VERSION, {})) != [(SCHEMA_VERSION,)]:
            raise StoreFailureError(FailureKind.SCHEMA, "its schema is of another version")

    def _failure_of(self, error: Exception) -> StoreFailureError:
        """Return what *error* means to whoever asked."""
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_INTERRUPT:
            failure = StoreFailureError(FailureKind.SLOW, "")
        else:
            failure = failure_of(error)
        if failure.kind is not FailureKind.SLOW:
            return failure
        seconds = self._statement_seconds
        why = f"it took longer than {seconds:g} seconds; ask for a shorter time, or for less"
        return StoreFailureError(FailureKind.SLOW, why)


def in_words_of(text: str, *, is_sqlite: bool) -> str:
    """Return a statement as the driver takes it."""
    if is_sqlite:
        return _INDEX.sub(r" INDEXED BY \1", text)
    return _NAME.sub(r"%(\1)s", _INDEX.sub("", text))

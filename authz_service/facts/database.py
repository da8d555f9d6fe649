"""Transactions on SQLite and PostgreSQL: bounded waits, one snapshot each, closed errors."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from typing import Final

import psycopg
import sqlalchemy.exc
from sqlalchemy import URL, make_url
from sqlalchemy.pool import PoolProxiedConnection

from authz_service.facts.bounded_connection import LiveConnections
from authz_service.facts.engines import postgresql_engine, sqlite_engine
from authz_service.facts.giving_way import JOIN_LINE, GivingWay
from authz_service.facts.sessions import Session, Statements
from authz_service.facts.trouble import why_unusable
from authz_service.pdp.errors import FactsUnavailableError

_GRACE_SECONDS: Final = 1.0
"""How much later than the server's own bound for a statement we stop waiting for its answer."""

_MALFORMED: Final = "its URL is malformed; in a password write @ : / % as %40 %3A %2F %25"


class Access(Enum):
    """What a transaction is for, and how it begins on either database; urgent ones go first."""

    READ = ("BEGIN", "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    WRITE = ("BEGIN IMMEDIATE", f"BEGIN ISOLATION LEVEL READ COMMITTED; {JOIN_LINE}")
    URGENT_WRITE = ("BEGIN IMMEDIATE", "BEGIN ISOLATION LEVEL READ COMMITTED")


class Database:
    """A registry's database: a bounded pool of connections, given out one transaction at a time.

    Thread-safe. Nothing is opened before the first transaction, and a SQLite file is never made.

    Attributes:
        url: Where it is.
        is_sqlite: Whether it is a SQLite file.
        giving_way: What its ordinary writes wait for before they begin.
    """

    def __init__(
        self,
        url: str | URL,
        *,
        lock_seconds: float,
        statement_seconds: float = 10.0,
        pool: int = 4,
        by_index: bool = False,
    ) -> None:
        """Describe the database.

        Args:
            url: ``sqlite:///path`` or ``postgresql+psycopg://…``.
            lock_seconds: How long to wait for somebody else's write.
            statement_seconds: How long one statement may take (PostgreSQL).
            pool: How many connections there may be.
            by_index: Whether every statement finds few rows, and has to find them in the order of
                an index whatever a planner guesses from old statistics (PostgreSQL).

        Raises:
            FactsUnavailableError: The URL names no database that this service can use.
        """
        self.url = parsed(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self.giving_way = GivingWay()
        self._lock_seconds = lock_seconds
        self._statements = Statements(is_sqlite=self.is_sqlite)
        self._live: LiveConnections | None = None
        if self.is_sqlite:
            self._engine = sqlite_engine(self.url, lock_seconds, pool)
            return
        self._engine = postgresql_engine(
            self.url, lock_seconds, statement_seconds, pool, by_index=by_index
        )
        self._live = LiveConnections(self._engine, statement_seconds + _GRACE_SECONDS)

    @contextmanager
    def transaction(self, access: Access) -> Iterator[Session]:
        """Run one transaction: committed at the end; rolled back on any error or if discarded.

        Raises:
            FactsUnavailableError: The database is silent, locked, gone or read-only.
        """
        begin = access.value[0 if self.is_sqlite else 1]
        if access is Access.WRITE:
            self.giving_way.give_way(self._lock_seconds)
        with self.connection() as session:
            session.run(begin)
            if access is Access.WRITE:
                session.require_way = self.giving_way.require_way
            try:
                yield session
            except (sqlite3.Error, psycopg.Error):
                raise
            except BaseException:
                session.require_way = None
                session.run("ROLLBACK")
                raise
            session.run("ROLLBACK" if session.discarded else "COMMIT")

    @contextmanager
    def connection(self) -> Iterator[Session]:
        """Lend a connection on which every statement stands for itself.

        Raises:
            FactsUnavailableError: The database is silent, locked, gone or read-only.
        """
        lent: PoolProxiedConnection | None = None
        try:
            lent = self._engine.raw_connection()
            session = Session(lent.driver_connection or lent, self._statements)
            yield session
            session.close()
        except (sqlite3.Error, psycopg.Error, sqlalchemy.exc.SQLAlchemyError, OSError) as error:
            self._drop(lent, error)
            lent = None
            if _is_ours(error):  # its text may hold what a row holds: birth dates, reasons
                defect = f"a statement broke a rule of the schema ({type(error).__name__})"
                raise RuntimeError(defect) from None
            raise FactsUnavailableError(why_unusable(error)) from error
        finally:
            if lent is not None:
                lent.close()

    def close(self) -> None:
        """Close all connections; the next transaction opens new ones."""
        self._engine.dispose()

    def _drop(self, lent: PoolProxiedConnection | None, error: Exception) -> None:
        """Close a connection on which something failed, for good."""
        if lent is None:
            return
        was_lost = getattr(lent.driver_connection, "closed", True)
        if self._live is not None and was_lost and isinstance(error, psycopg.OperationalError):
            self._live.suspect()
        lent.invalidate()


def parsed(url: str | URL) -> URL:
    """Return *url*, if it names a database that this service can use.

    Raises:
        FactsUnavailableError: It does not; its text, which may hold a password, is not repeated.
    """
    try:
        made = make_url(url)
    except (sqlalchemy.exc.ArgumentError, ValueError):  # the latter for a port that is none
        raise FactsUnavailableError(_MALFORMED) from None
    backend = made.get_backend_name()
    if backend == "sqlite" and made.database not in (None, "", ":memory:"):
        return made
    if "@" in f"{made.host}{made.database}":  # the end of a password, which would be shown
        raise FactsUnavailableError(_MALFORMED)
    if made.drivername in {"postgresql", "postgresql+psycopg"}:
        return made.set(drivername="postgresql+psycopg")
    raise FactsUnavailableError(
        "its URL has to be sqlite:///path or postgresql+psycopg://host/database"
    )


def _is_ours(error: Exception) -> bool:
    """Whether *error* is a defect of a statement of ours, not of the database's state."""
    return isinstance(error, (sqlite3.IntegrityError, psycopg.IntegrityError))

"""What can stand between a journal and the store: failures that pass, and alarms that do not."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Final

import psycopg
import sqlalchemy.exc

from authz_service.pdp.errors import AuthzError, DecisionsUnavailableError


class FailureKind(StrEnum):
    """Why shipping has to try again."""

    SILENT = "silent"
    """The store does not answer."""
    LOCKED = "locked"
    """Somebody else holds what has to be written."""
    SLOW = "slow"
    """A statement took too long."""
    FULL = "full"
    """The store's disk is full, or it gives out no more connections."""
    REFUSED = "refused"
    """The store is read-only, or the right to write is missing."""
    SCHEMA = "schema"
    """The store is of another schema, or it is no decision store."""
    UNFIT = "unfit"
    """It does not take what these lines hold, and will not until it or they are changed."""
    JOURNAL = "journal"
    """The journal's own files cannot be read."""
    BUG = "bug"
    """What nobody foresaw."""


LASTING: Final = frozenset({FailureKind.UNFIT, FailureKind.BUG})
"""Kinds that no pause makes good: somebody has to change something."""


class AlarmKind(StrEnum):
    """Why shipping stops until a person has looked."""

    CONFLICT = "conflict"
    """The store holds a line of this journal, under the same number, that is not the journal's."""
    AHEAD = "ahead"
    """The store holds more of this journal than the journal itself does."""
    GAP = "gap"
    """The lines that the store wants next are in segments that are gone."""
    DAMAGE = "damage"
    """The journal's files are not as they were written."""
    UNVERIFIED = "unverified"
    """The store does not give a segment back as it is; it is kept. Shipping goes on."""


class StoreFailureError(DecisionsUnavailableError):
    """The store cannot be used now; it is worth another attempt later."""

    def __init__(self, kind: FailureKind, why: str) -> None:
        """Keep the *kind*, and *why* in words for people."""
        super().__init__(why)
        self.kind = kind
        self.why = why


class ShippingAlarmError(AuthzError):
    """Journal and store contradict each other: a person has to look."""

    def __init__(self, kind: AlarmKind, why: str) -> None:
        """Keep the *kind*, and *why* in words for people."""
        super().__init__(why)
        self.kind = kind
        self.why = why


DRIVER_ERRORS: Final = (sqlite3.Error, psycopg.Error, sqlalchemy.exc.SQLAlchemyError, OSError)
"""What the drivers of both databases raise."""

_SQLITE: Final = {
    sqlite3.SQLITE_BUSY: (FailureKind.LOCKED, "it is locked by another process"),
    sqlite3.SQLITE_LOCKED: (FailureKind.LOCKED, "it is locked by another process"),
    sqlite3.SQLITE_READONLY: (FailureKind.REFUSED, "it is read-only"),
    sqlite3.SQLITE_PERM: (FailureKind.REFUSED, "it may not be written"),
    sqlite3.SQLITE_CANTOPEN: (FailureKind.SILENT, "its file is gone or cannot be opened"),
    sqlite3.SQLITE_FULL: (FailureKind.FULL, "its disk is full"),
    sqlite3.SQLITE_CORRUPT: (FailureKind.REFUSED, "its file is damaged"),
    sqlite3.SQLITE_NOTADB: (FailureKind.SCHEMA, "its file is no SQLite database"),
    sqlite3.SQLITE_IOERR: (FailureKind.SILENT, "its disk fails"),
    sqlite3.SQLITE_CONSTRAINT: (FailureKind.UNFIT, "it does not take a value"),
    sqlite3.SQLITE_MISMATCH: (FailureKind.UNFIT, "it does not take a value"),
    sqlite3.SQLITE_TOOBIG: (FailureKind.UNFIT, "a value is too long for it"),
    sqlite3.SQLITE_ERROR: (FailureKind.SCHEMA, "its schema is of another version"),
}
_DOUBLED: Final = {sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY, sqlite3.SQLITE_CONSTRAINT_UNIQUE}
_MEANWHILE: Final = (FailureKind.LOCKED, "its tables were changed meanwhile")
_POSTGRESQL: Final[tuple[tuple[type[psycopg.Error], FailureKind, str], ...]] = (
    (psycopg.errors.LockNotAvailable, FailureKind.LOCKED, "it is locked by another process"),
    (psycopg.errors.DeadlockDetected, FailureKind.LOCKED, "it is locked by another process"),
    (psycopg.errors.QueryCanceled, FailureKind.SLOW, "a statement took too long"),
    (psycopg.errors.IdleInTransactionSessionTimeout, FailureKind.SLOW, "it took too long"),
    (psycopg.errors.ReadOnlySqlTransaction, FailureKind.REFUSED, "it is read-only"),
    (psycopg.errors.InsufficientPrivilege, FailureKind.REFUSED, "the right to write is missing"),
    (psycopg.errors.UndefinedTable, FailureKind.SCHEMA, "it has not been set up"),
    (psycopg.errors.UndefinedColumn, FailureKind.SCHEMA, "its schema is of another version"),
    (psycopg.errors.DiskFull, FailureKind.FULL, "its disk is full"),
    (psycopg.errors.OutOfMemory, FailureKind.FULL, "its memory is full"),
    (psycopg.errors.TooManyConnections, FailureKind.FULL, "it gives out no more connections"),
    (psycopg.errors.UniqueViolation, *_MEANWHILE),
    (psycopg.IntegrityError, FailureKind.UNFIT, "it does not take a value"),
    (psycopg.DataError, FailureKind.UNFIT, "it does not take a value"),
    (psycopg.OperationalError, FailureKind.SILENT, "it does not answer"),
    (psycopg.InterfaceError, FailureKind.SILENT, "it does not answer"),
)


@contextmanager
def driver_failures() -> Iterator[None]:
    """Turn what a driver raises into a failure of ours.

    Raises:
        StoreFailureError: A driver raised something.
    """
    try:
        yield
    except DRIVER_ERRORS as error:
        raise failure_of(error) from error


def failure_of(error: Exception) -> StoreFailureError:
    """Return what *error* of a driver means, in words of ours: its own may hold what a row holds.

    Returned, not raised: the caller chains it.
    """
    if isinstance(error, sqlite3.Error):
        return StoreFailureError(*_sqlite_failure(error))
    if isinstance(error, psycopg.Error):
        return StoreFailureError(*_postgresql_failure(error))
    origin = getattr(error, "orig", None)
    if isinstance(origin, Exception):
        return failure_of(origin)
    return StoreFailureError(FailureKind.SILENT, "it does not answer")


def _sqlite_failure(error: sqlite3.Error) -> tuple[FailureKind, str]:
    """Return what an error of SQLite's driver means."""
    code = getattr(error, "sqlite_errorcode", None) or sqlite3.SQLITE_ERROR
    if code in _DOUBLED:
        return _MEANWHILE
    if isinstance(error, sqlite3.DataError):
        return _SQLITE[sqlite3.SQLITE_TOOBIG]
    return _SQLITE.get(code & 0xFF, (FailureKind.BUG, "SQLite refused a statement"))


def _postgresql_failure(error: psycopg.Error) -> tuple[FailureKind, str]:
    """Return what an error of PostgreSQL's driver means."""
    if isinstance(error, psycopg.errors.CheckViolation) and not error.diag.constraint_name:
        return _MEANWHILE  # a partition is gone
    for known, kind, words in _POSTGRESQL:
        if isinstance(error, known):
            said = f"{words} (SQLSTATE {error.sqlstate})"
            return kind, said if error.sqlstate and kind is FailureKind.UNFIT else words
    return FailureKind.BUG, f"PostgreSQL refused a statement (SQLSTATE {error.sqlstate})"

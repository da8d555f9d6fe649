"""What an error of a database's driver means, in words of ours: its own may show a row."""

from __future__ import annotations

import sqlite3
from typing import Final

import psycopg
import sqlalchemy.exc

OTHER_SCHEMA: Final = "its schema is older than this program, or newer; authz doctor says which"
NOT_SET_UP: Final = "its schema is of another version, or it has not been set up"
READ_ONLY: Final = "it is read-only"
SILENT: Final = "it does not answer"
WRONG_PASSWORD: Final = "it refuses the user or the password"  # noqa: S105  # no password
NO_DATABASE: Final = "there is no such database"
NOT_LET_IN: Final = "it does not let this user or this address in"
NO_CONNECTIONS: Final = "it gives out no more connections"
COMING_OR_GOING: Final = "it is starting, stopping or recovering"
ENDED: Final = "it ended the connection: a containment went before this write, or it is stopping"

_SQLITE: Final = {
    sqlite3.SQLITE_BUSY: "it is locked by another process",
    sqlite3.SQLITE_LOCKED: "it is locked by another process",
    sqlite3.SQLITE_READONLY: READ_ONLY,
    sqlite3.SQLITE_CANTOPEN: "its file is gone or cannot be opened",
    sqlite3.SQLITE_FULL: "its disk is full",
    sqlite3.SQLITE_CORRUPT: "its file is damaged",
    sqlite3.SQLITE_NOTADB: "its file is no SQLite database",
    sqlite3.SQLITE_IOERR: "its disk fails",
}
_POSTGRESQL: Final[tuple[tuple[type[psycopg.Error], str], ...]] = (
    (psycopg.errors.LockNotAvailable, "it is locked by another process"),
    (psycopg.errors.QueryCanceled, "a statement took too long"),
    (psycopg.errors.ReadOnlySqlTransaction, READ_ONLY),
    (psycopg.errors.UndefinedTable, "it has not been set up"),
    (psycopg.errors.UndefinedColumn, OTHER_SCHEMA),
    (psycopg.errors.DiskFull, "its disk is full"),
    (psycopg.errors.InsufficientPrivilege, "the right to its tables is missing"),
    (psycopg.errors.AdminShutdown, ENDED),
    (psycopg.errors.CrashShutdown, COMING_OR_GOING),
    (psycopg.errors.CannotConnectNow, COMING_OR_GOING),
)
_REFUSALS: Final = (
    ("password authentication failed", WRONG_PASSWORD),
    ("no password supplied", WRONG_PASSWORD),
    ("too many clients", NO_CONNECTIONS),
    ("too many connections", NO_CONNECTIONS),
    ("remaining connection slots", NO_CONNECTIONS),
    ("the database system is", COMING_OR_GOING),
    ("no pg_hba.conf entry", NOT_LET_IN),
    ("is not currently accepting connections", NOT_LET_IN),
    ("is not permitted to log in", NOT_LET_IN),
    ("permission denied", NOT_LET_IN),
)
"""What PostgreSQL says to whom it does not let in: the driver keeps the text and no code."""


def why_unusable(error: Exception) -> str:
    """Return what *error* of a driver, or of the pool of its connections, means."""
    if isinstance(error, sqlite3.Error):
        return _of_sqlite(error)
    if isinstance(error, psycopg.Error):
        return _of_postgresql(error)
    if isinstance(error, sqlalchemy.exc.TimeoutError):
        return "all its connections are in use"
    origin = getattr(error, "orig", None)
    return why_unusable(origin) if isinstance(origin, Exception) else SILENT


def _of_sqlite(error: sqlite3.Error) -> str:
    """Return what an error of SQLite's driver means."""
    code = getattr(error, "sqlite_errorcode", None)
    if code is None or code & 0xFF == sqlite3.SQLITE_ERROR:
        return NOT_SET_UP
    return _SQLITE.get(code & 0xFF, "SQLite refused a statement")


def _of_postgresql(error: psycopg.Error) -> str:
    """Return what an error of PostgreSQL's driver means."""
    for known, words in _POSTGRESQL:
        if isinstance(error, known):
            return words
    return SILENT if error.sqlstate else _refusal(str(error))


def _refusal(said: str) -> str:
    """Return why PostgreSQL did not let in; what is not known stays silence."""
    for words, meaning in _REFUSALS:
        if words in said:
            return meaning
    if "does not exist" in said:
        return NO_DATABASE if 'FATAL:  database "' in said else WRONG_PASSWORD
    return SILENT

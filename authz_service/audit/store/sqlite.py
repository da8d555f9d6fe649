"""The store in a SQLite file: rows go in by a few long statements, not one by one.

Each step of SQLite lets go of the interpreter and has to get it back from the event loop. So rows
are handed over as many at a time as SQLite takes.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL

from authz_service.audit.store.engines import sqlite_engine, sqlite_path
from authz_service.audit.store.failures import (
    DRIVER_ERRORS,
    FailureKind,
    StoreFailureError,
    driver_failures,
)
from authz_service.audit.store.ports import KnownLines, ProgressMovedError, StoredLine
from authz_service.audit.store.shipment import DECISION_COLUMNS, Progress, Shipment

_PROGRESS: Final = (
    "SELECT sequence, hash, segment, offset_bytes, at FROM journals WHERE journal_id = ?"
)
_NOTE_PROGRESS: Final = (
    "INSERT OR REPLACE INTO journals "
    "(sequence, hash, segment, offset_bytes, at, shipped_at, journal_id) "
    "VALUES (?, ?, ?, ?, ?, ?, ?)"
)
_LINE_NAMES: Final = ("sequence", "at", "hash", "line", "journal_id")
_DECISION_NAMES: Final = (*(name for name, _ in DECISION_COLUMNS), "journal_id")
_MOST_VALUES: Final = 999
"""So many a statement may have before SQLite 3.32."""
_CACHE_KIBIBYTES: Final = 32 * 1024
_CHECKPOINT_PAGES: Final = 8192
"""How long the write-ahead log grows: indexes touch the same pages again and again."""
_DECISIONS_OF: Final = (  # by their time first, for which there is an index
    "FROM decisions WHERE evaluated_at BETWEEN ? AND ? AND journal_id = ? "
    "AND sequence BETWEEN ? AND ?"
)
_FETCHED_LINES: Final = 500


class SqliteStore:
    """Implements `ports.Store` on one connection."""

    def __init__(self, url: URL, *, lock_seconds: float) -> None:
        """Open the file.

        Raises:
            StoreFailureError: It cannot be opened.
        """
        self._path = sqlite_path(url)
        with driver_failures():
            self._lent = sqlite_engine(url, lock_seconds).raw_connection()
            connection: Any = self._lent.driver_connection
            self._connection: sqlite3.Connection = connection
            self._connection.execute(f"PRAGMA cache_size = -{_CACHE_KIBIBYTES}")
            self._connection.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
            self._file = _identity(self._path)

    def progress(self, journal_id: str) -> Progress | None:
        with driver_failures():
            self._require_same_file()
            return self._progress(journal_id)

    def last_line(self, journal_id: str, after: int) -> int:
        with driver_failures():
            (last,) = self._connection.execute(
                "SELECT max(sequence) FROM journal_lines WHERE journal_id = ? AND sequence > ?",
                (journal_id, after),
            ).fetchone()
        return after if last is None else int(last)

    def known_lines(self, journal_id: str, shipment: Shipment) -> KnownLines:
        with driver_failures():
            hashes = self._connection.execute(
                "SELECT sequence, hash FROM journal_lines "
                "WHERE journal_id = ? AND sequence BETWEEN ? AND ?",
                (journal_id, shipment.first, shipment.end.sequence),
            ).fetchall()
            with_decisions = self._connection.execute(
                f"SELECT DISTINCT sequence {_DECISIONS_OF}", _bounds(journal_id, shipment)
            ).fetchall()
        return KnownLines(dict(hashes), frozenset(number for (number,) in with_decisions))

    def ship(
        self, journal_id: str, before: Progress | None, shipment: Shipment, shipped_at: int
    ) -> None:
        with driver_failures(), self._transaction():
            self._require_same_file()
            if self._progress(journal_id) != before:
                raise ProgressMovedError
            run = self._connection.execute
            run(_NOTE_PROGRESS, (*shipment.end, shipped_at, journal_id))
            lines = [
                (one.sequence, one.at, one.hash.decode(), one.content) for one in shipment.lines
            ]
            for statement, values in chain(
                _insertions("journal_lines", _LINE_NAMES, lines, journal_id),
                _insertions("decisions", _DECISION_NAMES, shipment.decisions, journal_id),
            ):
                run(statement, values)

    def stored_lines(self, journal_id: str, first: int, last: int) -> Iterator[StoredLine]:
        while first <= last:
            with driver_failures():
                self._require_same_file()
                rows = self._connection.execute(
                    "SELECT sequence, hash, line FROM journal_lines WHERE journal_id = ? "
                    "AND sequence BETWEEN ? AND ? ORDER BY sequence LIMIT ?",
                    (journal_id, first, last, _FETCHED_LINES),
                ).fetchall()
            for sequence, stated, content in rows:
                yield StoredLine(sequence, stated, bytes(content))
            if not rows:
                return
            first = rows[-1][0] + 1

    def stored_decisions(self, journal_id: str, shipment: Shipment) -> int:
        with driver_failures():
            self._require_same_file()
            (count,) = self._connection.execute(
                f"SELECT count(*) {_DECISIONS_OF}", _bounds(journal_id, shipment)
            ).fetchone()
        return int(count)

    def close(self) -> None:
        with suppress(*DRIVER_ERRORS):
            self._lent.invalidate()
            self._lent.close()

    def _progress(self, journal_id: str) -> Progress | None:
        """Return how far a journal is here."""
        row = self._connection.execute(_PROGRESS, (journal_id,)).fetchone()
        return Progress(*row) if row else None

    def _require_same_file(self) -> None:
        """Raise where another file stands at the path by now: this is not the store any more."""
        if _identity(self._path) != self._file:
            raise StoreFailureError(FailureKind.SILENT, "its file was replaced")

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """Commit at the end what was written, or nothing of it."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")
            raise


def _insertions(
    table: str, names: tuple[str, ...], rows: Sequence[tuple[object, ...]], journal_id: str
) -> Iterator[tuple[str, list[object]]]:
    """Yield statements that insert *rows* and *journal_id* into *table*, each with its values."""
    at_once = _MOST_VALUES // len(names)
    for start in range(0, len(rows), at_once):
        taken = rows[start : start + at_once]
        values = [*chain.from_iterable((*row, journal_id) for row in taken)]
        yield _insertion(table, names, len(taken)), values


@cache
def _insertion(table: str, names: tuple[str, ...], rows: int) -> str:
    """Return the statement that inserts so many rows."""
    row = f"({', '.join('?' * len(names))})"
    return f"INSERT INTO {table} ({', '.join(names)}) VALUES {', '.join([row] * rows)}"  # noqa: S608  # names of ours


def _bounds(journal_id: str, shipment: Shipment) -> tuple[int | str, ...]:
    """Return what bounds the decisions of *shipment*."""
    evaluated = shipment.evaluated or {0}
    place = (journal_id, shipment.first, shipment.end.sequence)
    return (min(evaluated), max(evaluated), *place)


def _identity(path: Path) -> tuple[int, int]:
    """Return which file stands at *path* now."""
    found = path.stat()
    return found.st_dev, found.st_ino

"""The store in a SQLite file: rows go in by a few long statements, not one by one.

Each step of SQLite lets go of the interpreter and has to get it back from the event loop. So the
lines of a shipment are handed over as one blob with their places in it, and decisions many at a
time.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any, Final

import orjson
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
_INSERT_LINES: Final = """
INSERT INTO journal_lines (journal_id, sequence, at, hash, line)
SELECT ?1, json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]'),
       substr(?2, json_extract(value, '$[3]') + 1, json_extract(value, '$[4]'))
FROM json_each(?3)
"""
_NAMES: Final = ", ".join(name for name, _ in DECISION_COLUMNS)
_PLACES: Final = f"({', '.join('?' * (len(DECISION_COLUMNS) + 1))})"
_ROWS_AT_ONCE: Final = 48
"""So many that their values stay below 999, the most that SQLite takes before 3.32."""
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
        lines, blob = _document(shipment)
        with driver_failures(), self._transaction():
            if self._progress(journal_id) != before:
                raise ProgressMovedError
            run = self._connection.execute
            run(_NOTE_PROGRESS, (*shipment.end, shipped_at, journal_id))
            run(_INSERT_LINES, (journal_id, blob, lines))
            for start in range(0, len(shipment.decisions), _ROWS_AT_ONCE):
                rows = shipment.decisions[start : start + _ROWS_AT_ONCE]
                run(
                    _insertion(len(rows)),
                    [*chain.from_iterable((*row, journal_id) for row in rows)],
                )

    def stored_lines(self, journal_id: str, first: int, last: int) -> Iterator[StoredLine]:
        while first <= last:
            with driver_failures():
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
            (count,) = self._connection.execute(
                f"SELECT count(*) {_DECISIONS_OF}", _bounds(journal_id, shipment)
            ).fetchone()
        return int(count)

    def close(self) -> None:
        with suppress(*DRIVER_ERRORS):
            self._lent.invalidate()
            self._lent.close()

    def _progress(self, journal_id: str) -> Progress | None:
        """Return how far a journal is here, in the file that stands there now."""
        if _identity(self._path) != self._file:
            raise StoreFailureError(FailureKind.SILENT, "its file was replaced")
        row = self._connection.execute(_PROGRESS, (journal_id,)).fetchone()
        return Progress(*row) if row else None

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


@cache
def _insertion(rows: int) -> str:
    """Return the statement that inserts so many decisions."""
    return f"INSERT INTO decisions ({_NAMES}, journal_id) VALUES {', '.join([_PLACES] * rows)}"  # noqa: S608  # names of ours


def _document(shipment: Shipment) -> tuple[str, bytes]:
    """Return lines as JSON rows with their places in a blob, and the blob."""
    rows, offset = [], 0
    for sequence, at, stated, content in shipment.lines:
        rows.append((sequence, at, stated.decode(), offset, len(content)))
        offset += len(content)
    return orjson.dumps(rows).decode(), b"".join(line.content for line in shipment.lines)


def _bounds(journal_id: str, shipment: Shipment) -> tuple[int | str, ...]:
    """Return what bounds the decisions of *shipment*."""
    evaluated = shipment.evaluated or {0}
    place = (journal_id, shipment.first, shipment.end.sequence)
    return (min(evaluated), max(evaluated), *place)


def _identity(path: Path) -> tuple[int, int]:
    """Return which file stands at *path* now."""
    found = path.stat()
    return found.st_dev, found.st_ino

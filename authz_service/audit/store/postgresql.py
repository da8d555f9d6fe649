"""The store on PostgreSQL: rows go in by COPY, under the lock on their journal's row."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

import psycopg
from psycopg.sql import SQL
from sqlalchemy import URL

from authz_service.audit.store.engines import postgresql_engine
from authz_service.audit.store.failures import (
    DRIVER_ERRORS,
    FailureKind,
    StoreFailureError,
    driver_failures,
)
from authz_service.audit.store.partitions import Partitions
from authz_service.audit.store.ports import KnownLines, ProgressMovedError, StoredLine
from authz_service.audit.store.shipment import (
    DECISION_COLUMNS,
    Progress,
    Shipment,
)

_DURABLE: Final = (  # a segment may be deleted on the word of what was committed
    "SELECT set_config('synchronous_commit', 'on', false) "
    "WHERE current_setting('synchronous_commit') = 'off'"
)
_PROGRESS: Final = (
    "SELECT sequence, hash, segment, offset_bytes, at FROM journals WHERE journal_id = %s"
)
_INSERT_PROGRESS: Final = (
    "INSERT INTO journals (sequence, hash, segment, offset_bytes, at, shipped_at, journal_id) "
    "VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT (journal_id) DO NOTHING"
)
_UPDATE_PROGRESS: Final = (
    "UPDATE journals SET sequence = %s, hash = %s, segment = %s, offset_bytes = %s, at = %s, "
    "shipped_at = %s WHERE journal_id = %s"
)
_COPY_LINES: Final = (
    "COPY journal_lines (journal_id, sequence, at, hash, line) FROM STDIN (FORMAT BINARY)"
)
_LINE_TYPES: Final = ("text", "int8", "int8", "text", "bytea")
_COPY_DECISIONS: Final = SQL("COPY decisions ({}, journal_id) FROM STDIN (FORMAT BINARY)").format(
    SQL(", ").join(SQL(name) for name, _ in DECISION_COLUMNS)
)
_DECISION_TYPES: Final = (
    *("int8" if kind is int else "text" for _, kind in DECISION_COLUMNS),
    "text",
)
_DECISIONS_OF: Final = (  # by their time first, for which there is an index
    "FROM decisions WHERE evaluated_at BETWEEN %s AND %s AND journal_id = %s "
    "AND sequence BETWEEN %s AND %s"
)
_FETCHED_LINES: Final = 500


class PostgresqlStore:
    """Implements `ports.Store` on one connection."""

    def __init__(self, url: URL, *, lock_seconds: float, statement_seconds: float) -> None:
        """Connect.

        Raises:
            StoreFailureError: The database does not answer.
        """
        engine = postgresql_engine(url, lock_seconds, statement_seconds, autocommit=True)
        with driver_failures():
            self._lent = engine.raw_connection()
            connection: Any = self._lent.driver_connection
            self._connection: psycopg.Connection[Any] = connection
            self._connection.execute(_DURABLE)
        self._partitions = Partitions(self._connection)

    def progress(self, journal_id: str) -> Progress | None:
        with driver_failures():
            return self._progress(_PROGRESS, journal_id)

    def last_line(self, journal_id: str, after: int) -> int:
        with driver_failures():
            row = self._connection.execute(
                "SELECT max(sequence) FROM journal_lines WHERE journal_id = %s AND sequence > %s",
                (journal_id, after),
            ).fetchone()
        return int(row[0]) if row and row[0] is not None else after

    def known_lines(self, journal_id: str, shipment: Shipment) -> KnownLines:
        with driver_failures():
            hashes = self._connection.execute(
                "SELECT sequence, hash FROM journal_lines "
                "WHERE journal_id = %s AND sequence BETWEEN %s AND %s",
                (journal_id, shipment.first, shipment.end.sequence),
            ).fetchall()
            with_decisions = self._connection.execute(
                f"SELECT DISTINCT sequence {_DECISIONS_OF}".encode(), _bounds(journal_id, shipment)
            ).fetchall()
        return KnownLines(dict(hashes), frozenset(number for (number,) in with_decisions))

    def ship(
        self, journal_id: str, before: Progress | None, shipment: Shipment, shipped_at: int
    ) -> None:
        with driver_failures():
            self._partitions.ensure(_instants(shipment))
            with self._transaction():
                if self._progress(_PROGRESS + " FOR UPDATE", journal_id) != before:
                    raise ProgressMovedError
                noted = (*shipment.end, shipped_at, journal_id)
                statement = _UPDATE_PROGRESS if before else _INSERT_PROGRESS
                if self._connection.execute(statement, noted).rowcount != 1:
                    raise ProgressMovedError
                self._copy(journal_id, shipment)

    def stored_lines(self, journal_id: str, first: int, last: int) -> Iterator[StoredLine]:
        while first <= last:
            with driver_failures():
                rows = self._connection.execute(
                    "SELECT sequence, hash, line FROM journal_lines WHERE journal_id = %s "
                    "AND sequence BETWEEN %s AND %s ORDER BY sequence LIMIT %s",
                    (journal_id, first, last, _FETCHED_LINES),
                    binary=True,
                ).fetchall()
            for sequence, stated, content in rows:
                yield StoredLine(sequence, stated, bytes(content))
            if not rows:
                return
            first = rows[-1][0] + 1

    def stored_decisions(self, journal_id: str, shipment: Shipment) -> int:
        with driver_failures():
            row = self._connection.execute(
                f"SELECT count(*) {_DECISIONS_OF}".encode(), _bounds(journal_id, shipment)
            ).fetchone()
        return int(row[0]) if row else 0

    def close(self) -> None:
        with suppress(*DRIVER_ERRORS):
            self._lent.invalidate()
            self._lent.close()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """Commit at the end, and only go on if the server says that it did.

        Not the driver's own: that one passes over a connection that is gone by then.
        """
        self._connection.execute("BEGIN")
        try:
            yield
        except ProgressMovedError:
            self._connection.execute("ROLLBACK")
            raise
        if self._connection.execute("COMMIT").statusmessage != "COMMIT":
            raise StoreFailureError(FailureKind.BUG, "it did not commit")

    def _progress(self, statement: str, journal_id: str) -> Progress | None:
        """Return how far a journal is here."""
        row = self._connection.execute(statement.encode(), (journal_id,)).fetchone()
        return Progress(*row) if row else None

    def _copy(self, journal_id: str, shipment: Shipment) -> None:
        """Bring the rows of *shipment* over."""
        with self._connection.cursor() as cursor:
            with cursor.copy(_COPY_LINES) as lines:
                lines.set_types(_LINE_TYPES)
                for sequence, at, stated, content in shipment.lines:
                    lines.write_row((journal_id, sequence, at, stated.decode(), content))
            with cursor.copy(_COPY_DECISIONS) as rows:
                rows.set_types(_DECISION_TYPES)
                for row in shipment.decisions:
                    rows.write_row((*row, journal_id))


def _instants(shipment: Shipment) -> set[int]:
    """Return the instants for which there have to be partitions."""
    return {line.at for line in shipment.lines}.union(shipment.evaluated)


def _bounds(journal_id: str, shipment: Shipment) -> tuple[int | str, ...]:
    """Return what bounds the decisions of *shipment*."""
    evaluated = shipment.evaluated or {0}
    place = (journal_id, shipment.first, shipment.end.sequence)
    return (min(evaluated), max(evaluated), *place)

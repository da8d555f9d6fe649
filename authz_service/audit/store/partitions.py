"""Partitions of the large tables on PostgreSQL: one a month, made when it is first needed.

A partition is made as a table of its own and then attached: unlike ``CREATE TABLE … PARTITION OF``
that does not wait for who reads the parent, nor make readers wait.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import psycopg
from psycopg.sql import SQL, Composed, Identifier

from authz_service.audit.store.failures import FailureKind, StoreFailureError
from authz_service.audit.store.schema import decisions, journal_lines

_LOCK_NUMBER: Final = 0x61757468_7A70746E
_SECOND: Final = 1_000_000
_LAST_YEAR: Final = 9999


class Month(NamedTuple):
    """A month of the calendar, in UTC."""

    year: int
    month: int

    @property
    def start(self) -> int:
        """When it begins, in microseconds since 1970."""
        return round(datetime(self.year, self.month, 1, tzinfo=UTC).timestamp()) * _SECOND

    @property
    def end(self) -> int | None:
        """When the next one begins; None where no calendar goes on."""
        if self.month < 12:  # noqa: PLR2004  # months of a year
            return Month(self.year, self.month + 1).start
        return Month(self.year + 1, 1).start if self.year < _LAST_YEAR else None


def month_of(at: int) -> Month:
    """Return the month in which an instant lies, given in microseconds since 1970."""
    moment = datetime.fromtimestamp(at // _SECOND, tz=UTC)
    return Month(moment.year, moment.month)


class Partitions:
    """Knows the months that have partitions. For one connection."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        """Know none yet."""
        self._connection = connection
        self._known: set[Month] = set()

    def ensure(self, instants: Iterable[int]) -> None:
        """Make the partitions for *instants* that are missing; safe against others who do so.

        A transaction of its own: to be called outside of any.

        Raises:
            StoreFailureError: Something else has the name of a partition.
        """
        missing = {month_of(at) for at in instants} - self._known
        for month in sorted(missing):
            with self._connection.transaction():
                self._make(month)
            self._known.add(month)

    def _make(self, month: Month) -> None:
        """Make the partitions of *month* that are missing."""
        self._connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK_NUMBER,))
        for table in (journal_lines.name, decisions.name):
            self._make_one(table, month)

    def _make_one(self, table: str, month: Month) -> None:
        """Make the partition of *table* for *month*, in the schema of *table*, if it is missing."""
        name = f"{table}_{month.year:04}_{month.month:02}"
        schema, is_there, is_ours = self._found(table, name)
        if is_ours:
            return
        parent, partition = Identifier(schema, table), Identifier(schema, name)
        if not is_there:
            self._run(SQL("CREATE TABLE {} (LIKE {} INCLUDING ALL)").format(partition, parent))
        try:
            self._run(
                SQL("ALTER TABLE {} ATTACH PARTITION {} FOR VALUES FROM ({}) TO ({})").format(
                    parent,
                    partition,
                    SQL(str(month.start)),
                    SQL("MAXVALUE" if month.end is None else str(month.end)),
                )
            )
        except (psycopg.ProgrammingError, psycopg.IntegrityError) as error:
            raise StoreFailureError(
                FailureKind.SCHEMA,
                f"its {schema}.{name} is no partition of {schema}.{table}: something else has the "
                "name",
            ) from error

    def _found(self, table: str, name: str) -> tuple[str, bool, bool]:
        """Return the schema of *table*, whether it has a *name*, and whether that is a partition.

        *table* is looked for where COPY does, *name* beside it alone: something else may come
        first on the search path.
        """
        row = self._connection.execute(
            "SELECT n.nspname, c.oid IS NOT NULL, i.inhrelid IS NOT NULL FROM pg_class p "
            "JOIN pg_namespace n ON n.oid = p.relnamespace "
            "LEFT JOIN pg_class c ON c.relnamespace = p.relnamespace AND c.relname = %s "
            "LEFT JOIN pg_inherits i ON i.inhrelid = c.oid AND i.inhparent = p.oid "
            "WHERE p.oid = to_regclass(%s)",
            (name, table),
        ).fetchone()
        if row is None:
            raise StoreFailureError(FailureKind.SCHEMA, "it has not been set up")
        schema, is_there, is_ours = row
        return str(schema), bool(is_there), bool(is_ours)

    def _run(self, statement: Composed) -> None:
        """Run a statement that is made of names and numbers of ours."""
        self._connection.execute(statement)

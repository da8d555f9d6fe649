"""Statements on one connection, in words that both databases understand.

They are written once, in PostgreSQL's words with ``:name`` for parameters and ``= ANY(:names)``
for sets; SQLite reads a set from one JSON array, so that a statement's text never depends on how
many ids it is asked for. A text is read as JSON by ``::json``, and compared byte by byte by
``COLLATE "C"``, which SQLite does without.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson
from sqlalchemy.engine.interfaces import DBAPIConnection

_SET: Final = re.compile(r"= ANY\(:(\w+)\)")
_AS_JSON: Final = "::json"
_BY_BYTES: Final = ' COLLATE "C"'
_NAME: Final = re.compile(r"(?<!:):([a-z]\w*)")

Parameters = Mapping[str, Any]
Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Query:
    """A statement whose rows are gathered along with those of others.

    Attributes:
        text: The statement; its columns hold text and whole numbers.
        columns: How many columns it has.
    """

    text: str
    columns: int


class Session:
    """One connection, on which one thread runs statements.

    Attributes:
        is_sqlite: Whether it is one to a SQLite file.
        discarded: Whether the transaction is to end without a trace.
        require_way: Called before each statement, where there is something to give way to.
    """

    def __init__(self, connection: DBAPIConnection, statements: Statements) -> None:
        """Run statements on *connection*, translated by *statements*."""
        self._connection: Any = connection
        self._cursor = connection.cursor()
        self._statements = statements
        self.is_sqlite = statements.is_sqlite
        self.discarded = False
        self.require_way: Callable[[], None] | None = None

    def discard(self) -> None:
        """Have the transaction end without a trace."""
        self.discarded = True

    def rows(self, statement: str, parameters: Parameters | None = None) -> list[Row]:
        """Return all rows of *statement*; a parameter that is a set stands for ``ANY``."""
        self._cursor.execute(*self._translated(statement, parameters))
        return list(self._cursor.fetchall())

    def one(self, statement: str, parameters: Parameters | None = None) -> Row | None:
        """Return the first row of *statement*, or None."""
        self._cursor.execute(*self._translated(statement, parameters))
        return self._cursor.fetchone()

    def gather(self, queries: tuple[Query, ...], parameters: Parameters) -> list[list[Row]]:
        """Return all rows of each of *queries*, in as few exchanges as the database allows.

        SQLite gives up and takes back the interpreter's lock for every row that it returns; under
        load each may wait its turn. So the rows of all queries come as one row of JSON there.
        """
        if not queries:
            return []
        bound = self._statements.bound(parameters)
        if self.is_sqlite:
            self._cursor.execute(self._statements.gathered(queries), bound)
            return [orjson.loads(text) for text in self._cursor.fetchone() or ()]
        if len(queries) == 1:
            return [self.rows(queries[0].text, parameters)]
        with self._connection.pipeline():
            cursors = [
                self._connection.execute(self._statements.translated(query.text), bound)
                for query in queries
            ]
            return [cursor.fetchall() for cursor in cursors]

    def run(self, statement: str, parameters: Parameters | None = None) -> int:
        """Run *statement*, which returns no rows.

        Returns:
            How many rows it changed.
        """
        self._cursor.execute(*self._translated(statement, parameters))
        return int(self._cursor.rowcount)

    def run_many(self, statement: str, rows: Sequence[Row]) -> int:
        """Run *statement*, whose parameters are written ``?``, once for each of *rows*.

        Returns:
            How many rows it changed.
        """
        if not rows:
            return 0
        self._cursor.executemany(self._statements.translated(statement), rows)
        return int(self._cursor.rowcount)

    def copy(self, table: str, columns: Sequence[str], text: bytes) -> None:
        """Write the rows of *text*, in the text format of COPY, into *table* (PostgreSQL)."""
        with self._cursor.copy(f"COPY {table} ({', '.join(columns)}) FROM STDIN") as copy:
            copy.write(text)

    def close(self) -> None:
        """Give back the cursor."""
        self._cursor.close()

    def _translated(self, statement: str, parameters: Parameters | None) -> tuple[str, Parameters]:
        """Return *statement* and its *parameters* in the words of the driver."""
        if self.require_way is not None:
            self.require_way()
        text = self._statements.translated(statement)
        return text, self._statements.bound(parameters) if parameters else {}


class Statements:
    """Statements in the words of one database, translated once each."""

    def __init__(self, *, is_sqlite: bool) -> None:
        """Translate for SQLite or for PostgreSQL."""
        self.is_sqlite = is_sqlite
        self._known: dict[str, str] = {}
        self._gathered: dict[tuple[Query, ...], str] = {}

    def translated(self, statement: str) -> str:
        """Return *statement* in the words of the driver."""
        known = self._known.get(statement)
        if known is None:
            known = self._known[statement] = self._translate(statement)
        return known

    def gathered(self, queries: tuple[Query, ...]) -> str:
        """Return one statement that returns the rows of each of *queries* as a JSON text."""
        known = self._gathered.get(queries)
        if known is None:
            texts = ", ".join(_as_json(query) for query in queries)
            known = self._gathered[queries] = self._translate(f"SELECT {texts}")
        return known

    def bound(self, parameters: Parameters) -> Parameters:
        """Return *parameters* as the driver takes them."""
        return {name: self._bound(value) for name, value in parameters.items()}

    def _bound(self, value: Any) -> Any:
        """Return one parameter as the driver takes it."""
        if not isinstance(value, (set, frozenset, list, tuple)):
            return value
        return orjson.dumps(list(value)).decode() if self.is_sqlite else list(value)

    def _translate(self, statement: str) -> str:
        """Return *statement* with parameters and sets as the driver writes them."""
        if self.is_sqlite:
            words = statement.replace(_AS_JSON, "").replace(_BY_BYTES, "")
            return _SET.sub(r"IN (SELECT value FROM json_each(:\1))", words)
        return _NAME.sub(r"%(\1)s", statement).replace("?", "%s")


def _as_json(query: Query) -> str:
    """Return *query* as a SQLite expression: an array of its rows, each an array."""
    names = ", ".join(f"c{number}" for number in range(query.columns))
    return (
        f"(WITH t({names}) AS ({query.text})"  # noqa: S608  # a statement of ours
        f" SELECT json_group_array(json_array({names})) FROM t)"
    )

"""Walks whole tables by id, a page at a time, so that their size costs time and not memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from authz_service.facts.rows import made_fact
from authz_service.facts.schema import PLURALS
from authz_service.facts.sessions import Row, Session
from authz_service.pdp.entities import Entity
from authz_service.pdp.entity_words import FactKind
from authz_service.pdp.facts import Fact

PAGE: Final = 1000


def pages(
    session: Session, columns: str, tables: str, condition: str, id_column: str = "id"
) -> Iterator[list[Row]]:
    """Yield the rows of *tables* for which *condition* holds, by id, in pages.

    The first of *columns* is the id, by which the next page is found.
    """
    statement = (
        f"SELECT {columns} FROM {tables} WHERE {condition} AND {id_column} > :after"  # noqa: S608  # words of ours
        f" ORDER BY {id_column} LIMIT {PAGE}"
    )
    after = ""
    while rows := session.rows(statement, {"after": after}):
        yield rows
        after = rows[-1][0]


def all_facts(session: Session, kind: FactKind) -> Iterator[Fact[Entity]]:
    """Yield every stored fact of *kind*, by id."""
    columns = "id, value, source, observed_at, revision"
    for page in pages(session, columns, PLURALS[kind], "value IS NOT NULL"):
        for _id, *values in page:
            yield made_fact(kind, *values)


def rows_in(session: Session, kind: FactKind) -> int:
    """Return about how many rows there are of *kind*, at once: for progress."""
    table = PLURALS[kind]
    statement = (
        f"SELECT count(*) FROM {table}"  # noqa: S608  # a name of ours
        if session.is_sqlite
        else f"SELECT reltuples::bigint FROM pg_class WHERE oid = '{table}'::regclass"  # noqa: S608  # as above
    )
    (rows,) = session.one(statement) or (0,)
    return max(int(rows), 0)

"""Facts as rows: what is stored of an entity, and the entity that a row holds."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from authz_service.facts.decoding import entity_of, from_microseconds, to_microseconds
from authz_service.facts.schema import FACT_TABLES, LOOKUPS
from authz_service.facts.sessions import Row, Session
from authz_service.pdp.entities import Attendance, Entity, Subject
from authz_service.pdp.entity_plain import entity_to_plain
from authz_service.pdp.entity_words import FactKind
from authz_service.pdp.facts import Fact, FactReference

COLUMNS: Final[dict[FactKind, tuple[str, ...]]] = {
    kind: tuple(column.name for column in table.columns) for kind, table in FACT_TABLES.items()
}
"""The columns of each kind's table, in their order."""

SAME_PERSON: Final = "same_person"
FAMILY: Final = "family"


@dataclass(frozen=True, slots=True)
class Stored:
    """A row: a fact, or the trace of one that was deleted.

    Attributes:
        value: The entity's canonical JSON; None where it was deleted.
        source: Who said so last.
        observed_at: When they saw it, or when it was deleted; microseconds since 1970.
        revision: The registry's revision that wrote the row.
    """

    value: str | None
    source: str
    observed_at: int
    revision: int


def canonical(entity: Entity) -> str:
    """Return *entity* as the one JSON text that stands for it."""
    return orjson.dumps(entity_to_plain(entity), option=orjson.OPT_SORT_KEYS).decode()


def fact_of(kind: FactKind, stored: Stored) -> Fact[Entity]:
    """Return the fact that a row holds; the row is not a deleted one's."""
    return made_fact(kind, stored.value or "", stored.source, stored.observed_at, stored.revision)


def entity_in(kind: FactKind, stored: Stored | None) -> Entity | None:
    """Return the entity that is *stored*; None for none, and for a deleted one."""
    if stored is None or stored.value is None:
        return None
    entity: Entity = entity_of(kind, stored.value)
    return entity


def made_fact(
    kind: FactKind, value: str, source: str, observed_at: int, revision: int
) -> Fact[Any]:
    """Return the fact that columns hold."""
    return Fact(entity_of(kind, value), source, from_microseconds(observed_at), revision)


def stored_rows(
    session: Session, references: Collection[FactReference]
) -> dict[FactReference, Stored]:
    """Return the rows of *references*, deleted ones included; one statement for each kind."""
    return {
        FactReference(kind, fact_id): stored
        for kind, ids in by_kind(references).items()
        for fact_id, stored in stored_of_kind(session, kind, ids).items()
    }


def stored_of_kind(session: Session, kind: FactKind, ids: Collection[str]) -> dict[str, Stored]:
    """Return the rows of the facts of *kind* that have one of *ids*, deleted ones included."""
    statement = (
        f"SELECT id, value, source, observed_at, revision FROM {FACT_TABLES[kind].name}"  # noqa: S608  # a name of ours
        " WHERE id = ANY(:ids)"
    )
    return {
        fact_id: Stored(*columns) for fact_id, *columns in session.rows(statement, {"ids": ids})
    }


def by_kind(references: Collection[FactReference]) -> dict[FactKind, list[str]]:
    """Return the ids of *references* by kind."""
    ids: dict[FactKind, list[str]] = {}
    for reference in references:
        ids.setdefault(reference.kind, []).append(reference.id)
    return ids


def row_of(kind: FactKind, entity: Entity, stored: Stored) -> Row:
    """Return the row that stores *entity*, columns in the table's order."""
    lookups = [_lookup(getattr(entity, name)) for name in LOOKUPS[kind]]
    return (
        entity.id, *lookups, stored.value, stored.source, stored.observed_at, stored.revision,
    )  # fmt: skip


def trace_of(reference: FactReference, stored: Stored) -> Row:
    """Return the row that remains of a deleted fact: no value, and nothing to find it by."""
    empty = [None] * len(LOOKUPS[reference.kind])
    return (
        reference.id, *empty, None, stored.source, stored.observed_at, stored.revision,
    )  # fmt: skip


def write_rows(session: Session, kind: FactKind, rows: list[Row]) -> None:
    """Write whole rows of *kind*, each in place of the one of its id."""
    session.run_many(_UPSERTS[kind], rows)


def participants_of(entity: Entity) -> set[Row]:
    """Return the rows by which those are found who took part in a call."""
    if not isinstance(entity, Attendance):
        return set()
    return {(entity.id, who.subject_id, who.kind.value) for who in entity.participants}


def links_of(entity: Entity | None) -> set[Row]:
    """Return the declarations of sameness and kinship that a subject makes."""
    if not isinstance(entity, Subject):
        return set()
    return {(entity.id, SAME_PERSON, other) for other in entity.same_person_as} | {
        (entity.id, FAMILY, other) for other in entity.family
    }


def _lookup(value: Any) -> Any:
    """Return a field as its column holds it."""
    return value if value is None or isinstance(value, str) else to_microseconds(value)


def _upsert(kind: FactKind) -> str:
    """Return the statement that writes one row of *kind*."""
    columns = COLUMNS[kind]
    names = ", ".join(columns)
    values = ", ".join("?" * len(columns))
    updates = ", ".join(f"{name} = excluded.{name}" for name in columns if name != "id")
    return (
        f"INSERT INTO {FACT_TABLES[kind].name} ({names}) VALUES ({values})"  # noqa: S608  # names of ours
        f" ON CONFLICT (id) DO UPDATE SET {updates}"
    )


_UPSERTS: Final[Mapping[FactKind, str]] = {kind: _upsert(kind) for kind in FactKind}

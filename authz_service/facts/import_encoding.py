"""Makes of lines what PostgreSQL's COPY takes, before it is known what is stored already.

What only the write itself knows stands as a character that no stored text holds: JSON escapes it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from authz_service.facts.decoding import to_microseconds
from authz_service.facts.import_lines import Chunk, fact_on
from authz_service.facts.key_text import keys_text
from authz_service.facts.reach import holds_of
from authz_service.facts.rows import Stored, links_of, participants_of, row_of
from authz_service.facts.sessions import Row
from authz_service.facts.touched import named_keys
from authz_service.facts.write_rules import check_entity, value_of
from authz_service.pdp.entities import Containment, Delegation, Entity, Grant
from authz_service.pdp.entity_words import FactKind
from authz_service.pdp.errors import InvalidRequestError
from authz_service.pdp.facts import Fact

REVISION: Final = "\0"
"""Stands for the revision that a row is written at."""
RECORDED_AT: Final = "\1"
"""Stands for when the write is recorded."""

_NOTHING: Final = "\\N"


@dataclass(slots=True)
class Batch:
    """Facts of one kind; the lists go together.

    Attributes:
        ids: Their ids.
        places: Which line of the chunk each is on, from 0.
        rows: Each one's row.
        changes: Its row in `fact_changes`, as of a fact that has no row yet, by itself.
        beside: The rows beside it: of an attendance who took part, of a subject whom it declares,
            of a recording whom holds let view it.
    """

    ids: list[str] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    rows: list[bytes] = field(default_factory=list)
    changes: list[bytes] = field(default_factory=list)
    beside: list[bytes] = field(default_factory=list)


@dataclass(slots=True)
class Grain:
    """The facts of a chunk, of which none stands twice and nothing is malformed.

    Attributes:
        batches: The facts by kind.
        apart: On which lines of the chunk facts are that are judged by others, stored or not.
        latest: When the last of them was observed; microseconds since 1970.
        last: On which line of the chunk the last of them is, from 0; -1 for none.
    """

    batches: dict[FactKind, Batch] = field(default_factory=dict)
    apart: set[int] = field(default_factory=set)
    latest: int = 0
    last: int = -1


def grain_of(chunk: Chunk) -> Grain | None:
    """Return the facts of *chunk*; None where one stands twice or something is wrong with one."""
    grain = Grain()
    try:
        for place, line in enumerate(chunk.lines):
            if not line.isspace():
                _add(grain, place, fact_on(line, ""))
    except InvalidRequestError:
        return None
    batches = grain.batches.values()
    return grain if all(len(set(batch.ids)) == len(batch.ids) for batch in batches) else None


def with_keys(change: bytes, keys: str) -> bytes:
    """Return the row of a change that touches *keys*."""
    revision, kind, fact_id, _keys, rest = change.split(b"\t", 4)
    return b"\t".join((revision, kind, fact_id, keys.encode(), rest))


def id_of(change: bytes) -> str:
    """Return the id of the fact that a row of `fact_changes` is about."""
    return change.split(b"\t", 3)[2].decode()


def _add(grain: Grain, place: int, fact: Fact[Entity]) -> None:
    """Add *fact*, which is on the line of *place*.

    Raises:
        InvalidRequestError: It is malformed.
    """
    entity, kind = fact.entity, fact.kind
    check_entity(entity, "")
    observed_at = to_microseconds(fact.observed_at)
    stored = Stored(value_of(entity, ""), fact.source, observed_at, 0)
    batch = grain.batches.get(kind)
    if batch is None:
        batch = grain.batches[kind] = Batch()
    batch.ids.append(entity.id)
    batch.places.append(place)
    batch.rows.append(_line((*row_of(kind, entity, stored)[:-1], REVISION)))
    keys = keys_text(named_keys(kind, entity))
    batch.changes.append(
        f"{REVISION}\t{kind.value}\t{entity.id}\t{keys}\t{_NOTHING}\t{fact.source}\t{observed_at}"
        f"\t{RECORDED_AT}\tt\n".encode()
    )
    batch.beside.append(_beside(kind, entity))
    if _takes_judgement(entity):
        grain.apart.add(place)
    grain.latest = max(grain.latest, observed_at)
    grain.last = place


def _takes_judgement(entity: Entity) -> bool:
    """Whether more counts of a new fact than what it says: who lifts or reviews."""
    return (
        isinstance(entity, Containment)
        or (isinstance(entity, Grant) and entity.review is not None)
        or (isinstance(entity, Delegation) and entity.competence_review is not None)
    )


def _beside(kind: FactKind, entity: Entity) -> bytes:
    """Return the rows beside the fact of *entity*."""
    if kind is FactKind.ATTENDANCE:
        return _lines(participants_of(entity))
    if kind is FactKind.SUBJECT:
        return _lines(links_of(entity))
    return _lines(holds_of(entity)) if kind is FactKind.RECORDING else b""


def _lines(rows: Iterable[Row]) -> bytes:
    """Return *rows* in the text format of COPY."""
    return b"".join([_line(row) for row in sorted(rows)])


def _line(row: Row) -> bytes:
    """Return *row* in the text format of COPY; its texts hold no control character but ours."""
    return ("\t".join([_text(value) for value in row]) + "\n").encode()


def _text(value: object) -> str:
    """Return a text or a whole number in the text format of COPY."""
    if value is None:
        return _NOTHING
    text = str(value)
    return text.replace("\\", "\\\\") if "\\" in text else text

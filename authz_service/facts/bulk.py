"""Fills an empty registry in one write, for benchmarks and first loads of millions of facts.

Nothing is compared, because nothing is stored; and the one write is recorded as having touched
everything, instead of fact by fact. Rows and lookups are those that any other write makes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final

from authz_service.facts.changes import Change, make_changes
from authz_service.facts.database import Access, Database
from authz_service.facts.decoding import to_microseconds
from authz_service.facts.key_text import EVERYTHING
from authz_service.facts.reach import fill_reach, note_holds
from authz_service.facts.revisions import Write, begin_write, record_everything, record_write
from authz_service.facts.rows import Stored
from authz_service.facts.sessions import Session
from authz_service.facts.write_rules import check_entity, value_of
from authz_service.operations.ports import Clock
from authz_service.pdp.entities import Entity
from authz_service.pdp.errors import StateError
from authz_service.pdp.facts import Fact, FactReference

_LOCK_SECONDS: Final = 10.0
_CHUNK: Final = 5000


def fill_registry(url: str, facts: Iterable[Fact[Entity]], *, actor: str, clock: Clock) -> int:
    """Write all of *facts* to the registry of *url*, in which nothing was ever written.

    Returns:
        How many facts were written.

    Raises:
        StateError: Something was written there before.
        InvalidRequestError: A fact is malformed; nothing is written then.
        FactsUnavailableError: The registry is silent, locked, read-only or gone.
    """
    database = Database(url, lock_seconds=_LOCK_SECONDS, statement_seconds=600.0, pool=1)
    try:
        with database.transaction(Access.WRITE) as session:
            write = begin_write(session, actor, to_microseconds(clock.now()))
            if write.revision != 1:
                raise StateError("registry", "only a registry without any write can be filled")
            written = _fill(session, write, iter(facts))
            record_everything(session, write, EVERYTHING)
            record_write(session, write, written)
            return written
    finally:
        database.close()


def _fill(session: Session, write: Write, facts: Iterator[Fact[Entity]]) -> int:
    """Write *facts* chunk by chunk; return how many there were."""
    written = 0
    while chunk := list(islice(facts, _CHUNK)):
        changes = [_change(fact, write, written) for fact in chunk]
        make_changes(session, changes)
        note_holds(session, changes)
        written += len(chunk)
    fill_reach(session)
    return written


def _change(fact: Fact[Entity], write: Write, written: int) -> Change:
    """Return *fact* as the change that writes it for the first time.

    Raises:
        InvalidRequestError: It is malformed.
    """
    name = f"facts[{written}...]."
    check_entity(fact.entity, name)
    value = value_of(fact.entity, f"{name}{fact.kind}")
    row = Stored(value, fact.source, to_microseconds(fact.observed_at), write.revision)
    return Change(FactReference(fact.kind, fact.entity.id), None, fact.entity, row)

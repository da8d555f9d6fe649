"""Writes the whole registry as JSON Lines that can be imported again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import orjson

from authz_service.facts.database import Access, Database
from authz_service.facts.pages import all_facts
from authz_service.facts.revisions import state
from authz_service.pdp.entity_plain import fact_to_plain
from authz_service.pdp.entity_words import FactKind

_LOCK_SECONDS: Final = 2.0


def export_lines(url: str) -> Iterator[bytes]:
    """Yield every stored fact as one line of JSON, by kind and then by id; in constant memory.

    All lines are of one revision. Enum values carry the prefix of their type, as on the wire.
    Traces of deleted facts and disputes are no facts, and are not among them.

    Raises:
        FactsUnavailableError: The registry is silent, locked or gone, or of another schema.
    """
    database = Database(url, lock_seconds=_LOCK_SECONDS, pool=1)
    try:
        with database.transaction(Access.READ) as session:
            state(session)
            for kind in FactKind:
                for fact in all_facts(session, kind):
                    plain = fact_to_plain(fact, long_names=True)
                    yield orjson.dumps(plain, option=orjson.OPT_APPEND_NEWLINE)
    finally:
        database.close()

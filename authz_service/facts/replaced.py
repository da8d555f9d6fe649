"""What a write leaves behind of the rows that it replaces: their values, and whom they named."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from authz_service.facts.changes import Change
from authz_service.facts.mentions import mentions_of
from authz_service.facts.rows import Stored
from authz_service.facts.schema import PLURALS
from authz_service.facts.sessions import Row, Session
from authz_service.pdp.entity_words import FactKind

_KEEP: Final = {
    kind: (
        "UPDATE fact_changes SET value = f.value, in_place = false"  # noqa: S608  # names of ours
        f" FROM {table} f WHERE f.id = ANY(:ids) AND fact_changes.revision = f.revision"
        f" AND fact_changes.kind = '{kind.value}' AND fact_changes.id = f.id"
    )
    for kind, table in PLURALS.items()
}
"""One statement for all rows of a kind: the value that each has is in the database already."""
_KEEP_ANEW: Final = (
    "INSERT INTO fact_changes"
    " (revision, kind, id, keys, value, source, observed_at, recorded_at, in_place)"
    " VALUES (?, ?, ?, '[]', ?, ?, ?,"
    " coalesce((SELECT w.recorded_at FROM facts_writes w WHERE w.revision = ?), 0), false)"
    " ON CONFLICT (revision, kind, id) DO NOTHING"
)
"""A fill records no change for each fact, and retention removes those that a row still says."""
_MENTION: Final = (
    "INSERT INTO past_mentions (named_id, until_revision, kind, id) VALUES (?, ?, ?, ?)"
)


def keep_replaced(session: Session, changes: Collection[Change], revision: int) -> None:
    """Keep what *changes*, made by *revision*, replace. Called before any of them is made."""
    replaced = [
        (change, change.before)
        for change in changes
        if change.before is not None and change.before.value is not None
    ]
    by_kind: dict[FactKind, list[str]] = {}
    for change, _before in replaced:
        by_kind.setdefault(change.kind, []).append(change.id)
    kept = sum(session.run(_KEEP[kind], {"ids": ids}) for kind, ids in by_kind.items())
    if kept < len(replaced):
        session.run_many(_KEEP_ANEW, [_anew(change, before) for change, before in replaced])
    session.run_many(
        _MENTION,
        [
            (named_id, revision, change.kind.value, change.id)
            for change in changes
            if change.old is not None
            for named_id in sorted(_no_longer_named(change))
        ],
    )


def _anew(change: Change, before: Stored) -> Row:
    """Return the change that made the row *before*, as it would stand there."""
    said = (before.value, before.source, before.observed_at)
    return (before.revision, change.kind.value, change.id, *said, before.revision)


def _no_longer_named(change: Change) -> set[str]:
    """Return the ids that the fact of *change* named before, and names no more in the same place.

    By place, because rows are looked up by it: who was the patient of a grant and is its holder
    now is not found as its patient.
    """
    return {named_id for _place, named_id in mentions_of(change.old) - mentions_of(change.new)}

"""Removes the history that lies before a horizon, in batches so small that no write waits long.

What still was the state at the horizon stays, and so do the changes of containments: who set one is
found by them. Where a fact's own row says already what stood at the horizon, no change has to.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Final, NamedTuple

from authz_service.facts.as_of import KEPT_FROM, revision_at
from authz_service.facts.compatibility import VERSIONS, check_version
from authz_service.facts.database import Access, Database
from authz_service.facts.decoding import from_microseconds
from authz_service.facts.revisions import ATTRIBUTION_KIND, FILL_KIND, UNDISPUTED
from authz_service.facts.schema import FACT_TABLES
from authz_service.facts.sessions import Row, Session
from authz_service.pdp.entity_words import FactKind
from authz_service.pdp.errors import HistoryGoneError
from authz_service.pdp.model import Instant

BATCH: Final = 500
"""Most rows that are removed in one transaction."""
_MOVE: Final = (
    "UPDATE facts_revision SET history_from ="  # noqa: S608  # a name of ours
    " CASE WHEN history_from < :horizon THEN :horizon ELSE history_from END"
    f" RETURNING {VERSIONS}"
)
_OLD: Final = (
    "SELECT revision, kind, id, value, in_place FROM fact_changes"  # noqa: S608  # a number of ours
    " WHERE revision <= :horizon AND (revision, kind, id) > (:revision, :kind, :id)"
    f" ORDER BY revision, kind, id LIMIT {BATCH}"
)
"""The oldest first: what is replaced goes before what replaced it, and never shows again."""
_LATEST: Final = (
    "SELECT id, max(revision) FROM fact_changes WHERE kind = :kind AND id = ANY(:ids)"
    " AND NOT in_place AND revision <= :horizon GROUP BY id"
)
_REMOVE: Final = "DELETE FROM fact_changes WHERE revision = ? AND kind = ? AND id = ?"
_FORGET: Final = {
    "past_mentions": (
        "DELETE FROM past_mentions WHERE (named_id, until_revision, kind, id) IN"  # noqa: S608  # a number of ours
        " (SELECT named_id, until_revision, kind, id FROM past_mentions"
        f" WHERE until_revision <= :horizon ORDER BY until_revision LIMIT {BATCH}) RETURNING 1"
    ),
    "facts_writes": (
        "DELETE FROM facts_writes WHERE revision IN (SELECT w.revision FROM facts_writes w"  # noqa: S608  # a number of ours
        " WHERE w.revision < :horizon AND NOT EXISTS (SELECT 1 FROM fact_changes c"
        " WHERE c.revision = w.revision AND c.kind = 'containment')"
        " AND NOT EXISTS (SELECT 1 FROM containments k WHERE k.revision = w.revision)"
        f" ORDER BY w.revision LIMIT {BATCH}) RETURNING 1"
    ),
}
"""What removes some rows of a table that lie before the horizon."""
_DATABASE_TIME: Final = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint"

TABLES: Final = ("fact_changes", *_FORGET)
"""The tables from which history is removed."""


class Removed(NamedTuple):
    """How many rows one batch removed from which table."""

    table: str
    rows: int


class Kept(NamedTuple):
    """From where on there is history.

    Attributes:
        revision: From which revision.
        since: From which instant; None where that is not known.
    """

    revision: int
    since: Instant | None


def kept_from(database: Database) -> Kept:
    """Return from where on there is history.

    Raises:
        FactsUnavailableError: The registry is silent, locked, gone or of another schema.
    """
    with database.transaction(Access.READ) as session:
        revision, since = session.one(KEPT_FROM) or (1, None)
        return Kept(revision, None if since is None else from_microseconds(since))


def horizon_at(database: Database, now: Instant, days: int) -> int:
    """Return the revision from which on history reaches *days* back; 0 where all of it does.

    The earlier of *now* and the time of a PostgreSQL server counts: a clock that jumped ahead does
    not remove what cannot be brought back.

    Raises:
        FactsUnavailableError: The registry is silent, locked, gone or of another schema.
    """
    with database.transaction(Access.READ) as session:
        if not session.is_sqlite:
            row = session.one(_DATABASE_TIME)
            now = min(now, from_microseconds(row[0]) if row else now)
        try:
            return revision_at(session, now - timedelta(days=days))
        except HistoryGoneError:
            return 0


def removing(database: Database, horizon: int) -> Iterator[Removed]:
    """Remove what only states before revision *horizon* need, a batch whenever the next is asked.

    From the first on nobody reads such a state. Each batch waits its turn as a write does, and what
    is to go is judged in it: so it may run beside writes, and beside others that do the same.

    Raises:
        FactsUnavailableError: The registry is silent, locked, gone or of another schema.
    """
    with database.transaction(Access.WRITE) as session:
        _move(session, horizon)
    yield from _removing_changes(database, horizon)
    for table, statement in _FORGET.items():
        rows = BATCH
        while rows == BATCH:
            with database.transaction(Access.WRITE) as session:
                rows = len(session.rows(statement, {"horizon": horizon}))
            yield Removed(table, rows)


def _move(session: Session, horizon: int) -> None:
    """Have history begin at *horizon* or later, and every write wait until this one ends."""
    row = session.one(_MOVE, {"horizon": horizon})
    check_version(row[0] if row else None)


def _removing_changes(database: Database, horizon: int) -> Iterator[Removed]:
    """Remove changes, from the oldest on."""
    after: Row = (-1, "", "")
    while True:
        names = dict(zip(("revision", "kind", "id"), after, strict=True))
        with database.transaction(Access.READ) as session:
            page = session.rows(_OLD, {"horizon": horizon, **names})
            some = bool(_removable(session, page, horizon))
        if not page:
            return
        removed: list[Row] = []
        if some:
            with database.transaction(Access.WRITE) as session:
                _move(session, horizon)
                page_now = session.rows(_OLD, {"horizon": horizon, **names})
                removed = _removable(session, page_now, horizon)
                session.run_many(_REMOVE, removed)
        after = page[-1][:3]
        yield Removed("fact_changes", len(removed))


def _removable(session: Session, page: Sequence[Row], horizon: int) -> list[Row]:
    """Return those changes of *page* without which every state from *horizon* on is the same."""
    of_kind: dict[str, list[Row]] = {}
    for row in page:
        of_kind.setdefault(row[1], []).append(row)
    return [
        row[:3] for kind, rows in of_kind.items() for row in _of_kind(session, kind, rows, horizon)
    ]


def _of_kind(session: Session, kind: str, rows: list[Row], horizon: int) -> list[Row]:
    """Return those of *rows*, changes of one kind, that may go."""
    if kind == FILL_KIND:
        return rows
    if kind == FactKind.CONTAINMENT or kind not in {*FactKind, ATTRIBUTION_KIND}:
        return []
    ids = sorted({row[2] for row in rows})
    parameters = {"kind": kind, "ids": ids, "horizon": horizon}
    latest: dict[str, int] = dict(session.rows(_LATEST, parameters))
    own: dict[str, int] = {}
    if kind != ATTRIBUTION_KIND:
        statement = (
            f"SELECT id, revision FROM {FACT_TABLES[FactKind(kind)].name}"  # noqa: S608  # a name of ours
            " WHERE id = ANY(:ids) AND revision <= :horizon"
        )
        own = dict(session.rows(statement, {"ids": ids, "horizon": horizon}))
    found = []
    for row in rows:
        revision, _kind, fact_id, value, in_place = row
        standing = max(latest.get(fact_id, 0), own.get(fact_id, 0))
        says_nothing = not in_place and value in {None, UNDISPUTED}
        if revision < standing or own.get(fact_id) == revision or says_nothing:
            found.append(row)
    return found

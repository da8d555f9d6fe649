"""History: what facts said before, whom they named, words beside them, and who may still write."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import chain
from typing import Any

import orjson
import sqlalchemy as sa
from alembic import op

from authz_service.facts.migrations.online import briefly, build_index

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_PAGE = 2000
_FILLED = "SELECT 1 FROM fact_changes WHERE kind = 'registry' LIMIT 1"
_BEGIN_HERE = "UPDATE facts_revision SET history_from = revision"
_LATEST = (
    "UPDATE facts_writes SET latest_at = w.latest_at FROM (SELECT revision,"
    " max(recorded_at) OVER (ORDER BY revision) AS latest_at FROM facts_writes"
    " WHERE revision > 0) w WHERE w.revision = facts_writes.revision"
)
_CHANGES = (
    "SELECT kind, id, revision, value FROM fact_changes"  # noqa: S608  # a number of ours
    " WHERE (kind, id, revision) > (:kind, :id, :revision) AND NOT in_place"
    f" ORDER BY kind, id, revision LIMIT {_PAGE}"
)
_MENTION = (
    "INSERT INTO past_mentions (named_id, until_revision, kind, id)"
    " VALUES (:named_id, :until_revision, :kind, :id)"
)
_FIELDS = (
    "patient_id", "subject_id", "delegate_id", "staff_id", "owner_id", "approved_by", "set_by",
    "lifted_by", "recording_id", "consultation_id",
)  # fmt: skip
_BEGAN = "coalesce(rtrim({value} ->> 'valid_from', 'Z'), ''){collate}"
_UNTIL = "coalesce(rtrim({value} ->> 'valid_to', 'Z'), '~'){collate}"
_OF_EMERGENCY = "({value} ->> 'kind') = 'EMERGENCY'"
_NOT_REVIEWED = "({value} ->> 'review') IS NULL"

_ID = sa.Text(collation="C").with_variant(sa.Text(), "sqlite")
_IN_PLACE = (
    "ALTER TABLE fact_changes ADD COLUMN IF NOT EXISTS in_place boolean NOT NULL DEFAULT false"
)
_INDEXES = (
    ("fact_changes_by_fact", "fact_changes", ["kind", "id", "revision"], "NOT in_place"),
    ("consultations_by_patient_id", "consultations", ["patient_id"], ""),
    ("services_by_tenant_id", "subjects", ["tenant_id", "id"], "({value} ->> 'kind') = 'SERVICE'"),
    ("grants_of_emergency", "grants", [_BEGAN, "id"], _OF_EMERGENCY),
    ("grants_of_emergency_by_end", "grants", [_UNTIL, "id"], _OF_EMERGENCY),
    ("grants_unreviewed", "grants", [_BEGAN, "id"], f"{_OF_EMERGENCY} AND {_NOT_REVIEWED}"),
)
"""Name, table, columns, and which rows: indexes by which few among many are found."""


def ahead(connection: sa.Connection) -> None:
    """Build the indexes of a PostgreSQL registry while programs of the earlier version work on.

    They read every change and every subject, which takes minutes where there are millions.
    """
    briefly(connection, partial(connection.exec_driver_sql, _IN_PLACE))
    for name, table, columns, only in _words(is_postgresql=True):
        build_index(connection, name, table, columns, only)


def _words(*, is_postgresql: bool) -> Iterator[tuple[str, str, list[str], str]]:
    """Yield name, table, columns and condition of each index, in the database's words."""
    words = {
        "value": "value::json" if is_postgresql else "value",
        "collate": ' COLLATE "C"' if is_postgresql else "",
    }
    for name, table, columns, only in _INDEXES:
        yield name, table, [column.format(**words) for column in columns], only.format(**words)


def upgrade() -> None:
    """Make what history needs; no write comes in between."""
    is_postgresql = op.get_context().dialect.name == "postgresql"
    if is_postgresql:
        op.execute("LOCK TABLE facts_revision IN EXCLUSIVE MODE")
    _tables()
    if is_postgresql:
        op.execute(_IN_PLACE)
    else:
        _add_column("fact_changes", sa.Column("in_place", sa.Boolean, server_default=sa.false()))
    _add_column("facts_revision", sa.Column("works_from", sa.Text, server_default="0004"))
    _add_column("facts_revision", sa.Column("history_from", sa.BigInteger, server_default="0"))
    _add_column("facts_writes", sa.Column("latest_at", sa.BigInteger, server_default="0"))
    _indexes(is_postgresql=is_postgresql)
    _fill(op.get_bind())


def _fill(connection: sa.Connection) -> None:
    """Say of what is stored what later writes say of themselves."""
    op.execute(_LATEST)
    if connection.execute(sa.text(_FILLED)).first():
        op.execute(_BEGIN_HERE)  # what a fill wrote was kept nowhere once it was replaced
    for rows in _past_mentions(connection):
        connection.execute(sa.text(_MENTION), rows)


def _add_column(table: str, column: sa.Column[object]) -> None:
    """Add a column that is never empty."""
    column.nullable = False
    op.add_column(table, column)


def _tables() -> None:
    """Make the tables of what is no longer said, and of words."""
    op.create_table(
        "past_mentions",
        sa.Column("named_id", _ID, nullable=False),
        sa.Column("until_revision", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("kind", _ID, nullable=False),
        sa.Column("id", _ID, nullable=False),
        sa.PrimaryKeyConstraint("named_id", "until_revision", "kind", "id"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "fact_notes",
        sa.Column("kind", _ID, nullable=False),
        sa.Column("id", _ID, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("note", sa.Text, nullable=False),
        sa.Column("sha256", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("kind", "id", "revision"),
    )


def _indexes(*, is_postgresql: bool) -> None:
    """Make the indexes that were not built ahead: where they are there, this takes no time."""
    for name, table, columns, only in _words(is_postgresql=is_postgresql):
        where = f" WHERE {only}" if only else ""
        op.execute(f"CREATE INDEX IF NOT EXISTS {name} ON {table} ({', '.join(columns)}){where}")
    op.create_index("facts_writes_by_latest_at", "facts_writes", ["latest_at", "revision"])
    op.create_index("past_mentions_by_until_revision", "past_mentions", ["until_revision"])


def _past_mentions(connection: sa.Connection) -> Iterator[list[dict[str, Any]]]:
    """Yield, page by page, the rows of whom and what facts named until they were changed."""
    last: tuple[str, str, int] = ("", "", 0)
    named: set[tuple[str, str]] = set()
    parameters = dict(zip(("kind", "id", "revision"), last, strict=True))
    while page := connection.execute(sa.text(_CHANGES), parameters).all():
        rows = []
        for kind, fact_id, revision, value in page:
            before = named if (kind, fact_id) == last[:2] else set()
            named = _named(orjson.loads(value)) if value else set()
            last = (kind, fact_id, revision)
            rows += [
                {"named_id": one, "until_revision": revision, "kind": kind, "id": fact_id}
                for one in sorted({one for _place, one in before - named})
            ]
        parameters = dict(zip(("kind", "id", "revision"), last, strict=True))
        if rows:
            yield rows


def _named(plain: dict[str, Any]) -> set[tuple[str, str]]:
    """Return whom and what a stored fact names, each with the place."""
    found = {(field, plain[field]) for field in _FIELDS if plain.get(field)}
    found.update(("same_person", one) for one in plain.get("same_person_as", ()))
    found.update(("family", one) for one in plain.get("family", ()))
    held = chain.from_iterable(hold.get("viewers", ()) for hold in plain.get("holds", ()))
    found.update(("viewer", one) for one in chain(plain.get("named_viewers", ()), held))
    found.update(("participant", who["subject_id"]) for who in plain.get("participants", ()))
    scope = plain.get("scope")  # a consent's is a word
    recording_ids = scope.get("recording_ids", ()) if isinstance(scope, dict) else ()
    found.update(("recording_id", one) for one in recording_ids)
    if plain.get("review"):
        found.add(("review", plain["review"]["by"]))
    return found

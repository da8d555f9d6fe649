"""The decision store's tables, as they are at the present schema version.

What was shipped is in `journal_lines`, byte by byte; `decisions` is what its records are found by,
and can be made from it again. A record's own bytes are a slice of its line, so that one of many in
a line is read without parsing the rest. Instants are whole microseconds since 1970 in UTC.

On PostgreSQL both large tables are partitioned by month, `journal_lines` by `at` and `decisions`
by `evaluated_at`; `partitions.py` makes the partitions. No unique key can go across partitions, so
what keeps a line from being there twice is the row of its journal: whoever ships locks it, and
lines and progress are committed together. A decision is there as often as its line.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Column, Index, LargeBinary, MetaData, Table, Text, text

SCHEMA_VERSION: Final = "0001"
"""The migration that made the tables below."""

VERSION_TABLE: Final = "decisions_schema"
"""Where Alembic keeps the store's version; a name of its own, as a database may be shared."""

metadata = MetaData()

IdType = Text(collation="C").with_variant(Text(), "sqlite")
"""Ids compare byte by byte on either database."""


def _id(name: str, *, primary_key: bool = False, nullable: bool = False) -> Column[str]:
    """Return a column that holds an id or a word."""
    return Column(name, IdType, primary_key=primary_key, nullable=nullable)


def _number(name: str, *, primary_key: bool = False) -> Column[int]:
    """Return a column that holds a count, a place or an instant in microseconds."""
    return Column(name, BigInteger, primary_key=primary_key, nullable=False, autoincrement=False)


journals = Table(
    "journals",
    metadata,
    _id("journal_id", primary_key=True),
    _number("sequence"),
    _id("hash"),
    _number("segment"),
    _number("offset_bytes"),
    _number("at"),
    _number("shipped_at"),
)
"""How far each journal has been shipped.

`sequence` and `hash` are those of the last line that is here, `segment` and `offset_bytes` the
place behind it, `at` its time, `shipped_at` the shipper's clock when it came.
"""

journal_lines = Table(
    "journal_lines",
    metadata,
    _id("journal_id", primary_key=True),
    _number("sequence", primary_key=True),
    _number("at", primary_key=True),
    _id("hash"),
    Column("line", LargeBinary, nullable=False),
    postgresql_partition_by="RANGE (at)",
)
"""Every line of every journal, its newline included.

`at` is the time of the line's first record, or of a segment's beginning; the lines between bear
the time of the line before them. So it depends on the journal alone. `hash` is in hex.
"""

decisions = Table(
    "decisions",
    metadata,
    _id("decision_id"),
    _number("evaluated_at"),
    _id("journal_id"),
    _number("sequence"),
    _number("line_at"),
    _number("offset_bytes"),
    _number("size_bytes"),
    _id("kind"),
    _id("subject_id", nullable=True),
    _id("tenant_id", nullable=True),
    _id("recording_id", nullable=True),
    _id("patient_id", nullable=True),
    _id("caller", nullable=True),
    _id("action", nullable=True),
    _id("effect", nullable=True),
    _id("reason", nullable=True),
    _id("rule", nullable=True),
    _id("policy_revision", nullable=True),
    Column("facts_revision", BigInteger, nullable=True),
    _id("request_id", nullable=True),
    postgresql_partition_by="RANGE (evaluated_at)",
)
"""Every record that has a decision's id: DECISION, PRESENTED, LISTED, EXPLAINED.

Its own bytes are `size_bytes` of the line (`journal_id`, `sequence`, `at` = `line_at`) from
`offset_bytes` on, counted from 0.
"""

_DENIED = text("effect = 'DENY'")
_LISTED = text("kind <> 'DECISION'")

Index("decisions_by_id", decisions.c.decision_id)
Index("decisions_by_time", decisions.c.evaluated_at, decisions.c.decision_id)
for _name in ("subject_id", "recording_id", "patient_id", "caller"):
    Index(
        f"decisions_by_{_name.removesuffix('_id')}",
        decisions.c[_name],
        decisions.c.evaluated_at,
        decisions.c.decision_id,
    )
for _index, _columns in (("denials_by_time", ()), ("denials_by_reason", (decisions.c.reason,))):
    Index(
        _index,
        *_columns,
        decisions.c.evaluated_at,
        decisions.c.decision_id,
        postgresql_where=_DENIED,
        sqlite_where=_DENIED,
    )
Index(
    "lists_by_kind",
    decisions.c.kind,
    decisions.c.evaluated_at,
    decisions.c.decision_id,
    postgresql_where=_LISTED,
    sqlite_where=_LISTED,
)

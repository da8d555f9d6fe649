"""The decision store: journals, their lines, and the decisions in them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_ID = sa.Text(collation="C").with_variant(sa.Text(), "sqlite")
_WORDS = (
    "subject_id",
    "tenant_id",
    "recording_id",
    "patient_id",
    "caller",
    "action",
    "effect",
    "reason",
    "rule",
    "policy_revision",
)
_DENIED = sa.text("effect = 'DENY'")
_LISTED = sa.text("kind <> 'DECISION'")


def upgrade() -> None:
    """Make all tables; on PostgreSQL the large ones without any partition yet."""
    op.create_table(
        "journals",
        _id("journal_id"),
        _number("sequence"),
        _id("hash"),
        *(_number(name) for name in ("segment", "offset_bytes", "at", "shipped_at")),
        sa.PrimaryKeyConstraint("journal_id"),
    )
    op.create_table(
        "journal_lines",
        _id("journal_id"),
        _number("sequence"),
        _number("at"),
        _id("hash"),
        sa.Column("line", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("journal_id", "sequence", "at"),
        postgresql_partition_by="RANGE (at)",
    )
    _decisions()
    if op.get_bind().dialect.name == "postgresql":
        # Out of line and not compressed: a slice of a long line is then read without the rest.
        op.execute("ALTER TABLE journal_lines ALTER COLUMN line SET STORAGE EXTERNAL")


def _decisions() -> None:
    """Make the table of decisions with its indexes."""
    numbers = ("sequence", "line_at", "offset_bytes", "size_bytes")
    op.create_table(
        "decisions",
        _id("decision_id"),
        _number("evaluated_at"),
        _id("journal_id"),
        *(_number(name) for name in numbers),
        _id("kind"),
        *(_id(name, nullable=True) for name in _WORDS),
        _number("facts_revision", nullable=True),
        _id("request_id", nullable=True),
        postgresql_partition_by="RANGE (evaluated_at)",
    )
    newest = ("evaluated_at", "decision_id")
    op.create_index("decisions_by_id", "decisions", ["decision_id"])
    op.create_index("decisions_by_time", "decisions", newest)
    op.create_index("decisions_by_subject", "decisions", ["subject_id", *newest])
    op.create_index("decisions_by_recording", "decisions", ["recording_id", *newest])
    op.create_index("decisions_by_patient", "decisions", ["patient_id", *newest])
    op.create_index("decisions_by_caller", "decisions", ["caller", *newest])
    for name, columns in (("denials_by_time", newest), ("denials_by_reason", ("reason", *newest))):
        op.create_index(name, "decisions", columns, postgresql_where=_DENIED, sqlite_where=_DENIED)
    by_kind = ["kind", *newest]
    op.create_index(
        "lists_by_kind", "decisions", by_kind, postgresql_where=_LISTED, sqlite_where=_LISTED
    )


def _id(name: str, *, nullable: bool = False) -> sa.Column[str]:
    """Return a column that holds an id or a word."""
    return sa.Column(name, _ID, nullable=nullable)


def _number(name: str, *, nullable: bool = False) -> sa.Column[int]:
    """Return a column that holds a count, a place or an instant in microseconds."""
    return sa.Column(name, sa.BigInteger, nullable=nullable)

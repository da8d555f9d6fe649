"""The registry: a table for each kind of fact, the revision, the changes and the disputes."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_ID = sa.Text(collation="C").with_variant(sa.Text(), "sqlite")

_LOOKUPS = {
    "tenants": "",
    "subjects": "tenant_id",
    "consultations": "tenant_id patient_id",
    "recordings": "tenant_id consultation_id owner_id created_at",
    "attendances": "",
    "delegations": "patient_id delegate_id",
    "blocks": "patient_id delegate_id",
    "relationships": "patient_id staff_id",
    "grants": "subject_id recording_id patient_id",
    "consents": "patient_id",
    "containments": "lifted_at",
}
_INDEXES = {
    "recordings": (("consultation_id",), ("owner_id", "created_at", "id")),
    "delegations": (("patient_id",), ("delegate_id",)),
    "blocks": (("patient_id",), ("delegate_id",)),
    "relationships": (("patient_id",), ("staff_id",)),
    "grants": (("subject_id",), ("recording_id",), ("patient_id",)),
    "consents": (("patient_id",),),
}


def upgrade() -> None:
    """Make all tables, and draw the first nonce."""
    for table, lookups in _LOOKUPS.items():
        _facts_table(table, lookups.split())
    _side_tables()
    _revision_tables()
    _attribution_tables()
    _first_revision()


def _id(name: str, *, nullable: bool = False) -> sa.Column[str]:
    """Return a column that holds an id."""
    return sa.Column(name, _ID, nullable=nullable)


def _number(name: str, *, nullable: bool = False) -> sa.Column[int]:
    """Return a column that holds a count, a revision or an instant in microseconds."""
    return sa.Column(name, sa.BigInteger, nullable=nullable)


def _facts_table(table: str, lookups: list[str]) -> None:
    """Make the table of one kind of fact."""
    op.create_table(
        table,
        _id("id"),
        *(
            _number(name, nullable=True) if name.endswith("_at") else _id(name, nullable=True)
            for name in lookups
        ),
        sa.Column("value", sa.Text, nullable=True),
        _id("source"),
        _number("observed_at"),
        _number("revision"),
        sa.PrimaryKeyConstraint("id"),
    )
    for columns in _INDEXES.get(table, ()):
        op.create_index(f"{table}_by_{columns[0]}", table, list(columns))


def _side_tables() -> None:
    """Make the tables by which people find what names them."""
    op.create_table(
        "attendance_participants",
        *(_id(name) for name in ("recording_id", "subject_id", "kind")),
        sa.PrimaryKeyConstraint("recording_id", "subject_id", "kind"),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "attendance_participants_by_subject_id",
        "attendance_participants",
        ["subject_id", "recording_id"],
    )
    op.create_table(
        "subject_links",
        *(_id(name) for name in ("subject_id", "kind", "other_id")),
        sa.PrimaryKeyConstraint("subject_id", "kind", "other_id"),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "subject_links_by_other_id", "subject_links", ["other_id", "kind", "subject_id"]
    )


def _revision_tables() -> None:
    """Make the revision row, the list of writes and the list of changes."""
    op.create_table(
        "facts_revision",
        sa.Column("one", sa.Integer, nullable=False, autoincrement=False),
        _number("revision"),
        sa.Column("nonce", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("one"),
    )
    op.create_table(
        "facts_writes",
        sa.Column("revision", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("nonce", sa.Text, nullable=False),
        _id("actor"),
        _number("recorded_at"),
        _number("facts"),
        sa.PrimaryKeyConstraint("revision"),
    )
    op.create_table(
        "fact_changes",
        sa.Column("revision", sa.BigInteger, nullable=False, autoincrement=False),
        _id("kind"),
        _id("id"),
        sa.Column("keys", sa.Text, nullable=False),
        sa.Column("value", sa.Text, nullable=True),
        _id("source"),
        _number("observed_at"),
        _number("recorded_at"),
        sa.PrimaryKeyConstraint("revision", "kind", "id"),
        sqlite_with_rowid=False,
    )


def _attribution_tables() -> None:
    """Make the tables of disputes and of imports."""
    op.create_table(
        "attributions",
        _id("recording_id"),
        _id("patient_id", nullable=True),
        sa.Column("disputed", sa.Boolean, nullable=False),
        _number("disputed_at_revision", nullable=True),
        _id("resolved_by", nullable=True),
        sa.Column("resolved_reason", sa.Text, nullable=True),
        sa.Column("resolved_reason_digest", sa.Text, nullable=True),
        _number("resolved_at_revision", nullable=True),
        sa.PrimaryKeyConstraint("recording_id"),
    )
    op.create_table(
        "facts_imports",
        sa.Column("sha256", sa.Text, nullable=False),
        _number("lines_done"),
        sa.Column("finished", sa.Boolean, nullable=False),
        _number("written"),
        _number("skipped"),
        _number("unchanged"),
        sa.PrimaryKeyConstraint("sha256"),
    )


def _first_revision() -> None:
    """Begin at revision 0, in a state that no other registry was ever in."""
    nonce = secrets.token_hex(16)
    made_at = round(datetime.now(UTC).timestamp() * 1_000_000)
    revisions = sa.table(
        "facts_revision", sa.column("one"), sa.column("revision"), sa.column("nonce")
    )
    writes = sa.table(
        "facts_writes",
        *(sa.column(name) for name in ("revision", "nonce", "actor", "recorded_at", "facts")),
    )
    op.bulk_insert(revisions, [{"one": 1, "revision": 0, "nonce": nonce}])
    op.bulk_insert(
        writes,
        [{"revision": 0, "nonce": nonce, "actor": "migration", "recorded_at": made_at, "facts": 0}],
    )

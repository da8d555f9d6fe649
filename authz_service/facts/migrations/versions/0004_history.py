"""History: what facts said before, whom they named, words beside them, and who may still write."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_ID = sa.Text(collation="C").with_variant(sa.Text(), "sqlite")


def upgrade() -> None:
    """Make what history needs; no write comes in between."""
    if op.get_context().dialect.name == "postgresql":
        op.execute("LOCK TABLE facts_revision IN EXCLUSIVE MODE")
    _columns()
    _tables()
    _indexes()


def _columns() -> None:
    """Add what the revision row and the changes have to say besides."""
    op.add_column(
        "facts_revision",
        sa.Column("works_from", sa.Text, nullable=False, server_default="0004"),
    )
    op.add_column(
        "facts_revision",
        sa.Column("history_from", sa.BigInteger, nullable=False, server_default="0"),
    )
    op.add_column(
        "fact_changes",
        sa.Column("in_place", sa.Boolean, nullable=False, server_default=sa.false()),
    )


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


def _indexes() -> None:
    """Make the indexes by which few among many are found."""
    changed = sa.text("NOT in_place")
    op.create_index(
        "fact_changes_by_fact",
        "fact_changes",
        ["kind", "id", "revision"],
        sqlite_where=changed,
        postgresql_where=changed,
    )
    op.create_index("facts_writes_by_recorded_at", "facts_writes", ["recorded_at"])
    as_json = "value::json" if op.get_context().dialect.name == "postgresql" else "value"
    for name, table, columns, condition in (
        ("services_by_tenant_id", "subjects", ["tenant_id", "id"], "->> 'kind') = 'SERVICE'"),
        ("grants_of_emergency", "grants", ["subject_id", "id"], "->> 'kind') = 'EMERGENCY'"),
    ):
        only = sa.text(f"({as_json} {condition}")
        op.create_index(name, table, columns, sqlite_where=only, postgresql_where=only)

"""Containments: who first wrote one is found without reading every change."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the index; no write comes in between."""
    if op.get_context().dialect.name == "postgresql":
        op.execute("LOCK TABLE facts_revision IN EXCLUSIVE MODE")
    only = sa.text("kind = 'containment'")
    op.create_index(
        "fact_changes_of_containments",
        "fact_changes",
        ["id", "revision"],
        sqlite_where=only,
        postgresql_where=only,
    )

"""Contract: what only earlier programs needed is gone."""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Shut earlier programs out first; their writes wait, and are refused."""
    if op.get_context().dialect.name == "postgresql":
        op.execute("LOCK TABLE facts_revision IN EXCLUSIVE MODE")
    op.execute("UPDATE facts_revision SET works_from = '0005'")
    op.drop_index("grants_of_emergency", "grants")

"""Expand: a column beside the others, which programs of the earlier schema leave alone."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; who works on 0004 may go on: ``works_from`` stays."""
    op.add_column("recordings", sa.Column("format", sa.Text, nullable=True))

"""Containments: who first wrote one is found without reading every change."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from authz_service.facts.migrations.online import build_index

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


_NAME, _TABLE, _COLUMNS = "fact_changes_of_containments", "fact_changes", ["id", "revision"]
_ONLY = "kind = 'containment'"


def ahead(connection: sa.Connection) -> None:
    """Build the index of a PostgreSQL registry while programs of the earlier version work on."""
    build_index(connection, _NAME, _TABLE, _COLUMNS, _ONLY)


def upgrade() -> None:
    """Make the index, if it was not built ahead; no write comes in between."""
    if op.get_context().dialect.name == "postgresql":
        op.execute("LOCK TABLE facts_revision IN EXCLUSIVE MODE")
    only = sa.text(_ONLY)
    op.create_index(
        _NAME, _TABLE, _COLUMNS, if_not_exists=True, sqlite_where=only, postgresql_where=only
    )

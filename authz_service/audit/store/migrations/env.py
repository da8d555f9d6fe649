"""Runs Alembic on a connection that is handed over; there is no ini file and no URL here."""

from __future__ import annotations

from alembic import context

from authz_service.audit.store.schema import VERSION_TABLE, metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    transactional_ddl=True,
)
context.run_migrations()

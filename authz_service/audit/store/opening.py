"""How a store is opened: its schema made or upgraded where it has to be."""

from __future__ import annotations

from typing import Final

from authz_service.audit.store.engines import parsed
from authz_service.audit.store.ports import Store
from authz_service.audit.store.postgresql import PostgresqlStore
from authz_service.audit.store.schema_version import migrate
from authz_service.audit.store.sqlite import SqliteStore

_LOCK_SECONDS: Final = 2.0
_STATEMENT_SECONDS: Final = 10.0


def open_store(url: str) -> Store:
    """Return the store of *url*, with the present schema; a SQLite file is made if there is none.

    Raises:
        StoreFailureError: It does not answer, holds something else, or is of a newer schema.
    """
    target = parsed(url)
    migrate(target)
    if target.get_backend_name() == "sqlite":
        return SqliteStore(target, lock_seconds=_LOCK_SECONDS)
    return PostgresqlStore(target, lock_seconds=_LOCK_SECONDS, statement_seconds=_STATEMENT_SECONDS)

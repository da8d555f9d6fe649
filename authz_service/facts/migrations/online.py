"""Changes of a PostgreSQL schema while others work on it: briefly locked, or not at all."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final

from psycopg.errors import LockNotAvailable
from sqlalchemy import Connection, text
from sqlalchemy.exc import OperationalError

from authz_service.pdp.errors import FactsUnavailableError

_LOCK_MILLISECONDS: Final = 300
"""So long a statement may stand in line for a table; who comes after it stands behind it."""
_REST_SECONDS: Final = 0.2
_PATIENCE_SECONDS: Final = 30.0
_VALID: Final = text("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(:name)")


def briefly(connection: Connection, change: Callable[[], object]) -> None:
    """Make *change* in one transaction, which waits for no lock long enough to hold up others.

    Where a table is in use, all is taken back and tried again a little later.

    Raises:
        FactsUnavailableError: A table was in use all the time.
    """
    ends = time.monotonic() + _PATIENCE_SECONDS
    while not _changed(connection, change):
        if time.monotonic() > ends:
            raise FactsUnavailableError(
                "its tables are in use for too long, by an export, a backup or an import; it is"
                " upgraded by the next start after that"
            )
        time.sleep(_REST_SECONDS)


def build_index(
    connection: Connection, name: str, table: str, columns: Sequence[str], only: str = ""
) -> None:
    """Build an index while others read and write the table, if it is not there yet.

    What a build that was cut short has left behind is built anew. Takes as long as reading the
    table twice, and waits for all transactions that began before.

    Args:
        connection: Without a transaction.
        name: The index.
        table: The table.
        columns: The columns, in order.
        only: Which rows are indexed, as SQL; empty for all.
    """
    with connection.begin():
        is_valid = connection.execute(_VALID, {"name": name}).scalar_one_or_none()
    if is_valid:
        return
    where = f" WHERE {only}" if only else ""
    if is_valid is not None:
        _alone(connection, f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
    _alone(connection, f"CREATE INDEX CONCURRENTLY {name} ON {table} ({', '.join(columns)}){where}")


def _changed(connection: Connection, change: Callable[[], object]) -> bool:
    """Make *change*, unless a table is in use."""
    try:
        with connection.begin():
            connection.exec_driver_sql(f"SET LOCAL lock_timeout = {_LOCK_MILLISECONDS}")
            change()
    except OperationalError as error:
        if isinstance(error.orig, LockNotAvailable):
            return False
        raise
    return True


def _alone(connection: Connection, statement: str) -> None:
    """Run *statement* outside of any transaction."""
    level = connection.get_isolation_level()
    connection.execution_options(isolation_level="AUTOCOMMIT")
    try:
        with connection.begin():
            connection.exec_driver_sql(statement)
    finally:
        connection.execution_options(isolation_level=level)

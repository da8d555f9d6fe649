"""What a registry and its server say of their own condition, cheaply: for who looks after them."""

from __future__ import annotations

from typing import Final, NamedTuple

from sqlalchemy import text

from authz_service.facts.compatibility import VERSIONS
from authz_service.facts.database import Access, Database, parsed
from authz_service.facts.engines import APPLICATION
from authz_service.facts.migration_connection import connected, is_under_way
from authz_service.facts.schema import SCHEMA_VERSION

MANY_DISPUTED: Final = 1_000
"""So many disputed recordings are counted, and no more."""

_CONDITION: Final = f"SELECT {VERSIONS}, history_from FROM facts_revision"  # noqa: S608  # names of ours
_DISPUTED: Final = (
    "SELECT count(*) FROM (SELECT 1 FROM attributions WHERE disputed"  # noqa: S608  # a number of ours
    f" LIMIT {MANY_DISPUTED}) d"
)
_SERVER: Final = text(
    "SELECT (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'),"
    " current_setting('max_connections')::int,"
    " (SELECT count(*) FROM pg_stat_activity WHERE application_name = :ours"
    " AND datname = current_database()),"
    " (SELECT count(*) FROM pg_stat_replication)"
)


class RegistryCondition(NamedTuple):
    """The condition of a registry.

    Attributes:
        version: The version of its schema.
        later: Whether that is later than this program's.
        history_from: Before this revision nothing is known of what facts said.
        disputed: How many recordings are disputed, up to a bound.
        more_disputed: Whether there may be more of them.
    """

    version: str
    later: bool
    history_from: int
    disputed: int
    more_disputed: bool


class ServerCondition(NamedTuple):
    """The condition of a PostgreSQL server.

    Attributes:
        connections: How many connections are open, to all databases.
        most_connections: How many there may be.
        ours: How many of them services have open to this registry.
        standbys: How many servers it streams to.
        is_migrating: Whether a program migrates the registry now.
    """

    connections: int
    most_connections: int
    ours: int
    standbys: int
    is_migrating: bool


def condition_of(url: str) -> RegistryCondition:
    """Return the condition of the registry of *url*, whose schema is one that is worked on.

    Raises:
        FactsUnavailableError: It does not answer.
    """
    database = Database(url, lock_seconds=1, pool=1)
    try:
        with database.transaction(Access.READ) as session:
            versions, history_from = session.one(_CONDITION) or ("", 0)
            (disputed,) = session.one(_DISPUTED) or (0,)
    finally:
        database.close()
    version = versions.partition(" ")[0]
    return RegistryCondition(
        version, version > SCHEMA_VERSION, history_from, disputed, disputed >= MANY_DISPUTED
    )


def server_of(url: str) -> ServerCondition:
    """Return the condition of the PostgreSQL server of *url*.

    Raises:
        FactsUnavailableError: It does not answer.
    """
    with connected(parsed(url)) as connection, connection.begin():
        used, most, ours, standbys = connection.execute(_SERVER, {"ours": APPLICATION}).one()
        return ServerCondition(used, most, ours, standbys, is_under_way(connection))

"""Registries as released programs left them: their own migrations, and rows recorded from them.

`released/NNNN.sql` was recorded from a registry that the program of schema NNNN had written: the
clinic of the end-to-end tests, with recordings that were moved, given back, held and deleted.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from alembic import command
from sqlalchemy import create_engine

from authz_service.facts.database import Access, Database, parsed
from authz_service.facts.schema import metadata
from authz_service.facts.schema_version import alembic_config

RELEASED = Path(__file__).parent / "released"
VERSIONS = tuple(sorted(path.stem for path in RELEASED.glob("*.sql")))


def made_as_released(url: str, version: str, *, rows: bool = True) -> None:
    """Make the registry of *url*, an empty database, as the program of *version* left it."""
    engine = create_engine(parsed(url))
    with engine.begin() as connection:
        config = alembic_config()
        config.attributes["connection"] = connection
        command.upgrade(config, version)
        if rows:
            for statement in statements_of(version):
                connection.exec_driver_sql(statement)
    engine.dispose()


def statements_of(version: str) -> list[str]:
    """Return the statements that the program of *version* is represented by."""
    lines = (RELEASED / f"{version}.sql").read_text(encoding="utf-8").splitlines()
    return [line.rstrip(";") for line in lines if not line.startswith("--")]


def contents(url: str) -> dict[str, list[tuple[Any, ...]]]:
    """Return every row of every table that there is, in the columns that version 0001 had too."""
    columns = {
        table.name: [each.name for each in table.columns if each.name not in _LATER]
        for table in metadata.sorted_tables
        if table.name not in {"past_mentions", "fact_notes", "service_keys", "recording_reach"}
    }
    database = Database(url, lock_seconds=2, pool=1)
    with database.transaction(Access.READ) as session:
        found = {
            name: sorted(session.rows(f"SELECT {', '.join(names)} FROM {name}"), key=repr)  # noqa: S608  # names of ours
            for name, names in columns.items()
        }
    database.close()
    return found


_LATER = frozenset({"in_place", "works_from", "history_from", "latest_at"})

"""The schema is made and upgraded by migrations alone, and says of itself what it is."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic.script import ScriptDirectory

from authz_service.facts.schema import SCHEMA_VERSION, VERSION_TABLE
from authz_service.facts.schema_version import (
    SchemaState,
    alembic_config,
    migrate,
    schema_state,
)
from authz_service.pdp.errors import FactsUnavailableError
from tests.contract.facts.registry_cases import differences, run


def test_the_tables_are_those_that_the_migrations_make(registry_url: str) -> None:
    assert differences(registry_url) == []


def test_the_version_is_that_of_the_last_migration() -> None:
    assert ScriptDirectory.from_config(alembic_config()).get_current_head() == SCHEMA_VERSION


def test_a_current_registry_is_left_as_it_is(registry_url: str) -> None:
    assert migrate(registry_url) is SchemaState.CURRENT
    assert schema_state(registry_url) is SchemaState.CURRENT


def test_a_newer_registry_is_not_touched(own_registry_url: str) -> None:
    run(
        own_registry_url,
        f"UPDATE {VERSION_TABLE} SET version_num = '9999'",  # noqa: S608  # a name of ours
        "UPDATE facts_revision SET works_from = '9999'",
    )

    assert schema_state(own_registry_url) is SchemaState.NEWER
    with pytest.raises(FactsUnavailableError, match="newer than this program"):
        migrate(own_registry_url)


def test_a_database_of_somebody_else_is_not_touched(own_registry_url: str) -> None:
    run(own_registry_url, f"DROP TABLE {VERSION_TABLE}")

    assert schema_state(own_registry_url) is SchemaState.FOREIGN
    with pytest.raises(FactsUnavailableError, match="holds other tables"):
        migrate(own_registry_url)


def test_a_file_that_is_not_there_is_empty_and_stays_away(tmp_path: Path) -> None:
    assert schema_state(f"sqlite:///{tmp_path}/a/b.db") is SchemaState.EMPTY
    assert not (tmp_path / "a").exists()


def test_a_new_file_comes_with_its_folders(tmp_path: Path) -> None:
    assert migrate(f"sqlite:///{tmp_path}/a/b.db") is SchemaState.EMPTY
    assert schema_state(f"sqlite:///{tmp_path}/a/b.db") is SchemaState.CURRENT


def test_two_at_once_make_one_registry(tmp_path: Path) -> None:
    """The second waits, and finds it made."""
    url = f"sqlite:///{tmp_path}/registry.db"
    with ThreadPoolExecutor(2) as threads:
        found = list(threads.map(migrate, [url, url]))

    assert sorted(found) == [SchemaState.CURRENT, SchemaState.EMPTY]

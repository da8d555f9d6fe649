"""A registry on each database: a SQLite file, and a real PostgreSQL started once a session."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from authz_service.facts.schema_version import migrate
from authz_service.facts.sql_reader import SqlReader
from authz_service.facts.sql_registry import SqlRegistry
from tests.contract.facts.registry_cases import SteppingClock, SystemClock, reset
from tests.postgres import new_registry


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with the present schema and nothing in it."""
    path = tmp_path_factory.mktemp("template") / "registry.db"
    migrate(f"sqlite:///{path}")
    return path


@pytest.fixture
def sqlite_url(tmp_path: Path, sqlite_template: Path) -> str:
    """A SQLite registry with nothing in it."""
    path = tmp_path / "registry.db"
    shutil.copy(sqlite_template, path)
    return f"sqlite:///{path}"


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def registry_url(request: pytest.FixtureRequest) -> str:
    """A registry with nothing in it, on each database in turn."""
    if request.param == "sqlite":
        return str(request.getfixturevalue("sqlite_url"))
    url = str(request.getfixturevalue("postgresql_registry_url"))
    reset(url)
    return url


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def own_registry_url(request: pytest.FixtureRequest) -> str:
    """A registry that a test may break, on each database in turn."""
    if request.param == "sqlite":
        return str(request.getfixturevalue("sqlite_url"))
    return new_registry()


@pytest.fixture(scope="session")
def postgresql_registry_url() -> str:
    """The one PostgreSQL registry that all tests share who leave its schema alone."""
    return new_registry()


@pytest.fixture
def clock() -> SteppingClock:
    """A clock that moves on by a second whenever it is asked."""
    return SteppingClock()


@pytest.fixture
def registry(registry_url: str, clock: SteppingClock) -> Iterator[SqlRegistry]:
    """The registry as those see it who write to it."""
    made = SqlRegistry(registry_url, clock)
    yield made
    made.close()


@pytest.fixture
def reader(registry_url: str) -> Iterator[SqlReader]:
    """The registry as the cache reads it."""
    made = SqlReader(registry_url, SystemClock())
    yield made
    made.close()

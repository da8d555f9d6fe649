"""A decision store on each database: a SQLite file, and a real PostgreSQL."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from authz_service.audit.store.schema_version import migrate
from tests.contract.shipping.journal_files import JournalFiles
from tests.postgres import new_database

BOTH = ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)]


@pytest.fixture(scope="session")
def sqlite_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite store with nothing in it."""
    path = tmp_path_factory.mktemp("template") / "decisions.db"
    migrate(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def postgresql_store() -> str:
    """The one PostgreSQL store of all tests: each has a journal of its own."""
    url = new_database()
    migrate(url)
    return url


@pytest.fixture(params=BOTH)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A store, on each database in turn."""
    if request.param == "postgresql":
        return str(request.getfixturevalue("postgresql_store"))
    shutil.copy(request.getfixturevalue("sqlite_store"), tmp_path / "decisions.db")
    return f"sqlite:///{tmp_path / 'decisions.db'}"


@pytest.fixture(params=BOTH)
def own_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database that a test may break, empty, on each in turn."""
    if request.param == "postgresql":
        return new_database()
    return f"sqlite:///{tmp_path / 'decisions.db'}"


@pytest.fixture
def journal(tmp_path: Path) -> JournalFiles:
    """A journal with its first segment begun."""
    return JournalFiles(tmp_path / "journal")

"""An empty decision store on each database."""

from __future__ import annotations

import pytest

from authz_service.audit.store.schema_version import migrate
from tests.postgres import new_database


@pytest.fixture(
    scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)]
)
def store_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A store with nothing in it, on each database in turn; the tests of a module share it."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('store') / 'decisions.db'}"
    else:
        url = new_database()
    migrate(url)
    return url

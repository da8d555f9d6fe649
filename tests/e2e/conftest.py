"""What the end-to-end tests share: a registry on either database, and a service with a clinic."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.main import get_command

from authz_service.cli.verbs import app
from tests.e2e.client import Client, client_of
from tests.e2e.clinic import FACTS
from tests.postgres import new_database
from tests.service_thread import ServiceThread, serving


@pytest.fixture(scope="session", autouse=True)
def every_verb() -> None:
    """Import what verbs need before a service beside them logs into what they print."""
    dict(get_command(app).commands)  # type: ignore[attr-defined]  # a group has commands


@pytest.fixture(
    params=[
        pytest.param("sqlite", id="sqlite"),
        pytest.param("postgresql", id="postgresql", marks=pytest.mark.postgres),
    ]
)
def either_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty registry on SQLite, then on PostgreSQL."""
    if request.param == "postgresql":
        return new_database()
    return f"sqlite:///{tmp_path / 'registry.db'}"


@pytest.fixture
def postgres_url() -> str:
    """An empty database of a real PostgreSQL."""
    return new_database()


@pytest.fixture(scope="module")
def shared_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceThread]:
    """A service with the clinic in it, for tests that leave the clinic as it is."""
    with serving(tmp_path_factory.mktemp("service"), facts_staleness_ms=0) as service:
        with client_of(service) as client:
            client.write(FACTS)
        yield service


@pytest.fixture
def shared_client(shared_service: ServiceThread) -> Iterator[Client]:
    """A client of the shared service."""
    with client_of(shared_service) as client:
        yield client

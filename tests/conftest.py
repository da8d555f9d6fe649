"""What all tests share: where the shared scenarios lie, and how hard hypothesis tries."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import HealthCheck, settings

from tests.certificates import Estate
from tests.log_watch import WATCH

SHARED_SCENARIOS = Path(__file__).resolve().parents[2] / "shared" / "scenarios"

settings.register_profile(
    "ci",
    derandomize=True,
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("long", max_examples=3000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


def pytest_configure(config: pytest.Config) -> None:
    """Have every test fail that lets a secret out."""
    config.pluginmanager.register(WATCH, "log-watch")


def _unheard(_logger: object, _method: str, event: structlog.typing.EventDict) -> str:
    WATCH.hear_event(event)
    raise structlog.DropEvent


structlog.configure(processors=[_unheard])  # a test that wants to hear uses `capture_logs`
_BEFORE = structlog.get_config()


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    """Undo what a test, its module, or the command that it runs, has set up for its logs."""
    yield
    structlog.configure(**_BEFORE)


@pytest.fixture(scope="session")
def shared_scenarios() -> Path:
    """The shared scenarios; the test is skipped where they are not beside the project."""
    if not SHARED_SCENARIOS.is_dir():
        pytest.skip("the shared scenarios are not beside the project")
    return SHARED_SCENARIOS


@pytest.fixture(scope="session")
def shared_estate(tmp_path_factory: pytest.TempPathFactory) -> Estate:
    """Certificates and callers, for tests that leave the files as they are."""
    return Estate(tmp_path_factory.mktemp("estate"))


@pytest.fixture
def estate(tmp_path_factory: pytest.TempPathFactory) -> Estate:
    """Certificates and callers, for a test that replaces some of them."""
    return Estate(tmp_path_factory.mktemp("estate"))

"""What the tests of the command line share."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator

import pytest
import structlog
from typer.main import get_command

from authz_service.cli.verbs import app


@pytest.fixture(scope="session", autouse=True)
def every_verb() -> None:
    """Import what verbs need before a service beside them logs into what they print."""
    dict(get_command(app).commands)  # type: ignore[attr-defined]  # a group has commands


@pytest.fixture(autouse=True)
def own_surroundings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No setting of the machine's, and no set-up of logs that a verb leaves behind."""
    for name in [name for name in os.environ if name.startswith("AUTHZ_")]:
        monkeypatch.delenv(name)
    handlers, level = list(logging.root.handlers), logging.root.level
    yield
    structlog.reset_defaults()
    logging.root.handlers = handlers
    logging.root.setLevel(level)

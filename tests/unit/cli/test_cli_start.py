"""The brake's command starts with what it calls by, and with nothing else."""

from __future__ import annotations

import subprocess
import sys

import pytest

_UNTIL_THE_CALL = """
import sys
from authz_service.cli import channel
from authz_service.cli.main import main

def call(*_):
    print(*sys.modules)
    raise SystemExit

channel.Connection.call = call
main()
"""
_NEEDED_LATER = {"rich", "google.protobuf.json_format", "authz_service.cli.containments_report"}
_NEEDED_BY_OTHERS = {
    "authz_service.cli.check",
    "authz_service.cli.facts",
    "authz_service.operations",
    "authz_service.settings",
    "sqlalchemy",
    "structlog",
}


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(["contain", "--audience", "EVERYONE"], id="contain"),
        pytest.param(["lift", "k1"], id="lift"),
    ],
)
def test_what_only_shows_the_answer_or_serves_other_verbs_does_not_delay_the_call(
    words: list[str],
) -> None:
    given = [*words, "--actor", "jo.doe", "--reason", "ticket 4711", "--address", "127.0.0.1:1"]
    done = subprocess.run(
        [sys.executable, "-c", _UNTIL_THE_CALL, *given],
        capture_output=True,
        check=True,
        text=True,
    )

    loaded = set(done.stdout.split())
    assert "authz_service.cli.remote_containments" in loaded
    assert loaded & (_NEEDED_LATER | _NEEDED_BY_OTHERS) == set()

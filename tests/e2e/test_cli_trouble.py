"""The command `authz` as it is installed, where something is in the way or lost."""

from __future__ import annotations

import json
import re
import shutil
import signal
import sqlite3
import subprocess
import time
from contextlib import closing
from pathlib import Path

import pytest

from tests.e2e.cli_place import (
    AUTHZ,
    Place,
    empty_place,
    fact,
    made_place,
    serving,
)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A place of a test's own, without facts."""
    return empty_place(tmp_path)


@pytest.mark.slow
def test_what_is_lost_under_a_service_is_named(tmp_path: Path) -> None:
    """A registry that is gone is no registry yet to come; a journal's trouble is not the policy's.

    While the service runs, what it lost can still be had from a backup.
    """
    with serving(made_place(tmp_path)) as own:
        for path in tmp_path.glob("registry.db*"):
            path.unlink()
        registry = own.ask("doctor", "--format", "json")
        shutil.rmtree(tmp_path / "journal")
        own.ask("policy", "reload", "--actor", "jo")
        status = own.ask("status")

    (found,) = [
        each for each in json.loads(registry.stdout)["checks"] if each["subject"] == "registry"
    ]
    assert (registry.exit_code, found["verdict"]) == (1, "fail")
    assert found["what"].endswith("there is none, though a service answers here")
    assert "restore it from a backup" in found["todo"]
    assert "not known (the journal cannot write)" in status.stdout


@pytest.mark.parametrize(
    ("changes", "code", "says"),
    [
        pytest.param({"AUTHZ_POLICY_DIR": "/nowhere"}, 3, "the policy is refused", id="no-policy"),
        pytest.param({"AUTHZ_CALLERS_FILE": "/nowhere"}, 3, "/nowhere: cannot", id="no-callers"),
        pytest.param({"AUTHZ_LISTEN": "0.0.0.0:0"}, 1, "not a loopback address", id="to-all"),
        pytest.param({"AUTHZ_REGISTRY_URL": "mysql://x"}, 11, "the registry is", id="no-registry"),
        pytest.param({"AUTHZ_JOURNAL_DIR": "/proc/journal"}, 11, "the journal is", id="no-journal"),
    ],
)
def test_start_that_cannot_be_says_why(
    changes: dict[str, str], code: int, says: str, place: Place
) -> None:
    """What is in the way of a start is one message, with the code of what is in the way."""
    done = place.run("serve", **changes)

    assert done.returncode == code
    assert says in done.stderr


def test_interrupted_import_says_so(place: Place) -> None:
    """Ctrl-C ends with 1 and a word, and what was imported stays."""
    process = subprocess.Popen(
        [*AUTHZ, "facts", "import", "-", "--actor", "jo"], env=place.environment(),
        stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 20
    while not (place.folder / "registry.db").exists() and time.monotonic() < deadline:
        time.sleep(0.02)

    process.send_signal(signal.SIGINT)
    _, complaint = process.communicate(timeout=20)

    assert (process.returncode, complaint) == (1, "authz: interrupted\n")


def test_interrupted_import_of_a_file_says_where_it_goes_on(place: Place) -> None:
    """What is committed is not repeated; the word says how much that is."""
    path, registry = place.folder / "many.jsonl", place.folder / "registry.db"
    path.write_text("".join(fact("tenant", id=f"t{n}", time_zone="UTC") for n in range(60_000)))
    process = subprocess.Popen(
        [*AUTHZ, "facts", "import", str(path), "--actor", "jo"], env=place.environment(),
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 20
    while not _lines_done(registry) and time.monotonic() < deadline:
        time.sleep(0.02)

    process.send_signal(signal.SIGINT)
    _, complaint = process.communicate(timeout=20)

    assert process.returncode == 1
    assert re.fullmatch(
        r"authz: interrupted\n  start again to go on after line \d+000\n", complaint
    )


def _lines_done(registry: Path) -> int:
    """Return how far the one import into *registry* is."""
    try:
        with closing(sqlite3.connect(f"file:{registry}?mode=ro", uri=True)) as connection:
            row = connection.execute("SELECT lines_done FROM facts_imports").fetchone()
    except sqlite3.OperationalError:
        return 0
    return int(row[0]) if row else 0

"""`authz facts watch` beside a service: it goes on after a restart, and ends as it is told."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.contract.facts.registry_cases import run
from tests.e2e.client import client_of, eventually
from tests.e2e.clinic import FACTS, patient
from tests.service_process import serving_process
from tests.service_thread import serving, untried_policy

_COMMAND = [sys.executable, "-c", "from authz_service.cli.main import main; main()"]


@contextmanager
def watching(out: Path, *words: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run the verb, its output in *out*; it is killed at the end."""
    environment = {key: text for key, text in os.environ.items() if not key.startswith("AUTHZ_")}
    with out.open("wb") as stream:
        process = subprocess.Popen(
            [*_COMMAND, "facts", "watch", *words],
            stdout=stream,
            stderr=subprocess.STDOUT,
            env=environment,
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def documents(out: Path) -> list[dict[str, Any]]:
    """Return what was told so far, signs of life left out."""
    told = [json.loads(line) for line in out.read_text().splitlines()]
    return [each for each in told if each["recorded_at"]]


@pytest.mark.slow
def test_a_watch_goes_on_after_a_restart_and_ends_with_an_interrupt(tmp_path: Path) -> None:
    out = tmp_path / "told.jsonl"
    settings = {"AUTHZ_POLICY_DIR": str(untried_policy())}
    with serving_process(tmp_path, **settings) as service:
        address = service.address
        with client_of(service) as client:
            client.write(FACTS, actor="ada")
            with watching(out, "--address", address, "--timeout", "20", "--format", "json") as verb:
                eventually(lambda: len(documents(out)) == 1)
                service.signal(signal.SIGTERM)
                service.wait()
                with (
                    serving_process(tmp_path, AUTHZ_LISTEN=address, **settings) as again,
                    client_of(again) as writer,
                ):
                    writer.write([patient("late")], actor="ben")
                    eventually(lambda: len(documents(out)) == 2)
                    verb.send_signal(signal.SIGINT)
                    code = verb.wait(timeout=10)

    told = documents(out)
    assert code == 0
    assert [(each["revision"], each["actor"]) for each in told] == [(1, "ada"), (2, "ben")]
    (change,) = told[1]["changes"]
    assert (change["kind"], change["id"]) == ("subject", "late")
    assert change["fact"]["subject"]["status"] == "SUBJECT_STATUS_ACTIVE"


def test_a_watch_says_in_words_who_changed_what(tmp_path: Path) -> None:
    out = tmp_path / "told.txt"
    with serving(tmp_path) as service, client_of(service) as client:
        client.write(FACTS, actor="ada")
        client.write([patient("late")], actor="ben")
        with watching(out, "--after", "1", "--address", service.address) as verb:
            eventually(lambda: "subject/late" in out.read_text())
            verb.send_signal(signal.SIGINT)
            code = verb.wait(timeout=10)

    first, last = out.read_text().splitlines()
    assert first.startswith("2  ")
    assert first.endswith("  ben  subject/late")
    assert last == "told up to revision 2"
    assert code == 0


def test_a_watch_from_too_far_behind_says_so(tmp_path: Path) -> None:
    out = tmp_path / "told.txt"
    url = f"sqlite:///{tmp_path / 'registry.db'}"
    with serving(tmp_path) as service, client_of(service) as client:
        client.write(FACTS)
        client.write([patient("late")])
        run(url, "UPDATE facts_revision SET history_from = 2")
        with watching(out, "--after", "1", "--address", service.address) as verb:
            code = verb.wait(timeout=10)

    assert code == 1
    assert out.read_text().startswith("authz: too far behind: ")
    assert "authz facts export" in out.read_text()


def test_a_watch_that_is_ahead_is_not_told_to_go_on_where_it_failed(tmp_path: Path) -> None:
    with serving(tmp_path) as service:
        out = tmp_path / "told.txt"
        with watching(out, "--address", service.address, "--after", "4711") as verb:
            code = verb.wait(timeout=10)

    assert code == 1
    assert "4711 is ahead of the registry" in out.read_text()
    assert "--after 4711" not in out.read_text()


def test_a_watch_of_nobody_is_unavailable(tmp_path: Path) -> None:
    out = tmp_path / "told.txt"
    with watching(out, "--address", "127.0.0.1:1", "--timeout", "0.1") as verb:
        code = verb.wait(timeout=10)

    assert code == 11
    assert "no service answers at 127.0.0.1:1" in out.read_text()

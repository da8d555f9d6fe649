"""The audit: what is known is told, and silence is never taken for good news."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from supply import audit
from supply.audit import NONE_KNOWN, SOME_KNOWN, UNKNOWN, main
from supply.locked import RUNTIME, read_lock

VULNERABLE = "starlette"
ADVISORY = {
    "id": "GHSA-xxxx-yyyy-zzzz",
    "summary": "a request can do what it should not",
    "modified": "2026-01-01T00:00:00Z",
    "affected": [
        {
            "package": {"name": VULNERABLE, "ecosystem": "PyPI"},
            "ranges": [
                {"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "99.0"}]}
            ],
        }
    ],
}  # fmt: skip


class Advisories(BaseHTTPRequestHandler):
    """Speaks as much OSV as uv asks for."""

    asked: list[tuple[str, str]]
    known: tuple[str, ...]

    def do_POST(self) -> None:
        queries = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["queries"]
        self.asked += [(one["package"]["name"], one["version"]) for one in queries]
        found = {"vulns": [{"id": ADVISORY["id"], "modified": ADVISORY["modified"]}]}
        self._say(
            {"results": [found if q["package"]["name"] in self.known else {} for q in queries]}
        )

    def do_GET(self) -> None:
        self._say(ADVISORY)

    def log_message(self, *_args: Any) -> None:
        """Say nothing."""

    def _say(self, plain: Any) -> None:
        content = json.dumps(plain).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@contextmanager
def advisories(*known: str) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Tell that *known* are vulnerable; lend the address, and what is asked."""
    asked: list[tuple[str, str]] = []
    kind = type("Told", (Advisories,), {"known": known, "asked": asked})
    with ThreadingHTTPServer(("127.0.0.1", 0), kind) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/", asked
        server.shutdown()


@pytest.fixture(autouse=True)
def _no_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have uv give up at once."""
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")


def test_every_locked_package_is_asked_about_in_its_version() -> None:
    with advisories() as (address, asked):
        code = main([str(RUNTIME), "--service-url", address])

    assert code == NONE_KNOWN
    assert sorted(asked) == [(one.name, one.version) for one in read_lock(RUNTIME)]


def test_what_is_known_is_told_with_what_mends_it(capsys: pytest.CaptureFixture[str]) -> None:
    with advisories(VULNERABLE) as (address, _):
        code = main([str(RUNTIME), "--service-url", address])

    said = capsys.readouterr().out
    assert code == SOME_KNOWN
    assert f"  {VULNERABLE} " in said
    assert "GHSA-xxxx-yyyy-zzzz: a request can do what it should not (fixed in 99.0)" in said


@pytest.mark.slow
def test_without_a_network_nothing_is_said_to_be_well(capsys: pytest.CaptureFixture[str]) -> None:
    code = main([str(RUNTIME), "--service-url", "http://127.0.0.1:1/"])

    said = capsys.readouterr()
    assert (code, said.out) == (UNKNOWN, "")
    assert said.err.startswith("audit: requirements.lock: nobody tells advisories (")
    assert "needs the network" in said.err


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        pytest.param('{"summary": {"audited_packages": 1}, "vulnerabilities": []}',
                     "only 1 of ", id="not-all"),
        pytest.param('{"results": []}', "not known here", id="another-form"),
        pytest.param("[]", "not known here", id="a-list"),
        pytest.param("", "uv gave no reason", id="nothing"),
    ],
)  # fmt: skip
def test_an_answer_that_is_not_whole_is_no_good_news(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    answer: str,
    said: str,
) -> None:
    program = tmp_path / "uv"
    program.write_text(f"#!/bin/sh\necho '{answer}'\n")
    program.chmod(0o755)
    monkeypatch.setattr(audit, "UV", program)

    assert main([str(RUNTIME)]) == UNKNOWN
    assert said in capsys.readouterr().err


def test_a_program_that_is_not_there_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(audit, "UV", tmp_path / "uv")

    assert main([str(RUNTIME)]) == UNKNOWN
    assert "run make setup" in capsys.readouterr().err

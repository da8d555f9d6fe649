"""The watch over the suite's logs can fail: each way out is tried with a secret of a test.

The inner runs put their secrets together themselves, so that this file's own runs stay clean.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from authz_service.operations.page_tokens import PageTokens
from tests.log_watch import complaint, leaks_in
from tests.marked import BIRTH_DATE, FREE_TEXT, PASSWORD, SECRET_MARK, TOKEN

pytest_plugins = ["pytester"]

ROOT = Path(__file__).resolve().parents[1]
KEY = "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49AgEG"
PAGE_TOKEN = PageTokens(b"k" * 32, "lists").issue(["ana", "VIEW"], [1591012800000000, "rec-1"])

WAYS_OUT = """
import logging, subprocess, sys, threading
import pytest, structlog
from structlog.testing import capture_logs
from typer.testing import CliRunner
import typer

SECRET = "c4" + "nary"
SAYS = [sys.executable, "-c", "import sys; sys.stderr.write('c4' + 'nary')"]

def test_prints(): print(SECRET)
def test_says_on_the_error_stream(): sys.stderr.write(SECRET)
def test_logs_with_a_library(): logging.getLogger("x").warning(SECRET)
def test_logs_an_event(): structlog.get_logger("x").info("done", why=SECRET)
def test_logs_on_a_thread():
    thread = threading.Thread(target=lambda: structlog.get_logger("x").info(SECRET))
    thread.start()
    thread.join()
def test_logs_while_it_captures():
    with capture_logs():
        structlog.get_logger("x").info(SECRET)
def test_runs_a_process(): subprocess.run(SAYS, stderr=subprocess.PIPE)
def test_waits_for_a_process(): subprocess.Popen(SAYS, stderr=subprocess.PIPE).communicate()
def test_runs_a_command():
    app = typer.Typer()
    app.command()(lambda: typer.echo(SECRET))
    CliRunner().invoke(app, [])
def test_writes_a_log(tmp_path): (tmp_path / "service.log").write_text(f"a\\n{SECRET}\\n")
def test_writes_a_journal(tmp_path):
    (tmp_path / "journal").mkdir()
    (tmp_path / "journal" / "segment-00000001.jsonl").write_text(SECRET)
def test_fails_anyway():
    print(SECRET)
    assert 0
"""

INNOCENT = """
import sys
import pytest

def test_is_innocent(tmp_path):
    print("nothing")
    (tmp_path / "service.log").write_text("postgresql://jo:***@db/x")
    (tmp_path / "facts.jsonl").write_text("c4" + "nary")

@pytest.fixture(scope="module")
def shared(tmp_path_factory): return tmp_path_factory.mktemp("service") / "service.log"

def test_before(shared): shared.write_text("good\\n")
def test_leaks(shared):
    with shared.open("a") as log: log.write("c4" + "nary")
    with shared.open("a") as log: log.write(" the end\\n")
def test_after(shared):
    with shared.open("a") as log: log.write("good again\\n")
"""


def inner(pytester: pytest.Pytester, text: str, *options: str) -> pytest.RunResult:
    """Run tests in a process of their own, watched as these are, and their folders as theirs."""
    pytester.makepyfile(test_inner=text)
    pytester.makeconftest((ROOT / "tests" / "conftest.py").read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory(prefix="authz-inner-") as folder:
        return pytester.runpytest_subprocess(
            "--show-capture=no", "--tb=short", "-q", "-p", "no:cacheprovider",
            f"--basetemp={folder}", *options,
        )  # fmt: skip


@pytest.fixture(autouse=True)
def _project_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let inner runs import the project."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


@pytest.mark.slow
def test_every_way_out_fails_the_test_that_took_it(pytester: pytest.Pytester) -> None:
    """A test that passes but lets a secret out ends in an error that names test, place and line."""
    run = inner(pytester, WAYS_OUT)

    run.assert_outcomes(passed=11, failed=1, errors=12)
    run.stdout.fnmatch_lines(
        [
            "test_inner.py::test_prints let out what no log may hold",
            "a secret of a test came out in Captured stdout call:",
            "*test_inner.py::test_logs_an_event let out *",
            "*'why': '[[]...]'*",
            "*test_inner.py::test_writes_a_log let out *",
            "a secret of a test came out in */service.log:",
        ]
    )
    assert SECRET_MARK not in run.stdout.str() + run.stderr.str()


@pytest.mark.slow
def test_a_leak_is_found_in_a_worker_too_and_laid_at_one_door(pytester: pytest.Pytester) -> None:
    """Under several workers as under one; what a shared log held before is no test's fault."""
    run = inner(pytester, INNOCENT, "--numprocesses", "2", "--dist", "loadfile")

    run.assert_outcomes(passed=4, errors=1)
    run.stdout.fnmatch_lines(["*test_inner.py::test_leaks let out *", "*[[]...] the end"])


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        pytest.param(f"password {PASSWORD}", "a secret of a test", id="password"),
        pytest.param(f"token {TOKEN}", "a secret of a test", id="token"),
        pytest.param(KEY, "a private key", id="key"),
        pytest.param(KEY.replace("\n", "\\n").replace("PRI", "EC PRI"), "a private key", id="json"),
        pytest.param("Authorization: Bearer abcdefgh01234567", "a bearer token", id="header"),
        pytest.param("jwt eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhbmEifQ.x", "a signed token", id="jwt"),
        pytest.param("postgresql+psycopg://jo:geheim@db/x", "a password in a URL", id="url"),
    ],
)
@pytest.mark.parametrize("is_log", [True, False])
def test_a_secret_is_recognised_whoever_made_it(line: str, kind: str, *, is_log: bool) -> None:
    (leak,) = leaks_in(f"fine\n{line}\nfine".encode(), "here", is_log=is_log)

    assert leak.kind == kind
    assert leak.line.count("[...]") == 1


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        pytest.param(FREE_TEXT, "free text about a person", id="free-text"),
        pytest.param(BIRTH_DATE, "a birth date", id="date"),
        pytest.param('{"birth_date": null}', "a birth date", id="field"),
        pytest.param(f'{{"page_token":"{PAGE_TOKEN}"}}', "a page token", id="page-token"),
    ],
)
def test_what_a_command_may_print_a_log_may_not_hold(line: str, kind: str) -> None:
    """`authz facts export` is asked for facts; a log is not."""
    assert [leak.kind for leak in leaks_in(line.encode(), "here", is_log=True)] == [kind]
    assert list(leaks_in(line.encode(), "here", is_log=False)) == []


@pytest.mark.parametrize(
    "line",
    [
        "http://127.0.0.1:9464/metrics",
        "postgresql+psycopg://jo:***@db:5432/authz",
        "spiffe://estate/ns/media/sa/gateway",
        "a bearer token from a file",
        "a" * 128,
        "0190163d-8694-739b-aea5-966c26f8ad91",
        "-----BEGIN CERTIFICATE-----\nMIGHAgEAMBMGByqGSM49AgEG",
        "needs a file with BEGIN PRIVATE KEY",
        "sha256:" + "0123456789abcdef" * 4,
    ],
)
def test_what_is_no_secret_is_let_through(line: str) -> None:
    assert list(leaks_in(line.encode(), "here", is_log=True)) == []


def test_a_complaint_tells_a_few_and_counts_the_rest() -> None:
    leaks = list(leaks_in(f"{PASSWORD}\n".encode() * 9, "here", is_log=True))

    said = complaint("t.py::t", leaks)

    assert said.splitlines()[-1] == "and 4 more"
    assert SECRET_MARK not in said

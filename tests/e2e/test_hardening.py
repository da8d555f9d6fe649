"""What is left lying about: files for other users, memory of a crash, keys in an image."""

from __future__ import annotations

import os
import re
import resource
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from typer.testing import CliRunner

from authz_service.cli.verbs import app
from tests.e2e.client import client_of
from tests.e2e.clinic import FACTS
from tests.e2e.crew import await_serving, overview, serving_crew
from tests.service_thread import serving

ROOT = Path(__file__).resolve().parents[2]
CRASH = """
import os, resource, sys
from authz_service.runtime import forbid_core_dumps
if sys.argv[1] == "forbidden":
    forbid_core_dumps()
else:
    soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
child = os.fork()
if not child:
    os.abort()
print(os.WCOREDUMP(os.waitpid(child, 0)[1]))
"""


@pytest.fixture
def usual_umask() -> Iterator[None]:
    """The mask that machines have: everybody may read what a program makes, if it does not care."""
    before = os.umask(0o022)
    yield
    os.umask(before)


def for_others(folder: Path) -> dict[str, str]:
    """Return what others than its owner may do something with in *folder*, and what that is."""
    return {
        str(path.relative_to(folder)): stat.filemode(path.stat().st_mode)
        for path in folder.rglob("*")
        if path.stat().st_mode & 0o077
    }


@pytest.mark.usefixtures("usual_umask")
def test_what_a_service_writes_is_for_its_user_alone(tmp_path: Path) -> None:
    """Registry, journal and decision store say who is whose patient, and who asked about whom."""
    with serving(tmp_path, journal_segment_bytes=1 << 16) as service, client_of(service) as client:
        client.write(FACTS)
        for _ in range(200):
            client.check()

        assert for_others(tmp_path) == {}
        assert len(list((tmp_path / "journal").glob("segment-*"))) > 1
        assert {path.name for path in tmp_path.glob("*.db")} == {"registry.db", "decisions.db"}


@pytest.mark.usefixtures("usual_umask")
def test_an_export_is_for_its_user_alone(tmp_path: Path) -> None:
    """It holds what the registry holds."""
    settings = {"AUTHZ_REGISTRY_URL": f"sqlite:///{tmp_path / 'registry.db'}"}
    world = ROOT / "authz_service" / "demo" / "world.jsonl"
    for words in (["import", str(world), "--actor", "jo"], ["export", str(tmp_path / "out.jsonl")]):
        assert CliRunner().invoke(app, ["facts", *words], env=settings).exit_code == 0

    assert for_others(tmp_path) == {}
    assert (tmp_path / "out.jsonl").stat().st_size > 0


@pytest.mark.slow
@pytest.mark.usefixtures("usual_umask")
def test_no_process_of_a_service_may_leave_its_memory_behind(tmp_path: Path) -> None:
    """Memory holds keys, and facts about patients: of the parent and of every worker."""
    with serving_crew(tmp_path, 2) as service:
        await_serving(service, 2)
        pids = [service.pid, *(worker["pid"] for worker in overview(service))]

        limits = [psutil.Process(pid).rlimit(psutil.RLIMIT_CORE) for pid in pids]

        assert len(limits) == 3
        assert all(max(limit) <= 1 for limit in limits)
        assert set(for_others(tmp_path)) <= {"service.log"}  # the test's own


@pytest.mark.skipif(
    resource.getrlimit(resource.RLIMIT_CORE)[1] == 0, reason="this machine writes no core at all"
)
def test_a_crash_leaves_no_memory_behind(tmp_path: Path) -> None:
    """Where a crash would have left a core, it leaves none."""
    dumped = {
        how: subprocess.run(
            [sys.executable, "-c", CRASH, how], cwd=tmp_path, capture_output=True, text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)}, timeout=60, check=True,
        ).stdout.strip()
        for how in ("usual", "forbidden")
    }  # fmt: skip

    assert dumped["forbidden"] == "False"
    if dumped["usual"] == "False":
        pytest.skip("this machine keeps no core of any program")


def lines_of(name: str) -> list[str]:
    """Return the lines of a file of the project that say something."""
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line.strip() and not line.startswith("#")]


def test_the_image_runs_as_nobody_in_particular() -> None:
    last = "\n".join(lines_of("Dockerfile")).rpartition("FROM ")[2]

    user = re.search(r"^USER (\S+)$", last, re.MULTILINE)
    assert user is not None
    assert user[1] not in {"root", "0"}
    assert last.index("\nUSER ") < last.index("\nENTRYPOINT ")
    assert "-m 0700 /var/lib/authz" in last


def test_the_image_is_made_of_what_is_named_and_holds_no_key() -> None:
    """What is not let in by name stays out; what looks like a key stays out of what is let in."""
    rules = lines_of(".dockerignore")

    assert rules[0] == "*"
    assert {"**/*.pem", "**/*.key", "**/*.db"} <= set(rules[max(
        number for number, rule in enumerate(rules) if rule.startswith("!")) :])  # fmt: skip
    assert not re.search(r"TOKEN|PASSWORD|://[^/]*:[^/]*@", "\n".join(lines_of("Dockerfile")))


def test_a_key_cannot_be_committed_by_accident() -> None:
    assert {"var/", "*.pem", "*.key", ".env"} <= set(lines_of(".gitignore"))

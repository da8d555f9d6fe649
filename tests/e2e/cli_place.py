"""A place for a service in a process of its own, and the command `authz` run there."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from typer.testing import CliRunner, Result

from authz_service.cli.verbs import app
from tests.log_watch import WATCH

AUTHZ = (str(Path(sys.executable).with_name("authz")),)
SHIPPED = Path(__file__).parents[2] / "policies"
CASES = "patients.yaml"


def fact(kind: str, observed_at: str = "2020-06-01T00:00:00Z", /, **entity: Any) -> str:
    """Return one line of the import format, each kind from a system of its own."""
    return json.dumps({kind: entity, "source": f"{kind}-desk", "observed_at": observed_at}) + "\n"


def recording(recording_id: str, owner: str, observed_at: str = "2020-06-01T00:00:00Z") -> str:
    """Return the recording of ana's consultation, as of *owner*."""
    return fact(
        "recording", observed_at, id=recording_id, tenant_id="t", consultation_id="c1",
        owner_id=owner, state="ACTIVE", created_at="2020-06-01T10:10:00Z",
    )  # fmt: skip


FACTS = (
    fact("tenant", id="t", time_zone="UTC")
    + fact("subject", id="ana", tenant_id="t", kind="PATIENT", status="ACTIVE")
    + fact("subject", id="bob", tenant_id="t", kind="PATIENT", status="ACTIVE")
    + fact("consultation", id="c1", tenant_id="t", patient_id="ana",
           started_at="2020-06-01T10:00:00Z")
    + recording("hers", "ana")
    + recording("disputed", "ana")
    + fact("attendance", id="hers", participants=[{"subject_id": "ana", "kind": "PATIENT"}])
    + fact("attendance", id="disputed", participants=[{"subject_id": "ana", "kind": "PATIENT"}])
)  # fmt: skip


@dataclass
class Place:
    """A folder with a registry, a journal and a policy, as the settings name them."""

    folder: Path

    def settings(self) -> dict[str, str]:
        """Return the settings, addresses left to the system's choice."""
        return {
            "AUTHZ_REGISTRY_URL": f"sqlite:///{self.folder / 'registry.db'}",
            "AUTHZ_JOURNAL_DIR": str(self.folder / "journal"),
            "AUTHZ_DECISIONS_URL": f"sqlite:///{self.folder / 'decisions.db'}",
            "AUTHZ_POLICY_DIR": str(self.folder / "policies"),
            "AUTHZ_CALLERS_FILE": str(self.folder / "policies" / "callers.csv"),
            "AUTHZ_INSECURE_LOOPBACK": "1",
            "AUTHZ_LISTEN": "127.0.0.1:0",
            "AUTHZ_HTTP_LISTEN": "127.0.0.1:0",
            "AUTHZ_LOG_FORMAT": "json",
        }

    def environment(self, changes: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return the settings on top of the machine's own environment."""
        own = {name: text for name, text in os.environ.items() if not name.startswith("AUTHZ_")}
        return {**own, **self.settings(), **(changes or {})}

    def run(self, *words: str, **changes: str) -> subprocess.CompletedProcess[str]:
        """Run the installed command to its end; it never shows a stack trace."""
        done = subprocess.run(
            [*AUTHZ, *words], env=self.environment(changes), capture_output=True, text=True,
            timeout=60, check=False,
        )  # fmt: skip
        assert "Traceback" not in done.stderr + done.stdout
        return done


@dataclass
class Served:
    """A running service, and verbs that find it."""

    place: Place
    process: subprocess.Popen[str]
    addresses: dict[str, str]

    def ask(self, *words: str, typed: str | None = None) -> Result:
        """Run a verb in this process, against the service in the other."""
        env = {**self.place.settings(), **self.addresses}
        result = CliRunner().invoke(app, list(words), env=env, input=typed)
        assert "Traceback" not in result.output
        return result

    def load(self, text: str) -> None:
        """Import *text*; what a check may rest on after that is at least as new."""
        assert self.ask("facts", "import", "-", "--actor", "jo", typed=text).exit_code == 0
        time.sleep(0.1)  # twice the staleness bound

    def stop(self) -> int:
        """Tell the service to end; return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=20)


def started(process: subprocess.Popen[str]) -> dict[str, str]:
    """Return the addresses that the service says it serves at."""
    assert process.stderr is not None
    for line in process.stderr:
        WATCH.hear("the log of authz serve", line, is_log=True)
        event = json.loads(line)
        if event["event"] == "service_started":
            return {
                "AUTHZ_LISTEN": f"127.0.0.1:{event['port']}",
                "AUTHZ_HTTP_LISTEN": f"127.0.0.1:{event['http_port']}",
            }
    raise AssertionError(f"the service ended with {process.wait()} before it served")


@contextmanager
def serving(place: Place) -> Iterator[Served]:
    """Run `authz serve` until the block ends."""
    process = subprocess.Popen(
        [*AUTHZ, "serve"], env=place.environment(), stderr=subprocess.PIPE, text=True
    )
    try:
        yield Served(place, process, started(process))
    finally:
        process.kill()
        process.wait()
        assert process.stderr is not None
        WATCH.hear("the log of authz serve", process.stderr.read(), is_log=True)
        process.stderr.close()


def empty_place(folder: Path) -> Place:
    """Return a place with the shipped policy; of its cases, those of patients alone, for speed."""
    shutil.copytree(SHIPPED, folder / "policies")
    for path in (folder / "policies" / "cases").iterdir():
        if path.name != CASES:
            path.unlink()
    return Place(folder)


def made_place(folder: Path) -> Place:
    """Return a place with the shipped policy and the facts of these tests."""
    place = empty_place(folder)
    (folder / "facts.jsonl").write_text(FACTS, encoding="utf-8")
    assert (
        place.run("facts", "import", str(folder / "facts.jsonl"), "--actor", "jo").returncode == 0
    )
    return place

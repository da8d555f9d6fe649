"""The whole service in a process of its own, to be killed, signalled and refused."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.service_thread import SHIPPED_POLICY

COMMAND = [
    sys.executable,
    "-c",
    "from authz_service.cli.main import main; main()",
    "serve",
]
_PATIENCE_SECONDS = 30.0


class ServiceProcess:
    """A running `authz serve`.

    Attributes:
        address: Where gRPC is served.
        http_address: Where HTTP is served.
        log: Where its log goes: standard error, one JSON object a line.
    """

    def __init__(
        self, folder: Path, settings: Mapping[str, str], command: Sequence[str] = ()
    ) -> None:
        self.log = folder / "service.log"
        self.log.touch()
        self._begun_at = self.log.stat().st_size
        with self.log.open("ab") as stream:
            self._process = subprocess.Popen(
                command or COMMAND, env=environment(folder, settings), stderr=stream
            )
        try:
            started = self.await_event("service_started")
        except BaseException:
            self.kill()
            raise
        self.address = f"127.0.0.1:{started['port']}"
        self.http_address = f"127.0.0.1:{started['http_port']}"

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    def events(self, name: str = "") -> list[dict[str, Any]]:
        """Return what this process has logged so far, or the events of one name."""
        with self.log.open("rb") as stream:
            stream.seek(self._begun_at)
            lines = stream.read().split(b"\n")[:-1]
        events = [json.loads(line) for line in lines]
        return [event for event in events if not name or event["event"] == name]

    def await_event(self, name: str) -> dict[str, Any]:
        """Wait for an event to be logged; return the first of that name."""
        waited = threading.Event()
        for _ in range(int(_PATIENCE_SECONDS / 0.02)):
            found = self.events(name)
            if found:
                return found[0]
            if self._process.poll() is not None:
                break
            waited.wait(0.02)
        raise AssertionError(f"{name} was not logged: {self.log.read_text()}")

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        self._process.send_signal(number)

    def wait(self, seconds: float = _PATIENCE_SECONDS) -> int:
        """Wait for the end; return the exit code."""
        return self._process.wait(timeout=seconds)

    def kill(self) -> None:
        """Kill it as `kill -9` does."""
        self._process.kill()
        self._process.wait()


def environment(folder: Path, settings: Mapping[str, str]) -> dict[str, str]:
    """Return an environment that serves on free ports, out of *folder*."""
    inherited = {name: text for name, text in os.environ.items() if not name.startswith("AUTHZ_")}
    return {
        **inherited,
        "AUTHZ_LISTEN": "127.0.0.1:0",
        "AUTHZ_HTTP_LISTEN": "127.0.0.1:0",
        "AUTHZ_REGISTRY_URL": f"sqlite:///{folder / 'registry.db'}",
        "AUTHZ_JOURNAL_DIR": str(folder / "journal"),
        "AUTHZ_DECISIONS_URL": f"sqlite:///{folder / 'decisions.db'}",
        "AUTHZ_POLICY_DIR": str(SHIPPED_POLICY),
        "AUTHZ_CALLERS_FILE": str(SHIPPED_POLICY / "callers.csv"),
        "AUTHZ_INSECURE_LOOPBACK": "1",
        "AUTHZ_LOG_FORMAT": "json",
        **settings,
    }


@contextmanager
def serving_process(
    folder: Path, command: Sequence[str] = (), **settings: str
) -> Iterator[ServiceProcess]:
    """Serve in a process; *settings* are environment variables. It is killed at the end."""
    process = ServiceProcess(folder, settings, command)
    try:
        yield process
    finally:
        process.kill()


def refused_start(folder: Path, command: Sequence[str] = (), **settings: str) -> tuple[int, str]:
    """Start a service that must not start; return its exit code and what it said."""
    ended = subprocess.run(
        command or COMMAND,
        env=environment(folder, settings),
        capture_output=True,
        text=True,
        timeout=_PATIENCE_SECONDS,
        check=False,
    )
    return ended.returncode, ended.stderr + ended.stdout

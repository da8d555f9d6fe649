"""The whole service on a thread of its own, with a real port and a clock that a test can set."""

from __future__ import annotations

import asyncio
import atexit
import shutil
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import uvloop

from authz_service.app import Service
from authz_service.audit.files import Files
from authz_service.settings import load_settings

SHIPPED_POLICY = Path(__file__).resolve().parents[1] / "policies"
SHIPPED_CALLERS_REVISION = sha256((SHIPPED_POLICY / "callers.csv").read_bytes()).hexdigest()


@cache
def untried_policy() -> Path:
    """Return a copy of the shipped policy without its cases: it starts three times as fast."""
    folder = Path(tempfile.mkdtemp(prefix="authz-policy-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    shutil.copytree(
        SHIPPED_POLICY, folder, ignore=shutil.ignore_patterns("cases"), dirs_exist_ok=True
    )
    return folder


class SettableClock:
    """Stands where it was last set; follows the machine until then."""

    def __init__(self) -> None:
        self.instant: datetime | None = None

    def now(self) -> datetime:
        return self.instant or datetime.now(UTC)


class ServiceThread:
    """A running service.

    Attributes:
        address: Where gRPC is served.
        http_address: Where HTTP is served.
        clock: The service's time.
    """

    def __init__(self, settings: Mapping[str, Any], files: Files | None = None) -> None:
        self.clock = SettableClock()
        self._service = Service(load_settings(settings, {}), self.clock, files=files)
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        try:
            self._run(self._service.start())
        except BaseException:
            self._end_loop()
            raise
        self.address = f"127.0.0.1:{self._service.port}"
        self.http_address = f"127.0.0.1:{self._service.http_port}"

    def reload_soon(self) -> None:
        """Do what SIGHUP does."""
        self._loop.call_soon_threadsafe(self._service.reload_soon)

    def stop(self) -> None:
        """Drain."""
        self._run(self._service.drain())
        self._end_loop()

    def _run(self, work: Any) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=60)

    def _end_loop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=10)
        self._loop.close()


@contextmanager
def serving(folder: Path, **settings: Any) -> Iterator[ServiceThread]:
    """Serve on free ports, out of *folder*; *settings* go first.

    The policy is the shipped one without its cases, which are tried elsewhere. What is named
    *files* is no setting: the journal lies on it.
    """
    files: Files | None = settings.pop("files", None)
    chosen = {
        "listen": "127.0.0.1:0",
        "http_listen": "127.0.0.1:0",
        "registry_url": f"sqlite:///{folder / 'registry.db'}",
        "journal_dir": folder / "journal",
        "decisions_url": f"sqlite:///{folder / 'decisions.db'}",
        "policy_dir": untried_policy(),
        "callers_file": SHIPPED_POLICY / "callers.csv",
        "insecure_loopback": True,
        **settings,
    }
    service = ServiceThread(chosen, files)
    try:
        yield service
    finally:
        service.stop()

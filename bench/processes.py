"""The servers that are measured, each a process of its own, and what they cost."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter, sleep
from typing import NamedTuple

import grpc
import psutil
from grpc_health.v1 import health_pb2, health_pb2_grpc

from bench.estate import Estate
from bench.http2 import Address, Peer
from bench.registry import url_of

AUTHZ = Path(sys.executable).with_name("authz")
"""The service's own command, as it is installed."""

_START_SECONDS = 60.0
_STOP_SECONDS = 30.0
_POLL_SECONDS = 0.005
_SAMPLE = re.compile(r"^(\w+)(?:\{([^}]*)\})? (\S+)$", re.MULTILINE)


class ServerError(Exception):
    """A server did not start, or did not end well."""


class Cpu(NamedTuple):
    """CPU time in seconds, in the program and in the kernel."""

    user: float = 0.0
    kernel: float = 0.0

    def since(self, before: Cpu) -> Cpu:
        """Return what came since *before*."""
        return Cpu(self.user - before.user, self.kernel - before.kernel)


@dataclass(slots=True)
class Server:
    """A server under test, with the processes that it has started.

    Attributes:
        address: Where it serves gRPC.
        http_address: Where it serves HTTP; None for the echo.
        folder: Where its journal and log are.
        start_seconds: From the start of the process until it served.
        estate: The certificates by which it is asked; None where it is asked in plaintext.
    """

    popen: subprocess.Popen[str]
    address: Address
    folder: Path
    http_address: Address | None = None
    start_seconds: float = 0.0
    estate: Estate | None = None
    _process: psutil.Process = field(init=False)

    def __post_init__(self) -> None:
        """Watch the process."""
        self._process = psutil.Process(self.popen.pid)

    @property
    def peer(self) -> Peer:
        """How it is asked."""
        return Peer(self.address, self.estate.tls if self.estate else None)

    def channel(self) -> grpc.Channel:
        """Return a channel to it."""
        target = address_text(self.address)
        if self.estate is None:
            return grpc.insecure_channel(target)
        return grpc.secure_channel(target, self.estate.credentials)

    @property
    def cpu_seconds(self) -> float:
        """CPU time so far, all processes and threads together, in seconds.

        Of those that live: a worker that has ended takes its time with it.
        """
        return sum(self.each_cpu_seconds())

    def each_cpu_seconds(self) -> list[float]:
        """Return the CPU time of each process so far, the first of them first, in seconds."""
        found = [one.cpu_times() for one in (self._process, *self._children())]
        return [float(times.user + times.system) for times in found]

    @property
    def resident_bytes(self) -> int:
        """Memory that the processes hold, in bytes, what they share counted for each."""
        return sum(one.memory_info().rss for one in (self._process, *self._children()))

    def _children(self) -> list[psutil.Process]:
        """Return the processes that it has started, in the order of their numbers."""
        return sorted(self._process.children(recursive=True), key=lambda one: one.pid)

    def thread_cpu_seconds(self) -> dict[str, Cpu]:
        """Return the CPU time of its threads so far, by their names."""
        found: dict[str, Cpu] = {}
        for thread in self._process.threads():
            name_file = Path(f"/proc/{self.popen.pid}/task/{thread.id}/comm")
            with suppress(OSError):
                name = name_file.read_text().strip()
                before = found.get(name, Cpu())
                found[name] = Cpu(
                    before.user + thread.user_time, before.kernel + thread.system_time
                )
        return found

    def metric(self, name: str) -> Mapping[str, float]:
        """Return the samples of a metric of the service, by their labels as written."""
        host, port = self.http_address or ("", 0)
        with urllib.request.urlopen(f"http://{host}:{port}/metrics", timeout=10) as answer:
            text = answer.read().decode()
        return {
            match[2] or "": float(match[3]) for match in _SAMPLE.finditer(text) if match[1] == name
        }

    def stop(self) -> None:
        """Ask the process to end, and wait until it has.

        Raises:
            ServerError: It does not, or not well.
        """
        self.popen.terminate()
        try:
            code = self.popen.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            raise ServerError(f"the server of {self.folder} did not drain") from None
        if code and self.http_address:
            raise ServerError(f"the server of {self.folder} ended with {code}")


@contextmanager
def echo(folder: Path, *, workers: int = 1) -> Iterator[Server]:
    """Run the empty echo server, in one process or in *workers* that share its port."""
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "bench.echo_server", str(workers)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as popen:
        line = popen.stdout.readline() if popen.stdout else ""
        server = Server(popen, ("127.0.0.1", int(line)), folder)
        with ending(server):
            yield server


@contextmanager
def service(
    registry: Path,
    folder: Path,
    *,
    settings: Mapping[str, str] | None = None,
    estate: Estate | None = None,
    command: Sequence[str] = (str(AUTHZ), "serve"),
) -> Iterator[Server]:
    """Run the service on *registry*, its journal and its log in *folder*, with no decision store.

    In plaintext, unless there is an *estate* of callers with certificates.

    Raises:
        ServerError: It does not serve.
    """
    folder.mkdir(parents=True, exist_ok=True)
    address, http_address = free_address(), free_address()
    environment = {name: value for name, value in os.environ.items() if name[:6] != "AUTHZ_"}
    environment |= {
        "AUTHZ_INSECURE_LOOPBACK": "1",
        "AUTHZ_REGISTRY_URL": url_of(registry),
        "AUTHZ_JOURNAL_DIR": str(folder / "journal"),
        "AUTHZ_LISTEN": address_text(address),
        "AUTHZ_HTTP_LISTEN": address_text(http_address),
        "AUTHZ_DECISIONS_URL": "none",
        "AUTHZ_LOG_FORMAT": "json",
        **(estate.settings if estate else {}),
        **(settings or {}),
    }
    with (folder / "log.jsonl").open("ab") as log:
        begun = perf_counter()
        with subprocess.Popen(command, env=environment, stderr=log, text=True) as popen:
            server = Server(popen, address, folder, http_address, estate=estate)
            with ending(server):
                wait_until_serving(server)
                server.start_seconds = perf_counter() - begun
                yield server


@contextmanager
def ending(server: Server) -> Iterator[None]:
    """Stop *server* at the end; kill it where something failed."""
    try:
        yield
    except BaseException:
        server.popen.kill()
        raise
    server.stop()


def free_address() -> Address:
    """Return a loopback address that nobody listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
    return "127.0.0.1", port


def address_text(address: Address) -> str:
    """Return *address* as settings write it."""
    return f"{address[0]}:{address[1]}"


def wait_until_serving(server: Server) -> None:
    """Return when the service says that it is SERVING.

    Raises:
        ServerError: It has ended, or takes too long.
    """
    give_up = perf_counter() + _START_SECONDS
    while not _accepts(server.address):
        if server.popen.poll() is not None or perf_counter() > give_up:
            raise ServerError(f"the service did not start; see {server.folder / 'log.jsonl'}")
        sleep(_POLL_SECONDS)
    with server.channel() as channel:
        health = health_pb2_grpc.HealthStub(channel)
        while not _serves(health):
            if server.popen.poll() is not None or perf_counter() > give_up:
                raise ServerError(f"the service does not serve; see {server.folder / 'log.jsonl'}")
            sleep(_POLL_SECONDS)


def _accepts(address: Address) -> bool:
    """Whether somebody listens on *address*."""
    with suppress(OSError), socket.create_connection(address, timeout=1):
        return True
    return False


def _serves(health: health_pb2_grpc.HealthStub) -> bool:
    """Whether the service says that it is SERVING."""
    with suppress(grpc.RpcError):
        answer = health.Check(health_pb2.HealthCheckRequest(), timeout=1)
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)
    return False

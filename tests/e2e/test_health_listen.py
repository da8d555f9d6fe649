"""The health address beside a port that wants certificates: for probes that have none."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from typer.testing import CliRunner

from authz_service.app import StartError
from authz_service.cli.verbs import app
from tests.certificates import Estate
from tests.e2e.breakage import locked
from tests.e2e.client import client_of, eventually, failing
from tests.e2e.clinic import FACTS, patient
from tests.e2e.crew import await_serving, kill_workers, serving_crew
from tests.e2e.scraping import Page, fetched, free_port
from tests.service_process import ServiceProcess, environment, serving_process
from tests.service_thread import serving, untried_policy

SERVING, NOT_SERVING = Page(200, "SERVING\n"), Page(503, "NOT_SERVING\n")
UP = health_pb2.HealthCheckResponse.SERVING
DOWN = health_pb2.HealthCheckResponse.NOT_SERVING


class Probe:
    """Asks one health address, each time on a connection of its own."""

    def __init__(self, port: int) -> None:
        self.address = f"127.0.0.1:{port}"

    @property
    def settings(self) -> dict[str, str]:
        """What a process needs to be probed here, and to start fast."""
        return {"AUTHZ_HEALTH_LISTEN": self.address, "AUTHZ_POLICY_DIR": str(untried_policy())}

    def lives(self) -> Page:
        """Ask as a liveness probe does."""
        return fetched(f"http://{self.address}/livez")

    def serves(self) -> Page:
        """Ask as a readiness probe does."""
        return fetched(f"http://{self.address}/readyz")

    def status(self, service: str = "") -> Any:
        """Ask over gRPC."""
        request = health_pb2.HealthCheckRequest(service=service)
        options = [("grpc.use_local_subchannel_pool", 1)]
        with grpc.insecure_channel(self.address, options) as channel:
            stub: Any = health_pb2_grpc.HealthStub(channel)
            return stub.Check(request, timeout=5).status

    def said(self) -> tuple[Page, Page, Any]:
        """Ask all three."""
        return self.lives(), self.serves(), self.status()


@contextmanager
def listened(probe: Probe) -> Iterator[list[int]]:
    """Note every new answer to a readiness probe meanwhile."""
    seen: list[int] = []
    enough = threading.Event()

    def look() -> None:
        while not enough.wait(0.03):
            status = probe.serves().status
            if status and seen[-1:] != [status]:
                seen.append(status)

    looking = threading.Thread(target=look)
    looking.start()
    try:
        yield seen
    finally:
        enough.set()
        looking.join()


def test_probes_are_answered_beside_a_port_that_wants_certificates(
    tmp_path: Path, estate: Estate
) -> None:
    port = free_port()
    with serving(tmp_path, **estate.settings, health_listen=f"0.0.0.0:{port}") as service:
        probe = Probe(port)
        found = probe.said()
        by_name = probe.status("authz_service.api.v1.RecordingAccessService")
        env = {"AUTHZ_LISTEN": service.address, "AUTHZ_HEALTH_LISTEN": f"0.0.0.0:{port}"}
        asked = [
            CliRunner().invoke(app, ["healthcheck", *words], env={**env, **changes})
            for words, changes in (
                ((), {}),
                (("--address", probe.address), {"AUTHZ_HEALTH_LISTEN": None}),
                (("--health-address", probe.address), estate.client_files()),
            )
        ]
        with client_of(service) as client:
            refused = failing(client.check, timeout=5).code

    assert found == (SERVING, SERVING, UP)
    assert by_name == UP
    assert [(each.exit_code, each.stdout) for each in asked] == [(0, "SERVING\n")] * 3
    assert refused == "UNAVAILABLE"


def test_it_is_off_unless_it_is_set(tmp_path: Path) -> None:
    with serving(tmp_path) as service:
        http = fetched(f"http://{service.http_address}/livez")

    assert http.status == 404


def test_a_port_that_is_taken_is_no_start(tmp_path: Path) -> None:
    port = free_port()

    with (
        serving(tmp_path / "first", health_listen=f"127.0.0.1:{port}"),
        pytest.raises(StartError, match=rf"AUTHZ_HEALTH_LISTEN=127\.0\.0\.1:{port} .* in use"),
        serving(tmp_path / "second", health_listen=f"127.0.0.1:{port}"),
    ):
        pass


def test_it_lives_and_does_not_serve_while_the_registry_is_away(tmp_path: Path) -> None:
    registry, port = tmp_path / "registry.db", free_port()
    with serving(tmp_path, health_listen=f"127.0.0.1:{port}"):
        probe = Probe(port)
        before = probe.said()
        registry.rename(tmp_path / "away.db")
        eventually(lambda: probe.serves() == NOT_SERVING)
        meanwhile = probe.said()
        (tmp_path / "away.db").rename(registry)
        eventually(lambda: probe.serves() == SERVING)

    assert before == (SERVING, SERVING, UP)
    assert meanwhile == (SERVING, NOT_SERVING, DOWN)


def drained(service: ServiceProcess, probe: Probe, folder: Path) -> tuple[Page, Page, Any]:
    """End a service; return what probes are told while a write makes the drain last."""
    with client_of(service) as client:
        client.write(FACTS)
        with locked(f"sqlite:///{folder / 'registry.db'}"):
            writing = threading.Thread(target=client.write, args=([patient("new")],))
            writing.start()
            time.sleep(0.3)
            service.signal(signal.SIGTERM)
            eventually(lambda: probe.serves() == NOT_SERVING)
            said = probe.said()
        writing.join()
    assert service.wait() == 0
    return said


@pytest.mark.slow
def test_it_answers_first_and_last(tmp_path: Path) -> None:
    """Probes see the whole life, in order."""
    probe = Probe(free_port())
    with listened(probe) as seen, serving_process(tmp_path, **probe.settings) as service:
        eventually(lambda: probe.serves() == SERVING)
        draining = drained(service, probe, tmp_path)
        gone = probe.lives()

    assert seen == [503, 200, 503]
    assert draining == (SERVING, NOT_SERVING, DOWN)
    assert gone.status == 0


@pytest.mark.slow
def test_of_several_workers_one_is_enough_from_first_to_last(tmp_path: Path) -> None:
    """Both are killed in one go where none is to be left: one that was killed comes back."""
    probe = Probe(free_port())
    with listened(probe) as seen, serving_crew(tmp_path, 2, **probe.settings) as service:
        await_serving(service, 2)
        whole = probe.said()
        kill_workers(service, 1)
        half = probe.said()
        kill_workers(service, 1, 2)
        none = probe.said()
        await_serving(service, 2)
        again = probe.said()
        draining = drained(service, probe, tmp_path)
        gone = probe.lives()

    assert whole == half == again == (SERVING, SERVING, UP)
    assert none == draining == (SERVING, NOT_SERVING, DOWN)
    assert seen == [503, 200, 503, 200, 503]
    assert gone.status == 0


@pytest.mark.slow
def test_the_containers_probe_asks_it(tmp_path: Path, estate: Estate) -> None:
    """`authz healthcheck` as the image runs it: no flags, and no certificate of its own."""
    probe = Probe(free_port())
    settings = {**probe.settings, **estate.environment}
    command = [str(Path(sys.executable).with_name("authz")), "healthcheck"]
    with serving(tmp_path, **estate.settings, health_listen=probe.address) as service:
        there = environment(tmp_path, {**settings, "AUTHZ_LISTEN": service.address})
        serving_ = subprocess.run(command, env=there, capture_output=True, text=True, check=False)
    gone = subprocess.run(command, env=there, capture_output=True, text=True, check=False)

    assert (serving_.returncode, serving_.stdout) == (0, "SERVING\n")
    assert gone.returncode == 11

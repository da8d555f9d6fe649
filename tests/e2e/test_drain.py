"""SIGTERM: health first, then the calls in flight, then the journal; and exit code 0."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2

from authz_service.audit.verify import read_records, verify_journal
from tests.e2e.breakage import locked, silent
from tests.e2e.client import ALLOWED, Client, client_of, eventually, failing
from tests.e2e.clinic import FACTS, patient
from tests.service_process import serving_process
from tests.wire import failure_of

pytestmark = pytest.mark.slow


def decided_ids(journal: Path) -> set[object]:
    """Return the ids of all decisions recorded, in a journal that was closed in order."""
    report = verify_journal(journal)
    assert (report.fault, report.torn) == (None, ())
    return {record.get("decision_id") for record in read_records(journal)}


def test_a_call_that_waits_for_the_registry_is_answered_before_the_end(
    either_url: str, tmp_path: Path
) -> None:
    """A write waits for somebody else's, on either database."""
    with (
        serving_process(tmp_path, AUTHZ_REGISTRY_URL=either_url) as service,
        client_of(service) as client,
        client_of(service) as latecomer,
        ThreadPoolExecutor(2) as threads,
    ):
        client.write(FACTS)
        latecomer.serving()
        watch = client.health.Watch(health_pb2.HealthCheckRequest(), timeout=20)
        statuses = [next(watch).status]
        with locked(either_url):
            waiting: Future[Any] = threads.submit(client.write, [patient("new")])
            await_started(client, "WriteFacts", 2)
            service.signal(signal.SIGTERM)
            statuses += [response.status for response in ended(watch)]
            is_waiting = not waiting.done()
            late = threads.submit(failing, latecomer.check, timeout=5)
        answer = waiting.result(timeout=10)
        code = service.wait(seconds=10)

    assert statuses == [
        health_pb2.HealthCheckResponse.SERVING,
        health_pb2.HealthCheckResponse.NOT_SERVING,
    ]
    assert is_waiting
    assert answer.written == 1
    assert late.result().code == "UNAVAILABLE"
    assert code == 0
    events = [event["event"] for event in service.events()]
    assert events[-2:] == ["service_draining", "service_stopped"]
    assert verify_journal(tmp_path / "journal").fault is None
    assert [r["kind"] for r in read_records(tmp_path / "journal")].count("FACTS_WRITTEN") == 2


def await_started(client: Client, rpc: str, count: int) -> None:
    """Wait until so many calls have arrived."""
    eventually(
        lambda: (
            sum(
                value
                for name, value in client.metrics().items()
                if name.startswith("grpc_server_started_total") and f'"{rpc}"' in name
            )
            >= count
        )
    )


def test_under_load_no_answer_is_lost_and_nobody_is_left_hanging(tmp_path: Path) -> None:
    told: list[str] = []
    codes: set[str] = set()
    busy = threading.Event()

    def ask(client: Client) -> None:
        while True:
            try:
                told.append(client.check(timeout=10).decision_id)
            except grpc.RpcError as error:
                codes.add(failure_of(error).code)
                return
            if len(told) > 300:
                busy.set()

    with (
        serving_process(tmp_path) as service,
        client_of(service) as client,
        ThreadPoolExecutor(8) as threads,
    ):
        client.write(FACTS)
        asking: list[Future[None]] = [threads.submit(ask, client) for _ in range(8)]
        assert busy.wait(timeout=20)
        begun = time.monotonic()
        service.signal(signal.SIGTERM)
        code = service.wait()
        seconds = time.monotonic() - begun
        for each in asking:
            each.result(timeout=15)

    assert code == 0
    assert seconds < 5
    assert codes <= {"UNAVAILABLE", "CANCELLED"}
    assert set(told) <= decided_ids(tmp_path / "journal")


def test_a_watcher_of_health_does_not_hold_the_service_back(tmp_path: Path) -> None:
    with serving_process(tmp_path) as service, client_of(service) as client:
        watch = client.health.Watch(health_pb2.HealthCheckRequest(), timeout=30)
        next(watch)

        begun = time.monotonic()
        service.signal(signal.SIGTERM)
        told = [response.status for response in ended(watch)]
        code = service.wait()

    assert told == [health_pb2.HealthCheckResponse.NOT_SERVING]
    assert code == 0
    assert time.monotonic() - begun < 5


def ended(stream: Any) -> list[Any]:
    """Return what else a stream brings until it ends."""
    responses = []
    with contextlib.suppress(grpc.RpcError):
        responses.extend(iter(stream))
    return responses


@pytest.mark.postgres
def test_a_registry_that_never_answers_does_not_hold_the_service_back(
    postgres_url: str, tmp_path: Path
) -> None:
    with (
        serving_process(
            tmp_path, AUTHZ_REGISTRY_URL=postgres_url, AUTHZ_DRAIN_SECONDS="1"
        ) as service,
        client_of(service) as client,
    ):
        client.write(FACTS)
        assert client.outcome() == ALLOWED
        with silent(postgres_url):
            client.await_health(serving=False)
            begun = time.monotonic()
            service.signal(signal.SIGTERM)
            code = service.wait()
            seconds = time.monotonic() - begun

    assert code == 0
    assert seconds < 6
    assert decided_ids(tmp_path / "journal")

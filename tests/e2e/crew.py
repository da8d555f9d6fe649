"""A service of several workers: its processes, its journals, and a client that keeps asking."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import socket
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import psutil

from authz_service.api.v1 import recording_access_pb2 as pb
from authz_service.api.v1 import recording_access_pb2_grpc as grpc_api
from authz_service.audit.verify import read_records, verify_journal
from tests.e2e.client import client_of, eventually, outcome_of, question
from tests.service_process import ServiceProcess, serving_process
from tests.wire import fill

SUBJECTS = {"mara": "ALLOW", "ines": "DENY"}
"""Who asks for rec-mara, alone or in a list of mara's recordings, and the right answer."""


def overview(service: ServiceProcess) -> list[dict[str, Any]]:
    """Return what the parent says of each worker."""
    with urllib.request.urlopen(f"http://{service.http_address}/workers", timeout=5) as page:
        workers: list[dict[str, Any]] = json.load(page)["workers"]
    return workers


def await_serving(service: ServiceProcess, workers: int) -> None:
    """Wait until so many workers serve."""
    eventually(lambda: [x["state"] for x in overview(service)].count("serving") == workers, 30)


def restarts(service: ServiceProcess, reason: str) -> float:
    """Return how often a worker was started again for that reason, as the parent counts."""
    with client_of(service) as client:
        return client.metrics()[f'authz_worker_restarts_total{{reason="{reason}"}}']


def kill_workers(service: ServiceProcess, *numbers: int) -> None:
    """Kill those of the workers that run as `kill -9` does; return once the parent has noticed.

    One that is between two lives has no process; as 0 it would be everybody who runs this test.
    """
    found = overview(service)
    pids = [each["pid"] for each in found if each["number"] in numbers and each["pid"]]
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: not {worker["pid"] for worker in overview(service)} & set(pids), 10)


def free_ports(count: int) -> int:
    """Return the first of so many ports in a row that nobody uses now."""
    while True:
        with socket.create_server(("127.0.0.1", 0)) as first:
            port = int(first.getsockname()[1])
            try:
                for other in range(port + 1, port + count):
                    socket.create_server(("127.0.0.1", other)).close()
            except OSError:
                continue
            return port


@contextmanager
def serving_crew(folder: Path, workers: int = 2, **settings: str) -> Iterator[ServiceProcess]:
    """Serve with workers; at the end none of them is left."""
    with serving_process(folder, AUTHZ_WORKERS=str(workers), **settings) as service:
        tree = psutil.Process(service.pid)
        try:
            yield service
        finally:
            members = tree.children(recursive=True) if tree.is_running() else []
            service.kill()
            _, left = psutil.wait_procs(members, timeout=20)
            assert not left


def is_alive(pid: int) -> bool:
    """Whether there is such a process; one that has ended and was not waited for is not."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def journals(folder: Path) -> list[Path]:
    """Return the journals of the workers."""
    return sorted((folder / "journal").glob("worker-*"))


def decisions(folder: Path) -> list[dict[str, Any]]:
    """Return what is in all journals of decisions, lists and their rows, by when it was judged."""
    records: list[dict[str, Any]] = []
    for journal in journals(folder):
        assert verify_journal(journal).fault is None
        for found in read_records(journal):
            record: dict[str, Any] = dict(found)
            if record["kind"] == "LISTED":
                record["effect"] = _effect_of_page(record["rows"])
            if "effect" in record:
                records.append(record)
    return sorted(records, key=lambda record: str(record["evaluated_at"]))


Answer = tuple[str, str, str]
"""Decision id, subject and effect."""


@dataclass
class Told:
    """What clients were told.

    Attributes:
        answers: Decision id, subject and effect of every answer.
        failures: How often a call failed, and was made again.
    """

    answers: list[Answer] = field(default_factory=list)
    failures: int = 0


class Load:
    """Clients that ask and ask again, each on a connection of its own, which may go anywhere."""

    def __init__(self, address: str, clients: int = 12) -> None:
        self.told = Told()
        self._address = address
        self._stopping = asyncio.Event()
        self._wanted, self._enough = 0, asyncio.Event()
        self._asking = [asyncio.create_task(self._ask(n)) for n in range(clients)]

    async def until(self, answers: int) -> None:
        """Wait for so many more answers."""
        self._wanted, self._enough = len(self.told.answers) + answers, asyncio.Event()
        await asyncio.wait_for(self._enough.wait(), timeout=30)

    async def stop(self) -> Told:
        """Ask no more; return what was told."""
        self._stopping.set()
        await asyncio.gather(*self._asking)
        return self.told

    async def _ask(self, number: int) -> None:
        """Ask on one connection after the other."""
        subject = list(SUBJECTS)[number % len(SUBJECTS)]
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0)]
        while not self._stopping.is_set():
            async with grpc.aio.insecure_channel(self._address, options) as channel:
                stub: Any = grpc_api.RecordingAccessServiceStub(channel)
                for _ in range(random.randint(5, 40)):
                    if self._stopping.is_set() or not await self._ask_once(stub, subject):
                        break

    async def _ask_once(self, stub: Any, subject: str) -> bool:
        """Ask in one of three ways; whether there was an answer."""
        try:
            said = await random.choice((_checked, _checked_twice, _listed))(stub, subject)
        except grpc.aio.AioRpcError as error:
            if error.code() not in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}:
                raise
            self.told.failures += 1
            await asyncio.sleep(0.02)
            return False
        self.told.answers += said
        if len(self.told.answers) >= self._wanted:
            self._enough.set()
        return True


async def _checked(stub: Any, subject: str) -> list[Answer]:
    """Ask one question."""
    answer = await stub.CheckAccess(question(subject, "rec-mara"), timeout=10)
    return [(answer.decision_id, subject, outcome_of(answer)[0])]


async def _checked_twice(stub: Any, subject: str) -> list[Answer]:
    """Ask two questions in one call."""
    checks = [question(subject, "rec-mara")] * 2
    answer = await stub.BatchCheckAccess(pb.BatchCheckAccessRequest(checks=checks), timeout=10)
    found = [each.answer for each in answer.results]
    return [(each.decision_id, subject, outcome_of(each)[0]) for each in found]


async def _listed(stub: Any, subject: str) -> list[Answer]:
    """Ask for a list of mara's recordings; the page itself is an answer, and so is each row."""
    request = pb.ListRecordingsRequest(patient_id="mara")
    fill(request, {"subject": {"id": subject}, "context": {"purpose_of_use": "PATRQT"}})
    page = await stub.ListRecordings(request, timeout=10)
    rows = [(row.decision_id, subject, "ALLOW") for row in page.recordings]
    return [(page.decision_id, subject, _effect_of_page(len(rows))), *rows]


def _effect_of_page(rows: int) -> str:
    """Return what a page says of the one recording that may be on it."""
    return "ALLOW" if rows else "DENY"


def wrong(told: Told) -> list[Answer]:
    """Return the answers that are wrong."""
    return [answer for answer in told.answers if SUBJECTS[answer[1]] != answer[2]]


def unrecorded(told: Told, folder: Path) -> set[Answer]:
    """Return the answers that are in no journal."""
    recorded = {
        (str(record["decision_id"]), str(record["subject_id"]), str(record["effect"]))
        for record in decisions(folder)
    }
    return set(told.answers) - recorded

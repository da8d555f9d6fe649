"""Calls are given up while others share the channel: no answer ever belongs to another question.

AUTHZ_TEST_TRIALS makes more trials, and makes them on PostgreSQL as well.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import psutil
import pytest

from authz_service.audit.verify import read_records, verify_journal
from tests.e2e.client import client_of, eventually
from tests.e2e.clinic import FACTS
from tests.e2e.interleaving import Seen, Told, Trials, World
from tests.postgres import new_database
from tests.service_process import ServiceProcess, serving_process
from tests.service_thread import serving

pytestmark = pytest.mark.slow

LONG = os.environ.get("AUTHZ_TEST_TRIALS", "")
TRIALS = int(LONG or 5000)
PLACES = [pytest.param("sqlite", id="sqlite")]
if LONG:
    PLACES.append(pytest.param("postgresql", id="postgresql", marks=pytest.mark.postgres))
SMALLEST_CACHE = "100"


def settled(service: ServiceProcess) -> bool:
    """Whether no call is in hand, and every call that has arrived is counted as ended."""
    with client_of(service) as client:
        metrics = client.metrics()
    arrived = _sum(metrics, "grpc_server_started_total")
    ended = _sum(metrics, "grpc_server_handled_total")
    return metrics["authz_calls_in_flight"] == 0 and arrived == ended


def _sum(metrics: dict[str, float], name: str) -> float:
    """Return the sum of all samples of a metric."""
    return sum(value for sample, value in metrics.items() if sample.startswith(name + "{"))


def connections(service: ServiceProcess) -> int:
    """Return how many connections to the gRPC port are open."""
    port = int(service.address.rpartition(":")[2])
    sockets = psutil.Process(service.pid).net_connections(kind="tcp")
    return sum(each.laddr.port == port and bool(each.raddr) for each in sockets)


def recorded(journal: Path) -> set[Told]:
    """Return every decision of a journal, as clients are told it."""
    return {
        (
            str(record["decision_id"]),
            str(record["subject_id"]),
            str(record.get("recording_id") or ""),
            str(record.get("effect") or "ALLOW"),
        )
        for record in read_records(journal)
        if "decision_id" in record
    }


@pytest.mark.timeout(max(120, TRIALS // 20))
@pytest.mark.parametrize("place", PLACES)
def test_no_answer_belongs_to_another_question_and_nothing_is_left_of_a_call(
    place: str, tmp_path: Path
) -> None:
    """Checks, batches, lists and writes, a cache that is too small, and a world that grows."""
    url = new_database() if place == "postgresql" else f"sqlite:///{tmp_path / 'registry.db'}"
    settings = {"AUTHZ_REGISTRY_URL": url, "AUTHZ_FACTS_CACHE_ENTRIES": SMALLEST_CACHE}
    with serving_process(tmp_path, **settings) as service:
        with client_of(service) as client:
            revision = client.write(FACTS).facts_revision
            world = World(revision)
            for facts in world.first_facts():
                world.revision = client.write(facts).facts_revision

        seen: Seen = asyncio.run(Trials(service.address, world, seed=20200609).run(TRIALS))

        assert seen.wrong == []
        assert sum(seen.ended.values()) >= TRIALS * 0.99
        assert seen.ended["answered"] > TRIALS * 0.3
        assert seen.ended["CANCELLED"] > TRIALS * 0.1
        assert seen.ended["DEADLINE_EXCEEDED"] > TRIALS * 0.02
        eventually(lambda: settled(service))
        eventually(lambda: connections(service) == 0)
        assert [event for event in service.events() if event["level"] != "info"] == []
        assert len(seen.told) == len(set(seen.told))
        assert set(seen.told) <= recorded(tmp_path / "journal")
        assert verify_journal(tmp_path / "journal").fault is None


def test_no_task_is_left_of_calls_that_were_given_up(tmp_path: Path) -> None:
    with serving(tmp_path, facts_cache_entries=100) as service, client_of(service) as client:
        world = World(client.write(FACTS).facts_revision)
        for facts in world.first_facts():
            world.revision = client.write(facts).facts_revision
        loop: Any = service._loop
        before = len(asyncio.all_tasks(loop))

        seen = asyncio.run(Trials(service.address, world, seed=7).run(400))

        assert seen.wrong == []
        assert seen.ended["CANCELLED"] > 40
        eventually(lambda: len(asyncio.all_tasks(loop)) <= before)

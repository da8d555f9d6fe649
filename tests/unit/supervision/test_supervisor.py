"""Workers are started again, told to end, or killed; with processes that play the part."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from authz_service.operations.reload_policy import ReloadOrder
from authz_service.policy.bundle import BundleFiles
from authz_service.supervision import coordination
from authz_service.supervision.standing import Limits, Pauses
from authz_service.supervision.supervisor import Supervisor, WorkerRefusedError
from authz_service.supervision.worker import Worker
from authz_service.telemetry.parent_metrics import ParentMetrics

SCRIPT = Path(__file__).with_name("scripted_worker.py")
FILES = BundleFiles(())
QUICK = Limits(ping=0.02, silent=0.6, first_word=0.6, start=20)


@pytest.fixture(autouse=True)
def one_revision(monkeypatch: pytest.MonkeyPatch) -> None:
    """The scripted workers are at no revision when they open, and so is the bundle."""
    monkeypatch.setattr(coordination, "revision_of", lambda _files: "")


def spawn(_number: int) -> tuple[subprocess.Popen[bytes], socket.socket]:
    """Start the script."""
    ours, theirs = socket.socketpair()
    with theirs:
        return subprocess.Popen([sys.executable, "-S", str(SCRIPT)], stdin=theirs.fileno()), ours


@asynccontextmanager
async def supervised(*parts: str, limits: Limits = QUICK) -> AsyncIterator[Supervisor]:
    """Lend a supervisor of workers that play *parts*; end them all."""
    supervisor = Supervisor(
        spawn,
        lambda number: {"part": parts[number - 1]},
        lambda: FILES,
        limits=limits,
        pauses=Pauses(first=0.01, last=0.04),
    )
    try:
        yield supervisor
    finally:
        await supervisor.stop(5)


async def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds."""
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110  # a process's doing is not an event of ours
            await asyncio.sleep(0.01)


async def test_workers_are_started_and_ended_together() -> None:
    async with supervised("serve", "serve", limits=Limits()) as supervisor:
        before = supervisor.is_serving
        await supervisor.start(2)
        assert supervisor.is_serving
        serving = supervisor.states
        found = supervisor.overview()["workers"]

        await supervisor.stop(5)

    assert not before
    assert serving == {"starting": 0, "serving": 2, "not_serving": 0, "restarting": 0}
    assert [(x["number"], x["state"], x["http_port"]) for x in found] == [
        (1, "serving", 5),
        (2, "serving", 5),
    ]
    assert supervisor.states["serving"] == 0
    assert supervisor.reasons == {"worker-1 worker": "ended", "worker-2 worker": "ended"}
    assert sum(supervisor.restarts.values()) == 0


async def test_a_worker_that_was_killed_is_started_again() -> None:
    async with supervised("serve", "serve", limits=Limits()) as supervisor:
        await supervisor.start(2)
        pid = supervisor.overview()["workers"][0]["pid"]

        os.kill(pid, signal.SIGKILL)
        await until(lambda: supervisor.restarts["killed"] == 1)
        assert supervisor.is_serving
        await until(lambda: supervisor.states["serving"] == 2)

        first = supervisor.overview()["workers"][0]
        assert first["pid"] != pid
        assert first["restarts"] == 1
        page = ParentMetrics(supervisor).render().decode()
        assert 'authz_worker_restarts_total{reason="killed"} 1.0' in page
        assert 'authz_workers{state="serving"} 2.0' in page
        assert "authz_serving 1.0" in page


@pytest.mark.parametrize(
    ("part", "why"),
    [
        ("refuse", "it is damaged"),
        ("die", "worker 2 ended before it served"),
        ("mute", "worker 2 ended before it served"),
    ],
)
async def test_who_cannot_start_at_first_ends_the_start(part: str, why: str) -> None:
    async with supervised("serve", part) as supervisor:
        with pytest.raises(WorkerRefusedError, match=why):
            await supervisor.start(2)


async def test_who_says_nothing_any_more_is_killed_and_started_again() -> None:
    async with supervised("deaf") as supervisor:
        await supervisor.start(1)

        await until(lambda: supervisor.restarts["hung"] >= 1)


@pytest.mark.parametrize("part", ["unfit", "unfit-deaf"])
async def test_who_cannot_answer_while_another_can_is_started_anew(part: str) -> None:
    """Its reasons are told while the other serves, and it keeps no share of the port."""
    limits = Limits(ping=0.02, unfit=0.2, end=0.2)
    async with supervised("serve", part, limits=limits) as supervisor:
        await supervisor.start(2)
        await until(lambda: "worker-2 journal" in supervisor.reasons)
        assert supervisor.is_serving
        assert supervisor.restarts["unfit"] == 0

        await until(lambda: supervisor.restarts["unfit"] >= 1)

        assert supervisor.overview()["workers"][0]["restarts"] == 0


async def test_where_nobody_can_answer_nobody_is_started_anew() -> None:
    async with supervised("unfit", "unfit", limits=Limits(ping=0.02, unfit=0.1)) as supervisor:
        await supervisor.start(2)
        await until(lambda: supervisor.states["not_serving"] == 2)
        await asyncio.sleep(0.4)

        assert not supervisor.is_serving
        assert sum(supervisor.restarts.values()) == 0


async def test_a_reload_asked_for_during_the_start_follows_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    orders = []

    async def noted(_self: Any, order: ReloadOrder) -> Any:
        orders.append(order.trigger)
        return {"error": ""}

    monkeypatch.setattr(Supervisor, "reload", noted)
    async with supervised("serve", limits=Limits()) as supervisor:
        supervisor.reload_soon()
        assert orders == []
        await supervisor.start(1)
        await until(lambda: bool(orders))
        supervisor.reload_soon()
        await until(lambda: len(orders) == 2)

    assert orders == ["signal", "signal"]


async def test_a_reload_asked_for_while_all_are_started_anew_follows_that() -> None:
    async with supervised("serve", limits=Limits()) as supervisor:
        await supervisor.start(1)
        os.kill(supervisor.overview()["workers"][0]["pid"], signal.SIGKILL)
        await until(lambda: supervisor.restarts["killed"] == 1)

        with capture_logs() as logs:
            supervisor.reload_soon()
            await until(lambda: any(line["event"] == "policy_coordinated" for line in logs))

    assert [line["event"] for line in logs].count("policy_not_reloaded") == 0


async def test_who_does_not_end_in_time_is_killed() -> None:
    async with supervised("deaf", limits=Limits()) as supervisor:
        await supervisor.start(1)
        pid = supervisor.overview()["workers"][0]["pid"]

        await supervisor.stop(0.2)

    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_a_stop_during_the_start_ends_it() -> None:
    async with supervised("mute", limits=Limits()) as supervisor:
        starting = asyncio.create_task(supervisor.start(1))
        await until(lambda: supervisor.overview()["workers"] != [])

        await supervisor.stop(0.1)
        await starting

    assert supervisor.states["serving"] == 0


async def test_who_is_told_to_end_before_it_is_there_ends() -> None:
    async def admit(_worker: Worker, _revision: str) -> None:
        return

    async def nothing(_order: ReloadOrder) -> dict[str, Any]:
        return {}

    begin = {"number": 1, "settings": {"part": "serve"}}
    worker = Worker(1, begin, on_opened=admit, on_reload=nothing)
    worker.drain()

    async with asyncio.timeout(10):
        assert await worker.live(spawn) == 0


async def test_nothing_is_started_after_a_stop() -> None:
    async with supervised("serve") as supervisor:
        await supervisor.stop(1)

        await supervisor.start(1)

        assert supervisor.overview()["workers"] == []


async def test_a_reload_says_what_became_of_it() -> None:
    async with supervised("serve", limits=Limits()) as supervisor:
        early: Any = await supervisor.reload(ReloadOrder("signal"))
        await supervisor.start(1)
        said: Any = await supervisor.reload(ReloadOrder("signal"))
        assert supervisor.revision == ""

    assert early["error"] == "unready"
    assert (said["error"], said["outcome"]) == ("", "unchanged")


def test_pauses_double_up_to_a_bound_and_begin_anew_after_a_long_life() -> None:
    pauses = Pauses()
    found, pause = [], 0.0
    for lived in (1, 1, 1, 1, 1, 1, 1, 1, 60, 1):
        pause = pauses.after(pause, lived)
        found.append(pause)

    assert found == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 0.1, 0.2]

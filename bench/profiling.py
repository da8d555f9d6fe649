"""`python -m bench --profile`: where the time of a CheckAccess goes, told in three ways."""

from __future__ import annotations

import io
import os
import pstats
import shutil
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, sleep
from typing import NamedTuple

from bench.measure import Ledger, Sample, Series
from bench.processes import Cpu, Server, ServerError, echo, service
from bench.progress import say
from bench.questions import CHECK_PATH, Questions, check_echo, check_of
from bench.registry import registry_of
from bench.results import SHARE_IN_MEMORY, Plan
from bench.run import revision_of
from bench.stages import Stage, stages
from bench.warming import warm_up

_TOP = 45
_WRITING_SECONDS = 30.0


class _Written(NamedTuple):
    """What a journal has written."""

    records: float
    batches: float

    def since(self, before: _Written) -> _Written:
        """Return what came since *before*."""
        return _Written(self.records - before.records, self.batches - before.batches)


@dataclass(frozen=True, slots=True)
class _Seen:
    """What was seen under load.

    Attributes:
        floor: What the echo takes.
        whole: What a CheckAccess takes.
        floor_threads: Which of the echo's threads took it; Python's all bear one name there.
        threads: Which of the service's threads took it.
        written: What its journal wrote meanwhile.
        profile: What the profiler saw, later.
    """

    floor: Sample
    whole: Sample
    floor_threads: Mapping[str, Cpu]
    threads: Mapping[str, Cpu]
    written: _Written
    profile: Path


def profile(plan: Plan, directory: Path) -> str:
    """Return a report on CheckAccess with facts in memory.

    Raises:
        ServerError: A server does not start, serve or end.
        LoadError: A server does not answer at all.
    """
    registry = registry_of(plan.large, directory)
    folder = directory / "latest"
    shutil.rmtree(folder, ignore_errors=True)
    found = _under_load(plan, registry, folder)
    say("each stage by itself")
    alone = stages(registry, plan.large, SHARE_IN_MEMORY, folder / "stages")
    echoed = found.floor.rate * plan.seconds * 2
    return "\n\n".join(
        (
            _measured(found),
            _by_thread(found.floor_threads, echoed, "the echo"),
            _by_thread(found.threads, found.written.records, "the service"),
            _by_stage(alone),
            _by_function(found.profile),
        )
    )


def _under_load(plan: Plan, registry: Path, folder: Path) -> _Seen:
    """Return what echo and service take under load."""
    seen = folder / "check_access.pstats"
    questions = Questions(plan.large, SHARE_IN_MEMORY)
    command = (sys.executable, "-m", "bench.profiled_service", str(seen))
    with echo(folder / "echo") as floor, service(registry, folder, command=command) as server:
        nothing = Series(
            "echo", floor, "/echo.Echo/Echo", questions.warm(), check_echo, Ledger()
        )  # fmt: skip
        check = check_of(revision_of(registry))
        checks = Series("check", server, CHECK_PATH, questions.warm(), check, Ledger())
        warm_up(server, plan.large, checks)
        for series in (nothing, checks):
            series.run(plan.seconds)
        before, written = server.thread_cpu_seconds(), _written(server)
        sample = checks.run(plan.seconds * 2)
        written = _written(server).since(written)
        threads = {
            name: taken.since(before.get(name, Cpu()))
            for name, taken in server.thread_cpu_seconds().items()
        }
        idle = floor.thread_cpu_seconds()
        floor_sample = nothing.run(plan.seconds * 2)
        of_floor = {
            name: taken.since(idle.get(name, Cpu()))
            for name, taken in floor.thread_cpu_seconds().items()
        }
        _profiled(server, checks, plan.seconds, seen)
    return _Seen(floor_sample, sample, of_floor, threads, written, seen)


def _profiled(server: Server, checks: Series, seconds: float, seen: Path) -> None:
    """Load the service while its profiler watches.

    Raises:
        ServerError: It wrote no profile.
    """
    os.kill(server.popen.pid, signal.SIGUSR1)
    checks.run(seconds)
    os.kill(server.popen.pid, signal.SIGUSR2)
    give_up = perf_counter() + _WRITING_SECONDS
    while not seen.exists() or not seen.stat().st_size:
        if perf_counter() > give_up:
            raise ServerError("the service wrote no profile")
        sleep(0.1)
    sleep(0.5)


def _written(server: Server) -> _Written:
    """Return what the journal has written so far."""
    records, batches = (
        server.metric(f"authz_journal_written_{what}_total")[""] for what in ("records", "batches")
    )
    return _Written(records, batches)


def _measured(found: _Seen) -> str:
    """Say what is to be explained."""
    floor, whole, written = found.floor, found.whole, found.written
    return (
        "CPU time of the server for one call, without a profiler:\n"
        f"  {floor.cpu_microseconds:7.1f} µs  echo with nothing in it ({floor.rate:,.0f}/s)\n"
        f"  {whole.cpu_microseconds:7.1f} µs  CheckAccess, facts in memory ({whole.rate:,.0f}/s);"
        f" {written.records / written.batches:.1f} decisions a journal batch\n"
        f"  {floor.cpu_microseconds / whole.cpu_microseconds:7.0%}     of a CheckAccess is what the"
        " echo takes: grpcio, its threads, the event loop, the kernel"
    )


def _by_thread(threads: Mapping[str, Cpu], calls: float, title: str) -> str:
    """Say which threads took it."""
    lines = [
        f"  {sum(taken) / calls * 1e6:7.1f} µs  {name},"
        f" {taken.kernel / calls * 1e6:.1f} µs of it in the kernel"
        for name, taken in sorted(threads.items(), key=lambda item: -sum(item[1]))
        if sum(taken) / calls * 1e6 >= 0.5
    ]
    return "\n".join([f"By thread of {title}, for one call:", *lines])


def _by_stage(alone: Sequence[Stage]) -> str:
    """Say what each stage takes by itself."""
    lines = [f"  {one.microseconds:7.1f} µs  {one.name} ({one.thread})" for one in alone]
    return "\n".join(["CPU time of each stage by itself, for one call:", *lines])


def _by_function(seen: Path) -> str:
    """Say what the profiler saw on the event loop's thread."""
    text = io.StringIO()
    stats = pstats.Stats(str(seen), stream=text).strip_dirs()
    stats.sort_stats("tottime").print_stats(_TOP)
    return f"As cProfile saw the event loop's thread, which it slows down:\n{text.getvalue()}"

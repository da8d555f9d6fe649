"""Where the time of a CheckAccess goes: each stage by itself, with the service's own objects.

A profiler makes what it watches slower, calls of Python functions most of all. So each stage is
run alone over real values, and what the whole service takes is measured beside it, without one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from statistics import median
from time import perf_counter_ns, process_time
from typing import Any

import uvloop

from authz_service.api.v1 import recording_access_pb2 as pb
from authz_service.app import SOFTWARE
from authz_service.audit.chain import Position, chained_batch
from authz_service.audit.encoding import line_encoder
from authz_service.audit.journal import FileJournal, OnWritten
from authz_service.audit.opening import open_journal
from authz_service.audit.segment import Origin
from authz_service.clocks import SystemClock
from authz_service.facts.cache import FactsCache
from authz_service.identity.caller_rules import LOOPBACK
from authz_service.operations.check_access import CheckAccess
from authz_service.operations.ports import FactsQuestion
from authz_service.operations.records import CallContext, DecisionRecord
from authz_service.pdp.decide import decide
from authz_service.pdp.facts import Facts
from authz_service.pdp.model import AccessRequest, Decision
from authz_service.runtime import new_id
from authz_service.server.convert import request_from_proto, response_to_proto
from authz_service.telemetry.decision_lines import DecisionLines
from authz_service.telemetry.metrics import Metrics
from bench.estate import estate_in
from bench.measure import IN_FLIGHT
from bench.questions import Questions
from bench.registry import url_of
from bench.stage_callers import letting_in
from bench.stage_objects import Objects, warm_objects
from bench.world import World

_CALLS = 5_000
_ROUNDS = 5


@dataclass(frozen=True, slots=True)
class Stage:
    """What a stage takes for one call, in microseconds of CPU time.

    Attributes:
        name: What is done.
        microseconds: What it takes.
        thread: On which thread the service does it.
    """

    name: str
    microseconds: float
    thread: str = "event loop"


def stages(registry: Path, world: World, share: float, folder: Path) -> list[Stage]:
    """Return what each stage takes on *registry*; *folder* takes journals and log lines."""
    folder.mkdir(parents=True, exist_ok=True)
    messages = [question.message for question in islice(Questions(world, share).warm(), _CALLS)]
    return uvloop.run(_stages(url_of(registry), messages, folder))


async def _stages(url: str, messages: Sequence[bytes], folder: Path) -> list[Stage]:
    """Measure on one event loop, as the service does."""
    bench = await warm_objects(url, messages)
    with (folder / "lines.jsonl").open("w") as stream:
        lines = DecisionLines(readable=False, stream=stream)
        let_in = letting_in(estate_in(folder / "estate"))
        known = "caller known by certificate, and what it may (without gRPC's part)"
        found = [Stage(known, _microseconds(let_in, bench.requests))]
        found += [*_alone(bench), *_recorded(bench, lines)]
        for name, on_written in (("without", None), ("with", lines)):
            journal = _journal(folder / name, on_written)
            found.append(await _appended(bench, journal, f"journal, {name} log lines"))
            await journal.close()
        journal = _journal(folder / "whole", lines)
        found.append(await _whole(bench, journal))
        await journal.close()
    await bench.cache.close()
    return found


def _alone(bench: Objects) -> list[Stage]:
    """Return the stages that need nobody else, in the order of a check."""
    rule, cache, clock, metrics = bench.rule, bench.cache, SystemClock(), bench.metrics
    ruleset, context = bench.policy.ruleset, CallContext(LOOPBACK, new_id())
    now = clock.now()
    judged = list(zip(bench.requests, bench.facts, strict=True))
    own = [(request, known) for request, known in judged if _is_own(known, request)]
    others = [(request, known) for request, known in judged if not _is_own(known, request)]

    def judge(one: tuple[AccessRequest, Facts]) -> Decision:
        return decide(one[0], one[1], ruleset, now)

    timed: list[tuple[str, Callable[[Any], object], Sequence[Any]]] = [
        ("two ids drawn (request, decision)", lambda _: (new_id(), new_id()), bench.requests),
        ("message read (protobuf)", pb.CheckAccessRequest.FromString, bench.messages),
        ("message read and checked", lambda m: request_from_proto(_read(m), rule), bench.messages),
        ("facts from memory", lambda r: _cached(cache, r), bench.requests),
        ("clock", lambda _: clock.now(), bench.requests),
        ("decided, own recording", judge, own),
        ("decided, another's recording", judge, others),
        (
            "record made",
            lambda one: DecisionRecord(
                "id", now, context, one.request, one.decision, "revision", 1, 1
            ),
            bench.records,
        ),
        ("decision counted", lambda one: _count(metrics, one), bench.records),
        (
            "answer made and written",
            lambda one: response_to_proto(one, rule).SerializeToString(),
            bench.records,
        ),
    ]
    return [Stage(name, _microseconds(work, values)) for name, work, values in timed]


def _recorded(bench: Objects, lines: DecisionLines) -> list[Stage]:
    """Return what is done with a record, on either thread."""
    encoded = line_encoder(SOFTWARE)
    records = [bench.records[at : at + IN_FLIGHT] for at in range(0, _CALLS, IN_FLIGHT)]
    batches = [[encoded((one,)) for one in batch] for batch in records]
    return [
        Stage("record encoded", _microseconds(lambda one: encoded((one,)), bench.records)),
        Stage(
            f"{IN_FLIGHT} lines chained (SHA-256), each",
            _microseconds(lambda batch: chained_batch(Position(), batch, len(batch)), batches)
            / IN_FLIGHT,
            "journal",
        ),
        Stage(f"{IN_FLIGHT} log lines, each", _microseconds(lines, records) / IN_FLIGHT, "journal"),
    ]


async def _appended(bench: Objects, journal: FileJournal, name: str) -> Stage:
    """Return what an append takes from the call until it is awaited, both threads together."""

    async def append(number: int) -> None:
        await journal.append((bench.records[number],))

    return Stage(f"append to the {name}", await _in_flight(append), "both")


async def _whole(bench: Objects, journal: FileJournal) -> Stage:
    """Return what the operation takes: all but the edge."""
    check = CheckAccess(
        bench.policy,
        bench.cache,
        journal,
        clock=SystemClock(),
        observer=bench.metrics,
        new_id=new_id,
    )
    context = CallContext(LOOPBACK, new_id())

    async def ask(number: int) -> None:
        request = bench.requests[number]
        await check(request, context, at_least=0, started_ns=perf_counter_ns())

    return Stage("the operation whole, without the edge", await _in_flight(ask), "both")


async def _in_flight(work: Callable[[int], Awaitable[None]]) -> float:
    """Return the CPU time, in microseconds, of *work* for each call, many at the same time."""

    async def keep_on(numbers: range) -> None:
        for number in numbers:
            await work(number)

    found = []
    for _ in range(_ROUNDS):
        begun = process_time()
        async with asyncio.TaskGroup() as group:
            for first in range(IN_FLIGHT):
                _ = group.create_task(keep_on(range(first, _CALLS, IN_FLIGHT)))
        found.append((process_time() - begun) / _CALLS * 1e6)
    return float(median(found))


def _microseconds(work: Callable[[Any], object], values: Sequence[Any]) -> float:
    """Return the CPU time of *work* for each of *values*, in microseconds."""
    found = []
    for _ in range(_ROUNDS):
        begun = process_time()
        for value in values:
            work(value)
        found.append((process_time() - begun) / len(values) * 1e6)
    return float(median(found))


def _read(message: bytes) -> pb.CheckAccessRequest:
    """Return *message* read."""
    return pb.CheckAccessRequest.FromString(message)


def _cached(cache: FactsCache, request: AccessRequest) -> Facts | None:
    """Return the facts of *request* as a check gets them."""
    return cache.cached(FactsQuestion(request.subject_id, request.recording_id), 0)


def _count(metrics: Metrics, record: DecisionRecord) -> None:
    """Count a decision as the service does."""
    metrics.decided(record.decision.effect, record.decision.reason, "VIEW", 0.0001)


def _is_own(facts: Facts, request: AccessRequest) -> bool:
    """Whether the recording is the subject's own."""
    return facts.patient is not None and facts.patient.subject.id == request.subject_id


def _journal(directory: Path, on_written: OnWritten | None) -> FileJournal:
    """Return a new journal."""
    return open_journal(directory, Origin(SystemClock(), SOFTWARE), on_written=on_written)

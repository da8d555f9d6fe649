"""Load on one service after the other, one for each size, all on one PostgreSQL.

Every kind of question goes through all sizes before the next has its turn, every other round
backwards, so that what disturbs the machine disturbs all sizes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from statistics import median
from typing import NamedTuple

from bench.http2 import Question
from bench.lists import LIST_PATH
from bench.load import run_load
from bench.measure import Ledger, Series
from bench.processes import Server, service
from bench.progress import say
from bench.questions import BATCH_PATH, CHECK_PATH
from bench.scale import asking
from bench.scale.asking import PAGE, CheckOf
from bench.scale.database import Postgres
from bench.scale.registries import Registry
from bench.scale.samples import CACHED_OF_FIVE, Sample, Size, mixed, sample_of

COLD, SHARED = "cold", "shared"
_FIRST_SECONDS = 3600.0


class Rpc(NamedTuple):
    """An RPC that is measured.

    Attributes:
        title: What it is called.
        path: Where it is.
        check_of: What is right.
        in_flight: How many calls are on the way at once: what they need together fits the cache.
        decisions: How many decisions a call asks for.
    """

    title: str
    path: str
    check_of: CheckOf
    in_flight: int
    decisions: int = 1


RPC_KINDS = {
    "check": Rpc("CheckAccess", CHECK_PATH, asking.check_of, 16),
    "batch": Rpc(
        f"BatchCheckAccess of {PAGE}, decisions", BATCH_PATH, asking.batch_check_of, 4, PAGE
    ),
    "list": Rpc(f"ListRecordings, pages of {PAGE}", LIST_PATH, asking.list_check_of, 4),
    "subjects": Rpc("ListSubjects", asking.SUBJECTS_PATH, asking.subjects_check_of, 16),
}
"""What is measured, by a short name."""


class Key(NamedTuple):
    """Which measurement: the RPC, cold or with shares cached, the size, one at a time or not."""

    rpc: str
    manner: str
    recordings: int
    alone: bool


@dataclass(slots=True)
class Measured:
    """One measurement.

    Attributes:
        series: The load.
        database_microseconds: CPU time of PostgreSQL for each decision, slice by slice.
        cached: Which share of the recordings asked for was in memory, slice by slice.
    """

    series: Series
    database_microseconds: list[float] = field(default_factory=list)
    cached: list[float] = field(default_factory=list)

    def count(self, seconds: float, postgres: Postgres) -> None:
        """Run a slice that counts."""
        hits, misses = _asked_of_cache(self.series.server)
        cpu = postgres.cpu_seconds()
        before = self.series.ledger.answers
        self.series.count(seconds)
        answers = (self.series.ledger.answers - before) * self.series.decisions
        self.database_microseconds.append((postgres.cpu_seconds() - cpu) / max(1, answers) * 1e6)
        hits_after, misses_after = _asked_of_cache(self.series.server)
        asked = hits_after - hits + misses_after - misses
        self.cached.append((hits_after - hits) / asked if asked else 0.0)

    @property
    def microseconds(self) -> float:
        """CPU time of service and PostgreSQL together for each decision: the median."""
        own = [sample.cpu_microseconds for sample in self.series.samples]
        return float(
            median(one + other for one, other in zip(own, self.database_microseconds, strict=True))
        )


@dataclass(frozen=True, slots=True)
class Pace:
    """How long it is measured.

    Attributes:
        rounds: How often each is measured.
        seconds: How long a slice is with calls in flight.
        alone_seconds: How long a slice is with one call at a time.
    """

    rounds: int
    seconds: float
    alone_seconds: float


@dataclass(slots=True)
class Findings:
    """What was measured.

    Attributes:
        measured: Each measurement.
        kinds: Which RPCs were measured, by their short names.
        ledgers: What the service of each size answered.
        first_milliseconds: How long the first answers about facts took that nobody had asked for
            since the registry was loaded or the machine started, by size.
    """

    measured: dict[Key, Measured] = field(default_factory=dict)
    kinds: list[str] = field(default_factory=list)
    ledgers: dict[int, Ledger] = field(default_factory=dict)
    first_milliseconds: dict[int, list[float]] = field(default_factory=dict)


def measure(registries: Sequence[Registry], size: Size, pace: Pace, folder: Path) -> Findings:
    """Measure each of *registries*, in order of size; the services' journals and logs in *folder*.

    Raises:
        ServerError: A service does not start, serve or end.
        LoadError: A service does not answer at all.
    """
    findings = Findings()
    postgres = registries[0].postgres
    with ExitStack() as stack:
        for registry in registries:
            number = registry.world.recordings
            settings = {
                "AUTHZ_REGISTRY_URL": registry.url,
                "AUTHZ_FACTS_CACHE_ENTRIES": str(size.cache_entries),
            }
            server = stack.enter_context(
                service(Path(), folder / f"service-{number}", settings=settings)
            )
            _prepare(findings, registry, size, server)
        _rounds(findings, pace, postgres)
    return findings


def _prepare(findings: Findings, registry: Registry, size: Size, server: Server) -> None:
    """Ask everything of one registry once, and put together what is measured on it."""
    number, revision = registry.world.recordings, registry.revision
    say(f"asking about {number:,} recordings for the first time")
    sample = sample_of(registry.world, size, PAGE)
    ledger = findings.ledgers[number] = Ledger()
    load = run_load(
        server.peer, CHECK_PATH, asking.once(sample), in_flight=1, seconds=_FIRST_SECONDS
    )
    ledger.take_calls(load.calls, asking.check_of(revision))
    findings.first_milliseconds[number] = [call.seconds * 1000 for call in load.calls]
    findings.kinds = list(RPC_KINDS)
    for kind in findings.kinds:
        rpc = RPC_KINDS[kind]
        for manner in (COLD, SHARED):
            questions = _questions(kind, manner, registry, sample)
            for alone in (False, True):
                findings.measured[Key(kind, manner, number, alone)] = Measured(
                    Series(
                        rpc.title,
                        server,
                        rpc.path,
                        questions,
                        rpc.check_of(revision),
                        ledger,
                        rpc.decisions,
                        in_flight=1 if alone else rpc.in_flight,
                    )
                )


def _questions(kind: str, manner: str, registry: Registry, sample: Sample) -> Iterator[Question]:
    """Return what is asked, again and again."""
    cold = manner == COLD
    if kind == "list":
        pages = (
            cycle(sample.walked_lists) if cold else mixed(sample.cached_lists, sample.walked_lists)
        )
        return asking.lists(pages, _circle(len(sample.walked_lists), cold=cold))
    asked = cycle(sample.walked) if cold else mixed(sample.cached, sample.walked)
    number = _circle(len(sample.walked), cold=cold)
    if kind == "batch":
        return asking.batches(asked, number)
    if kind == "subjects":
        return asking.subjects(registry.world, asked, number)
    return asking.singles(asked, number)


def _circle(walked: int, *, cold: bool) -> int:
    """Return after how many questions all of the *walked* ones have come up."""
    return walked if cold else walked * 5 // (5 - CACHED_OF_FIVE)


def _rounds(findings: Findings, pace: Pace, postgres: Postgres) -> None:
    """Load the services in turn, each slice after a shorter one that does not count."""
    keys = sorted(findings.measured, key=lambda key: (key.alone, key.rpc, key.manner))
    for done in range(pace.rounds):
        for key in keys if done % 2 == 0 else reversed(keys):
            seconds = pace.alone_seconds if key.alone else pace.seconds
            findings.measured[key].series.run(seconds / 4)
            findings.measured[key].count(seconds, postgres)
        say(f"round {done + 1} of {pace.rounds}")


def _asked_of_cache(server: Server) -> tuple[float, float]:
    """Return how many recordings were found in memory so far, and how many were not."""
    hits = server.metric("authz_facts_cache_hits_total").get('kind="recording"', 0.0)
    misses = server.metric("authz_facts_cache_misses_total").get('kind="recording"', 0.0)
    return hits, misses

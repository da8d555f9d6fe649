"""Slices of load: what each brought, what it cost, and whether every answer was right."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import nan
from statistics import median

from bench.http2 import Question
from bench.load import CONNECTIONS, Call, run_load
from bench.processes import Server
from bench.questions import Check, Checked

IN_FLIGHT = 64
"""How many calls are on the way at once."""

_SHOWN = 5


@dataclass(slots=True)
class Ledger:
    """What one server answered.

    Attributes:
        decision_ids: Every decision that an answer named.
        answers: How many answers were checked.
        problems: What was wrong with some of them, the first few.
        wrong: How many were wrong or missing.
    """

    decision_ids: list[str] = field(default_factory=list)
    answers: int = 0
    problems: list[str] = field(default_factory=list)
    wrong: int = 0

    def take_calls(self, calls: Sequence[Call], check: Check) -> None:
        """Check the answer of each of *calls*."""
        for call in calls:
            self.take(check(call))

    def take(self, found: Checked) -> None:
        """Count one answer that was checked."""
        self.answers += 1
        self.decision_ids.extend(found.decision_ids)
        if found.problem:
            self.wrong += 1
            self.problems = [*self.problems, found.problem][:_SHOWN]


@dataclass(frozen=True, slots=True)
class Sample:
    """What one slice showed.

    Attributes:
        rate: Decisions (of the echo: answers) a second.
        cpu_microseconds: CPU time of the server for each, in microseconds.
        server_busy: CPU time of the server over time; 1 is one core.
        generator_busy: The same of the load generator.
        half_milliseconds: Latency of a call that half of them stayed within.
        most_milliseconds: Latency that 99 of 100 stayed within.
    """

    rate: float
    cpu_microseconds: float
    server_busy: float
    generator_busy: float
    half_milliseconds: float
    most_milliseconds: float


@dataclass(slots=True)
class Series:
    """One kind of load on one server, slice after slice.

    Attributes:
        title: What is measured.
        server: On whom.
        path: The RPC.
        questions: What is asked.
        check: What is right.
        ledger: Where answers are counted.
        decisions: How many decisions a call asks for.
        connections: Over how many connections.
        in_flight: How many calls are on the way at once.
        samples: One for each slice that counts.
    """

    title: str
    server: Server
    path: str
    questions: Iterator[Question]
    check: Check
    ledger: Ledger
    decisions: int = 1
    connections: int = CONNECTIONS
    in_flight: int = IN_FLIGHT
    samples: list[Sample] = field(default_factory=list)

    def run(self, seconds: float) -> Sample:
        """Load the server for *seconds*; return what that showed, all answers checked.

        Raises:
            LoadError: The server does not answer at all.
        """
        before = self.server.cpu_seconds
        load = run_load(
            self.server.peer,
            self.path,
            self.questions,
            in_flight=self.in_flight,
            seconds=seconds,
            connections=self.connections,
        )
        cpu = self.server.cpu_seconds - before
        self.ledger.take_calls(load.calls, self.check)
        in_time = sorted(call.seconds for call in load.calls if call.in_time)
        if not in_time:
            return Sample(0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
        return Sample(
            rate=len(in_time) * self.decisions / seconds,
            cpu_microseconds=cpu / (len(load.calls) * self.decisions) * 1e6,
            server_busy=cpu / seconds,
            generator_busy=load.own_cpu_seconds / seconds,
            half_milliseconds=in_time[len(in_time) // 2] * 1000,
            most_milliseconds=in_time[int(len(in_time) * 0.99)] * 1000,
        )

    def count(self, seconds: float) -> None:
        """Run a slice that counts."""
        self.samples.append(self.run(seconds))

    def median(self, name: str) -> float:
        """Return the median of one attribute of the samples."""
        return float(median(getattr(sample, name) for sample in self.samples))


@dataclass(frozen=True, slots=True)
class Ratio:
    """How two series that were measured in turn compare, in three ways.

    Attributes:
        of_medians: The median rates, one over the other.
        of_rounds: The median of what each round showed.
        by_cpu: The same by CPU time, the other over the one.
    """

    of_medians: float
    of_rounds: float
    by_cpu: float


def ratio(one: Series, other: Series) -> Ratio:
    """Return how many times the rate of *other* that of *one* is."""
    rounds = [
        times(mine.rate, its.rate) for mine, its in zip(one.samples, other.samples, strict=True)
    ]
    return Ratio(
        times(one.median("rate"), other.median("rate")),
        float(median(rounds)),
        times(other.median("cpu_microseconds"), one.median("cpu_microseconds")),
    )


def times(one: float, other: float) -> float:
    """Return how many times *other* goes into *one*; not a number where a slice showed nothing."""
    return one / other if other else nan


def alternate(series: list[Series], *, rounds: int, seconds: float) -> Iterator[int]:
    """Run a slice of each of *series* in turn, *rounds* times, every other time backwards.

    Yields the number of rounds that are done, after each.
    """
    for number in range(rounds):
        for one in series if number % 2 == 0 else reversed(series):
            one.count(seconds)
        yield number + 1

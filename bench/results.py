"""What a run is to measure, and what it showed."""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import median

from bench.cerbos import AuditFinding
from bench.journals import JournalFinding
from bench.lists import Walk
from bench.measure import Ledger, Series
from bench.policies import Reloads, Verdicts
from bench.processes import Cpu
from bench.shipping import Shipped
from bench.world import World

BATCH = 50
"""How many questions the measured batches have."""
SHARE_IN_MEMORY = 0.1
"""Which share of a registry's recordings is the working set that is held in memory."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How much to measure.

    Attributes:
        large: The registry that is asked about.
        small: The registry that it is compared with.
        share_beside: Which share of the large one is the working set beside Cerbos.
        may_install: Whether npm may be asked for Cerbos.
        rounds: How many slices each load gets.
        seconds: How long a slice is.
        shipped: How many records are shipped to see how fast that is.
        starts: How often the service is started to see how long that takes.
        reloads: How often the policy is read to see how long that takes.
        verdicts: Over how many verdicts one is measured.
    """

    large: World
    small: World
    share_beside: float
    may_install: bool
    rounds: int
    seconds: float
    shipped: int
    starts: int
    reloads: int
    verdicts: int


FULL = Plan(
    World(200_000, busy=20_000, frequent=500),
    World(200),
    share_beside=0.01,
    may_install=True,
    rounds=9,
    seconds=2.0,
    shipped=200_000,
    starts=5,
    reloads=9,
    verdicts=100_000,
)
QUICK = Plan(
    World(2_000, busy=1_000, frequent=200),
    World(200),
    share_beside=0.1,
    may_install=False,
    rounds=2,
    seconds=0.3,
    shipped=5_000,
    starts=1,
    reloads=1,
    verdicts=5_000,
)
SMOKE = Plan(
    World(1_000, busy=200, frequent=100),
    World(200),
    share_beside=0.1,
    may_install=False,
    rounds=1,
    seconds=0.15,
    shipped=1_000,
    starts=1,
    reloads=1,
    verdicts=500,
)


@dataclass(slots=True)
class Memory:
    """What the service holds, in bytes and in recordings."""

    at_start: int = 0
    warm: int = 0
    after: int = 0
    recordings: int = 0


@dataclass(slots=True)
class Results:
    """Everything that one run showed.

    Attributes:
        plan: What was measured.
        series: What was measured under load, by a short name.
        ledgers: What each server answered.
        hits: Which share of the recordings asked for was in memory, by the same name.
        threads: CPU time of the service's threads while facts were in memory, in seconds.
        memory: What the service held.
        starts: How long starts took, in seconds, with an empty journal.
        start_again: The same with the journal of this run.
        journals: What became of the answers, by server.
        walks: What the pages of the busy clinician and of the frequent patient took.
        shipped: How fast a journal came into each store.
        spread: Which share of the work each of two workers did.
        audit: What became of Cerbos's answers.
        left_out: What was not measured, and why.
        problems: Everything that was wrong.
    """

    plan: Plan
    series: dict[str, Series] = field(default_factory=dict)
    ledgers: dict[str, Ledger] = field(default_factory=dict)
    hits: dict[str, float] = field(default_factory=dict)
    threads: dict[str, Cpu] = field(default_factory=dict)
    memory: Memory = field(default_factory=Memory)
    starts: list[float] = field(default_factory=list)
    start_again: float = 0.0
    verdicts: Verdicts | None = None
    reloads: Reloads | None = None
    journals: dict[str, JournalFinding] = field(default_factory=dict)
    walks: tuple[Walk, Walk] | None = None
    shipped: list[Shipped] = field(default_factory=list)
    spread: list[float] = field(default_factory=list)
    audit: AuditFinding | None = None
    left_out: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def start_seconds(self) -> float:
        """How long a start takes."""
        return float(median(self.starts))

"""What was found, as two tables: what size costs, and what loading took."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import nan
from statistics import median

from bench.measure import Series, ratio
from bench.report import grid
from bench.scale.loading import Load
from bench.scale.measuring import COLD, RPC_KINDS, SHARED, Findings, Key, Measured

MOST_GROWTH = 1.2
"""How many times the time of the smallest size any size may take."""
LEAST_RATE = 20_000.0
"""How many facts a second an import should bring."""
MANNERS = {COLD: "cold", SHARED: "equal shares cached"}
_MEGABYTE = 1e6


@dataclass(frozen=True, slots=True)
class Growth:
    """How a measurement grows from the smallest size to another.

    Attributes:
        of_medians: The median rate there, over the median rate here.
        of_rounds: The median of what each round showed.
        by_cpu: CPU time of service and PostgreSQL for each decision, here over there.
    """

    of_medians: float
    of_rounds: float
    by_cpu: float


def growth_of(small: Measured, large: Measured) -> Growth:
    """Return how many times the time of *small* each of *large* takes."""
    found = ratio(small.series, large.series)
    cpu = large.microseconds / small.microseconds if small.microseconds else nan
    return Growth(found.of_medians, found.of_rounds, cpu)


def curves(findings: Findings, sizes: Sequence[int]) -> dict[str, list[tuple[float, float]]]:
    """Return the growth by size of each measurement under load."""
    found = {}
    for kind, manner in _kinds(findings):
        measured = [findings.measured[Key(kind, manner, size, alone=False)] for size in sizes]
        points = [
            (float(size), growth_of(measured[0], each).of_medians)
            for size, each in zip(sizes, measured, strict=True)
        ]
        found[f"{RPC_KINDS[kind].title}, {MANNERS[manner]}"] = points
    return found


def missed(findings: Findings, sizes: Sequence[int]) -> int:
    """Return how many measurements grow too much."""
    return sum(
        max(times for _size, times in points) > MOST_GROWTH
        for points in curves(findings, sizes).values()
    )


def growth_table(findings: Findings, sizes: Sequence[int]) -> str:
    """Return what each measurement gave at each size, and how it grows."""
    headings = ("Measurement", *(f"{size:,}" for size in sizes), "Growth", "Target", "Met")
    cells = [
        line
        for kind, manner in _kinds(findings)
        for line in (
            _under_load(findings, sizes, kind, manner),
            _alone(findings, sizes, kind, manner),
        )
    ]
    cells.append(_first(findings, sizes))
    return grid(headings, cells)


def load_table(loads: Mapping[int, Load], sizes_bytes: Mapping[int, int]) -> str:
    """Return what loading each size took."""
    headings = (
        "Recordings", "Facts", "Facts a second", "Importer's memory", "Killed at", "Database",
        "Answers meanwhile",
    )  # fmt: skip
    return grid(headings, [_loaded(load, sizes_bytes[size]) for size, load in loads.items()])


def _kinds(findings: Findings) -> Iterator[tuple[str, str]]:
    """Yield what was measured, in the order of the table."""
    measured = {(key.rpc, key.manner) for key in findings.measured}
    return (
        (kind, manner) for kind in RPC_KINDS for manner in MANNERS if (kind, manner) in measured
    )


def _under_load(
    findings: Findings, sizes: Sequence[int], kind: str, manner: str
) -> tuple[str, ...]:
    """Return the row of a measurement with calls in flight."""
    measured = [findings.measured[Key(kind, manner, size, alone=False)] for size in sizes]
    grown = growth_of(measured[0], measured[-1])
    most = max(growth_of(measured[0], each).of_medians for each in measured)
    cells = [
        f"{each.series.median('rate'):,.0f}/s; {each.microseconds:,.0f} µs"
        f" ({median(each.database_microseconds):,.0f} PostgreSQL)"
        + (f"; {median(each.cached):.0%} in memory" if kind == "check" else "")
        for each in measured
    ]
    text = f"{grown.of_medians:.2f}; {grown.of_rounds:.2f} of rounds; {grown.by_cpu:.2f} by CPU"
    met = "yes" if most <= MOST_GROWTH else "NO"
    title = f"{RPC_KINDS[kind].title}, {MANNERS[manner]}"
    return (title, *cells, text, f"≤ {MOST_GROWTH:.2f}", met)


def _alone(findings: Findings, sizes: Sequence[int], kind: str, manner: str) -> tuple[str, ...]:
    """Return the row of the same with one call at a time."""
    series = [findings.measured[Key(kind, manner, size, alone=True)].series for size in sizes]
    halves = [_half(each) for each in series]
    cells = [
        f"p50 {_half(each):.1f} ms, p99 {each.median('most_milliseconds'):.1f} ms"
        for each in series
    ]
    return ("… one call at a time", *cells, f"{halves[-1] / halves[0]:.2f} of p50", "", "")


def _half(series: Series) -> float:
    """Return the median of the slices' p50, in milliseconds."""
    return series.median("half_milliseconds") or nan


def _first(findings: Findings, sizes: Sequence[int]) -> tuple[str, ...]:
    """Return the row of questions about facts that nobody had asked for."""
    ordered = [sorted(findings.first_milliseconds[size]) for size in sizes]
    cells = [
        f"p50 {times[len(times) // 2]:.1f} ms, p99 {times[int(len(times) * 0.99)]:.1f} ms"
        for times in ordered
    ]
    return ("CheckAccess, first time after the start, one call at a time", *cells, "", "", "")


def _loaded(load: Load, size_bytes: int) -> tuple[str, ...]:
    """Return the row of one load."""
    first, last = _ends(load)
    megabytes, each = size_bytes / _MEGABYTE, size_bytes / load.recordings
    return (
        f"{load.recordings:,}",
        f"{load.facts:,}",
        f"{load.rate:,.0f} ({first:,.0f} at first, {last:,.0f} at last)",
        _memory(load),
        f"{load.killed_at:,} facts" if load.killed_at is not None else "",
        f"{megabytes:,.0f} MB, {each:,.0f} bytes a recording",
        _answered(load),
    )


def _answered(load: Load) -> str:
    """Return what the service answered meanwhile."""
    times = sorted(load.milliseconds) or [nan]
    half, most = times[len(times) // 2], times[int(len(times) * 0.99)]
    failed = ", ".join(f"{number} {status}" for status, number in load.failed.items()) or "none"
    return (
        f"{len(load.milliseconds):,}; {load.wrong} wrong; without an answer: {failed};"
        f" p50 {half:.1f} ms, p99 {most:.1f} ms, most {times[-1]:.1f} ms"
    )


def _ends(load: Load) -> tuple[float, float]:
    """Return the rates of the first and of the last tenth of the facts."""
    samples = [(0.0, 0), *load.samples]
    early = next((each for each in samples if each[1] >= load.facts * 0.1), samples[-1])
    late = next((each for each in samples if each[1] >= load.facts * 0.9), samples[-1])
    first = early[1] / early[0] if early[0] else nan
    left = load.seconds - late[0]
    return first, (load.facts - late[1]) / left if left > 0 else nan


def _memory(load: Load) -> str:
    """Return the most that importers held in the first and in the second half of the load."""
    half = load.seconds / 2
    early = max((held for at, held in load.resident_samples if at <= half), default=0)
    late = max((held for at, held in load.resident_samples if at > half), default=0)
    return f"{early / _MEGABYTE:,.0f} MB in the first half, {late / _MEGABYTE:,.0f} in the second"

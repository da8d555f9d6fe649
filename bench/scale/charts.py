"""The plots of the documentation: growth by size, rates over time, distributions of times."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil, floor, log10

from bench.scale.svg import COLOURS, Axis, Curve, Plot, Points, drawing

_STEPS = (1, 2, 5, 10)
_MOST_POINTS = 400


def distribution(
    title: str,
    milliseconds: Mapping[str, Sequence[float]],
    *,
    bounds: Sequence[tuple[float, str]] = (),
) -> str:
    """Return, as an SVG document, which share of each series of times stayed within how long.

    Args:
        title: What is shown.
        milliseconds: The times, in milliseconds, by what they are of; at least one each.
        bounds: Times that should not be exceeded, each with what it is called.
    """
    most = max(max(times) for times in milliseconds.values())
    high = max([most, *(at for at, _label in bounds)]) * 1.05 or 1.0
    curves = [
        Curve(_summary(label, times), _shares(times), colour=_colour(place), dots=False)
        for place, (label, times) in enumerate(milliseconds.items())
    ]
    curves += [
        Curve(label, [(at, 0.0), (at, 1.0)], dashed=True, colour="#888888", dots=False)
        for at, label in bounds
    ]
    across = Axis("milliseconds", 0.0, high, ticks(0.0, high))
    up = Axis("share of all", 0.0, 1.0, [(step / 4, f"{step * 25} %") for step in range(5)])
    return drawing([Plot(title, across, up, curves)])


def growth(curves: Mapping[str, Points], bound: float) -> Plot:
    """Return the plot of how each measurement grows with the size.

    Args:
        curves: Pairs of recordings and how many times the smallest size's time it takes, by what is
            measured; "…, cold" is drawn whole, others are dashed.
        bound: What should not be exceeded.
    """
    points = [point for each in curves.values() for point in each]
    sizes = sorted({size for size, _times in points})
    high = max([bound, *(times for _size, times in points)]) * 1.1
    names = list(dict.fromkeys(label.rpartition(", ")[0] for label in curves))
    across = Axis(
        "recordings",
        sizes[0] / 1.3,
        sizes[-1] * 1.3,
        [(size, f"{size:,.0f}") for size in sizes],
        logarithmic=True,
    )
    up = Axis("time for each, over the smallest size's", 0.0, high, ticks(0.0, high))
    drawn = [
        Curve(
            label,
            each,
            dashed=not label.endswith("cold"),
            colour=_colour(names.index(label.rpartition(", ")[0])),
        )
        for label, each in curves.items()
    ]
    return Plot("What size costs", across, up, drawn, [(bound, f"at most {bound:g}")])


def rates(samples: Mapping[str, Points], bound: float) -> Plot:
    """Return the plot of how many facts a second were imported, as time went on.

    Args:
        samples: Pairs of seconds and facts stored, by what was imported.
        bound: What should be reached.
    """
    curves = {label: _rates(points) for label, points in samples.items()}
    points = [point for each in curves.values() for point in each] or [(1.0, 0.0)]
    longest = max(at for at, _rate in points)
    high = max([bound, *(rate for _at, rate in points)]) * 1.1
    across = Axis("minutes", 0.0, longest, ticks(0.0, longest))
    up = Axis("facts a second", 0.0, high, ticks(0.0, high))
    drawn = [
        Curve(label, each, colour=_colour(place), dots=False)
        for place, (label, each) in enumerate(curves.items())
    ]
    return Plot("Import", across, up, drawn, [(bound, f"at least {bound:,.0f}")])


def ticks(low: float, high: float, about: int = 5) -> list[tuple[float, str]]:
    """Return some *about* round values between *low* and *high*, and how they are written."""
    raw = (high - low) / about
    unit = 10.0 ** floor(log10(raw))
    step = next(times * unit for times in _STEPS if times * unit >= raw * 0.999)
    first, last = ceil(low / step), floor(high / step + 1e-9)
    return [(place * step, f"{place * step:,.10g}") for place in range(first, last + 1)]


def _rates(points: Points) -> list[tuple[float, float]]:
    """Return rates between points that are far enough apart for one, by minutes."""
    if len(points) < 2:
        return []
    spacing = max(1.0, (points[-1][0] - points[0][0]) / 60)
    found, (since, before) = [], points[0]
    for seconds, facts in points[1:]:
        if seconds - since >= spacing:
            found.append((seconds / 60, (facts - before) / (seconds - since)))
            since, before = seconds, facts
    return found


def _shares(times: Sequence[float]) -> Points:
    """Return which share stayed within each time, at no more points than can be seen."""
    ordered = sorted(times)
    count = len(ordered)
    places = sorted({round(step * (count - 1) / _MOST_POINTS) for step in range(_MOST_POINTS + 1)})
    return [(ordered[0], 0.0), *((ordered[place], (place + 1) / count) for place in places)]


def _summary(label: str, times: Sequence[float]) -> str:
    """Return what stands beside a curve: how many there are, and the usual figures."""
    ordered = sorted(times)
    half, most = ordered[len(ordered) // 2], ordered[int(len(ordered) * 0.99)]
    return f"{label}: {len(ordered):,}; p50 {half:.1f}, p99 {most:.1f}, most {ordered[-1]:.1f} ms"


def _colour(place: int) -> str:
    """Return the colour of the curve at *place*."""
    return COLOURS[place % len(COLOURS)]

"""Just enough SVG for a plot: axes, lines, dots, texts, as one file that stands alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from html import escape
from math import log10

WIDTH, HEIGHT = 480, 300
"""The size of a plot with its axes."""
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 16, 36, 44
COLOURS = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#17becf", "#8c564b", "#555555")
"""The colours of the curves, in turn."""

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Curve:
    """A line through *points*.

    Attributes:
        label: What it shows.
        points: From left to right.
        dashed: Whether it is interrupted, so that two of one colour are told apart.
        colour: Its colour.
        dots: Whether its points are marked.
    """

    label: str
    points: Points
    dashed: bool = False
    colour: str = COLOURS[0]
    dots: bool = True


@dataclass(frozen=True, slots=True)
class Axis:
    """What an axis shows.

    Attributes:
        label: In words, with the unit.
        low: Where it begins.
        high: Where it ends.
        ticks: Where it is marked, and how that is written.
        logarithmic: Whether equal steps are equal ratios.
    """

    label: str
    low: float
    high: float
    ticks: Sequence[tuple[float, str]]
    logarithmic: bool = False

    def share(self, value: float) -> float:
        """Return how far along the axis *value* is, 0 to 1."""
        if self.logarithmic:
            return log10(max(value, self.low) / self.low) / log10(self.high / self.low)
        return (value - self.low) / (self.high - self.low)


@dataclass(frozen=True, slots=True)
class Plot:
    """One plot.

    Attributes:
        title: What it shows.
        across: The horizontal axis.
        up: The vertical one.
        curves: What is drawn.
        bounds: Horizontal lines, each with its label.
    """

    title: str
    across: Axis
    up: Axis
    curves: Sequence[Curve]
    bounds: Sequence[tuple[float, str]] = field(default_factory=tuple)


def drawing(plots: Sequence[Plot]) -> str:
    """Return *plots* one above the other, as one SVG document; the same plots, the same text."""
    tall = [HEIGHT + 16 * len(plot.curves) for plot in plots]
    parts, top = [], 0
    for plot, height in zip(plots, tall, strict=True):
        parts.append(f'<g transform="translate(0 {top})">\n{_plot(plot)}</g>\n')
        top += height
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{top}" '
        f'viewBox="0 0 {WIDTH} {top}" font-family="sans-serif" font-size="11">\n'
        f'<rect width="{WIDTH}" height="{top}" fill="white"/>\n{"".join(parts)}</svg>\n'
    )


def _plot(plot: Plot) -> str:
    """Return one plot."""
    across = _scale(plot.across, _LEFT, WIDTH - _RIGHT)
    up = _scale(plot.up, HEIGHT - _BOTTOM, _TOP)
    parts = [_text(WIDTH / 2, 14, plot.title, anchor="middle", size=13)]
    for value, label in plot.across.ticks:
        at = across(value)
        parts.append(_line((at, HEIGHT - _BOTTOM), (at, HEIGHT - _BOTTOM + 4)))
        parts.append(_text(at, HEIGHT - _BOTTOM + 16, label, anchor="middle"))
    for value, label in plot.up.ticks:
        at = up(value)
        parts.append(_line((_LEFT, at), (WIDTH - _RIGHT, at), colour="#dddddd"))
        parts.append(_text(_LEFT - 6, at + 4, label, anchor="end"))
    for value, label in plot.bounds:
        at = up(value)
        parts.append(_line((_LEFT, at), (WIDTH - _RIGHT, at), colour="#888888", dashed=True))
        parts.append(_text(WIDTH - _RIGHT, at - 4, label, anchor="end"))
    parts.append(_line((_LEFT, HEIGHT - _BOTTOM), (WIDTH - _RIGHT, HEIGHT - _BOTTOM)))
    parts.append(_line((_LEFT, _TOP), (_LEFT, HEIGHT - _BOTTOM)))
    parts.append(_text(WIDTH / 2, HEIGHT - 10, plot.across.label, anchor="middle"))
    parts.append(_text(8, _TOP - 8, plot.up.label))
    for place, curve in enumerate(plot.curves):
        parts += _curve(curve, across, up)
        parts += _legend(curve, HEIGHT + 8 + 16 * place)
    return "".join(f"{part}\n" for part in parts)


def _curve(
    curve: Curve, across: Callable[[float], float], up: Callable[[float], float]
) -> list[str]:
    """Return a line through the points of *curve*."""
    at = [(across(one), up(other)) for one, other in curve.points]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in at)
    dashes = _dashes(dashed=curve.dashed)
    stroke = f'stroke="{curve.colour}" stroke-width="1.6"{dashes}'
    parts = [f'<polyline points="{path}" fill="none" {stroke}/>']
    if curve.dots:
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{curve.colour}"/>' for x, y in at]
    return parts


def _legend(curve: Curve, at: float) -> list[str]:
    """Return what says which line is which."""
    ends = (_LEFT, at), (_LEFT + 28, at)
    return [
        _line(*ends, colour=curve.colour, dashed=curve.dashed),
        _text(_LEFT + 34, at + 4, curve.label),
    ]


def _scale(axis: Axis, begin: float, end: float) -> Callable[[float], float]:
    """Return where values of *axis* are, cut off at its ends."""
    return lambda value: begin + (end - begin) * min(1.0, max(0.0, axis.share(value)))


def _line(
    begin: tuple[float, float],
    end: tuple[float, float],
    *,
    colour: str = "#333333",
    dashed: bool = False,
) -> str:
    """Return a straight line."""
    return (
        f'<line x1="{begin[0]:.1f}" y1="{begin[1]:.1f}" x2="{end[0]:.1f}" y2="{end[1]:.1f}" '
        f'stroke="{colour}"{_dashes(dashed=dashed)}/>'
    )


def _text(x: float, y: float, text: str, *, anchor: str = "start", size: int = 11) -> str:
    """Return a text; what means something in XML is escaped."""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}">'
        f"{escape(text)}</text>"
    )


def _dashes(*, dashed: bool) -> str:
    """Return the attribute of an interrupted line."""
    return ' stroke-dasharray="5 4"' if dashed else ""

"""The results where people read them: a section of docs/benchmarks.md and a plot beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.scale.charts import growth, rates
from bench.scale.loading import Load
from bench.scale.measuring import Findings
from bench.scale.rows import LEAST_RATE, MOST_GROWTH, curves
from bench.scale.svg import drawing

DOCUMENT = Path("docs/benchmarks.md")
PLOT = Path("docs/benchmarks-scale.svg")
BEGIN, END = "<!-- scale: written by make bench-scale -->", "<!-- scale: end -->"


class MarkersError(Exception):
    """The document has no place for the results."""


def plot(findings: Findings, loads: Mapping[int, Load], sizes: Sequence[int]) -> str:
    """Return growth by size and rates of import as one SVG document."""
    imports = {f"{size:,} recordings": load.samples for size, load in loads.items()}
    return drawing([growth(curves(findings, sizes), MOST_GROWTH), rates(imports, LEAST_RATE)])


def section(found_on: Mapping[str, str], tables: Sequence[str]) -> str:
    """Return what stands between the markers."""
    machine = ", ".join(f"{name.replace('_', ' ')} {text}" for name, text in found_on.items())
    picture = "![What size costs, and the rate of import](benchmarks-scale.svg)"
    return "\n\n".join([f"Made on: {machine}.", *tables, picture])


def replaced(document: str, text: str) -> str:
    """Return *document* with *text* between the markers.

    Raises:
        MarkersError: They are not there, each once and in order.
    """
    before, begin, rest = document.partition(f"{BEGIN}\n")
    _old, end, after = rest.partition(END)
    if not begin or not end or BEGIN in after or END in after:
        raise MarkersError(f"{DOCUMENT} does not have {BEGIN} and {END}, once and in order")
    return f"{before}{BEGIN}\n\n{text}\n\n{END}{after}"


def write(text: str, picture: str) -> None:
    """Write the section and the plot.

    Raises:
        MarkersError: There is no place for the section.
    """
    document = replaced(DOCUMENT.read_text(encoding="utf-8"), text)
    DOCUMENT.write_text(document, encoding="utf-8")
    PLOT.write_text(picture, encoding="utf-8")

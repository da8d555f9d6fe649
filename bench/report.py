"""The one table: each measurement, what it should be, and whether it is."""

from __future__ import annotations

import os
import platform
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

_HEADINGS = ("Measurement", "Result", "Server CPU", "Target", "Met")


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table.

    Attributes:
        measurement: What is measured.
        result: What came out, with its unit.
        cost: What it cost the server, where that says more.
        target: What it should be; empty where nothing is asked.
        met: Whether it is; None where nothing is asked.
    """

    measurement: str
    result: str
    cost: str = ""
    target: str = ""
    met: bool | None = None

    @property
    def cells(self) -> tuple[str, ...]:
        """The cells of the line."""
        met = "" if self.met is None else "yes" if self.met else "NO"
        return self.measurement, self.result, self.cost, self.target, met


def table(rows: Sequence[Row]) -> str:
    """Return *rows* as a Markdown table that reads well as plain text."""
    return grid(_HEADINGS, [row.cells for row in rows])


def grid(headings: Sequence[str], cells: Sequence[Sequence[str]]) -> str:
    """Return *cells* under *headings* as a Markdown table that reads well as plain text."""
    lines = [headings, *cells]
    widths = [max(len(line[column]) for line in lines) for column in range(len(headings))]
    written = [
        "| "
        + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        + " |"
        for line in lines
    ]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([written[0], rule, *written[1:]])


def machine() -> dict[str, str]:
    """Return what the numbers were made on."""
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "processor": f"{os.cpu_count()} of {_processor()}",
        "load_before": f"{os.getloadavg()[0]:.2f}",
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "grpcio": version("grpcio"),
        "pycasbin": version("pycasbin"),
        "sqlite": sqlite3.sqlite_version,
        "software": f"authz-service {version('authz-service')}",
    }


def _processor() -> str:
    """Return the processor's name, where the system tells."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()

"""`python -m bench.staleness FILE`: plots how soon a replica obeyed what another had committed.

FILE is what tests/e2e/test_two_replicas.py writes where AUTHZ_TEST_REVOCATIONS_FILE says so.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

from bench.report import grid
from bench.scale.charts import distribution

_PLOT = Path("docs/benchmarks-staleness.svg")
_SHARES = (0.5, 0.9, 0.99, 1.0)
_ALLOWANCE_MS = 50


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the distribution and write its plot; return 0."""
    parser = argparse.ArgumentParser(prog="python -m bench.staleness", description=__doc__)
    parser.add_argument("file", type=Path, metavar="FILE")
    parser.add_argument("--plot", type=Path, default=_PLOT, metavar="SVG", help="(%(default)s)")
    options = parser.parse_args(arguments)
    document = orjson.loads(options.file.read_bytes())
    trials, bound = document["trials"], document["staleness_ms"]
    print(table(trials))
    options.plot.write_text(plot(trials, bound), encoding="utf-8")
    return 0


def table(trials: Sequence[dict[str, Any]]) -> str:
    """Return the delays of each kind of change, in milliseconds, as a Markdown table."""
    kinds = sorted({trial["kind"] for trial in trials})
    head = ("What was taken away", "Trials", *(f"{share:.0%}" for share in _SHARES))
    rows = [_row(kind, [one for one in trials if one["kind"] == kind]) for kind in kinds]
    return grid(head, [*rows, _row("all", trials)])


def plot(trials: Sequence[dict[str, Any]], bound_ms: float) -> str:
    """Return the plot: until the last check that was allowed, and the first that was denied."""
    return distribution(
        "From the answer to a write on one replica, on the other",
        {
            "the last check that was still allowed": _delays(trials, "last_allowed_ms"),
            "the first check that was denied": _delays(trials, "first_denied_ms"),
        },
        bounds=[
            (bound_ms, "AUTHZ_FACTS_STALENESS_MS"),
            (bound_ms + _ALLOWANCE_MS, "the bound that is tested"),
        ],
    )


def _row(name: str, trials: Sequence[dict[str, Any]]) -> tuple[str, ...]:
    """Return how long after the write checks were still allowed, by share of the trials."""
    delays = sorted(_delays(trials, "last_allowed_ms"))
    at = (delays[min(len(delays) - 1, int(share * len(delays)))] for share in _SHARES)
    return name, f"{len(delays):,}", *(f"{delay:.1f}" for delay in at)


def _delays(trials: Sequence[dict[str, Any]], name: str) -> list[float]:
    """Return delays in milliseconds; what was before the write's answer has none."""
    return [max(0.0, trial[name]) for trial in trials]


if __name__ == "__main__":
    sys.exit(main())

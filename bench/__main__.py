"""`python -m bench`: everything of docs/benchmarks.md in one run, from the repository's root."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson

from bench.http2 import LoadError
from bench.processes import AUTHZ, ServerError
from bench.profiling import profile
from bench.registry import RegistryError
from bench.report import Row, machine, table
from bench.results import FULL, QUICK, SMOKE, Results
from bench.rows import rows_of
from bench.run import measure
from bench.shipping import ShippingError


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure; return 0 where every answer was right, whatever the numbers are."""
    options = _parser().parse_args(arguments)
    if not Path("policies").is_dir() or not AUTHZ.exists():
        print("bench: run it from the repository's root, after `make setup`", file=sys.stderr)
        return 2
    plan = SMOKE if options.smoke else QUICK if options.quick else FULL
    try:
        if options.profile:
            print(profile(plan, options.directory))
            return 0
        found_on = machine()
        results = measure(plan, options.directory, options.cerbos)
    except (LoadError, ServerError, RegistryError, ShippingError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    rows = rows_of(results)
    if options.json:
        options.json.write_bytes(_json(results, rows, found_on))
    _print(rows, results, found_on)
    return 1 if results.problems else 0


def _parser() -> argparse.ArgumentParser:
    """Return the options."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "--quick",
        action="store_true",
        help="a small registry and short slices: to see that it works, not for numbers",
    )
    parser.add_argument(
        "--smoke", action="store_true", help="one slice of each, shorter still: for the tests"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all samples to FILE")
    parser.add_argument(
        "--profile", action="store_true", help="show where the time of a CheckAccess goes instead"
    )
    parser.add_argument(
        "--directory",
        type=Path,
        default=Path("var/bench"),
        help="where registries are kept, and the latest run's journals and logs (%(default)s)",
    )
    parser.add_argument(
        "--cerbos",
        type=Path,
        metavar="DIRECTORY",
        default=Path("var/bench/cerbos"),
        help="where Cerbos is, or is put by npm, which only a full run asks (%(default)s)",
    )
    return parser


def _print(rows: Sequence[Row], results: Results, found_on: dict[str, str]) -> None:
    """Print the table, and what is wrong."""
    print("\n".join(f"{name.replace('_', ' ')}: {text}" for name, text in found_on.items()))
    print(f"\n{table(rows)}\n")
    for missing in results.left_out:
        print(f"LEFT OUT: {missing}")
    for problem in results.problems:
        print(f"WRONG: {problem}")
    missed = sum(row.met is False for row in rows)
    print(f"{missed} of {sum(row.met is not None for row in rows)} targets missed")


def _json(results: Results, rows: Sequence[Row], found_on: dict[str, str]) -> bytes:
    """Return everything as JSON."""
    plain: dict[str, Any] = {
        "machine": found_on,
        "rows": [asdict(row) for row in rows],
        "samples": {
            name: [asdict(sample) for sample in series.samples]
            for name, series in results.series.items()
        },
        "hits": results.hits,
        "thread_cpu_seconds": {name: cpu._asdict() for name, cpu in results.threads.items()},
        "memory": asdict(results.memory),
        "starts": results.starts,
        "list_walks": [asdict(walk) for walk in results.walks or ()],
        "shipped": [asdict(each) for each in results.shipped],
        "spread_over_workers": results.spread,
        "cerbos_audit": asdict(results.audit) if results.audit else None,
        "left_out": results.left_out,
        "problems": results.problems,
    }
    return orjson.dumps(plain, option=orjson.OPT_INDENT_2)


if __name__ == "__main__":
    sys.exit(main())

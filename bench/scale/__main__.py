"""`python -m bench.scale`: what size costs on PostgreSQL, and what loading takes."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson
import psycopg

from bench.http2 import LoadError
from bench.processes import AUTHZ, ServerError
from bench.progress import say
from bench.registry import RegistryError
from bench.report import machine
from bench.scale.database import postgres
from bench.scale.documents import MarkersError, plot, section, write
from bench.scale.loading import Load, Loader
from bench.scale.measuring import RPC_KINDS, Findings, Pace, measure
from bench.scale.registries import Registry, registry_in
from bench.scale.rows import growth_table, load_table, missed
from bench.scale.samples import size_for

_SIZES = (10_000, 1_000_000, 10_000_000)
_QUICK_SIZES = (1_000, 10_000)
_FULL, _QUICK = Pace(7, 2.0, 1.0), Pace(1, 0.12, 0.12)
_PART = 1_000_000
_BYTES_EACH = 3_700
_PART_BYTES_EACH = 2 * 960
_OTHER_BYTES = 12 << 30
_SECONDS_EACH = 3.6 / 20_000
_SECONDS_TO_MEASURE = 240


def main(arguments: Sequence[str] | None = None) -> int:
    """Load and measure; return 0 where every answer was right, whatever the numbers are."""
    options = _parser().parse_args(arguments)
    if not Path("policies").is_dir() or not AUTHZ.exists():
        print("bench: run it from the repository's root, after `make setup`", file=sys.stderr)
        return 2
    sizes = sorted(options.sizes or (_QUICK_SIZES if options.quick else _SIZES))
    if not _fits(sizes, options.directory, quick=options.quick):
        return 2
    try:
        return _run(options, sizes)
    except KeyboardInterrupt:
        print("bench: interrupted; the next run goes on where this one was", file=sys.stderr)
        return 130
    except (LoadError, ServerError, RegistryError, MarkersError, psycopg.Error) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1


def _run(options: argparse.Namespace, sizes: list[int]) -> int:
    """Load what is not loaded, measure, print and write what was found."""
    directory, found_on = options.directory, machine()
    part = options.part_recordings or (max(sizes) // 2 if options.quick else _PART)
    with postgres(directory) as server:
        registries = [registry_in(server, size) for size in sizes]
        loads = {
            each.world.recordings: Loader(each, directory / "loads", part).run()
            for each in registries
        }
        wrong = sum(load.wrong for load in loads.values())
        bytes_by_size = {each.world.recordings: each.size_bytes for each in registries}
        tables = [load_table(loads, bytes_by_size)]
        findings = Findings()
        if not options.load_only:
            findings = _measured(registries, directory, _pace(options))
            wrong += sum(ledger.wrong for ledger in findings.ledgers.values())
            tables = [growth_table(findings, sizes), *tables]
        found_on |= {"postgresql": server.version, **server.settings}
    if options.json:
        options.json.write_bytes(_json(found_on, loads, findings, bytes_by_size))
    _print(tables, loads, findings, sizes)
    if options.write_docs and not options.load_only:
        write(section(found_on, tables), plot(findings, loads, sizes))
    return 1 if wrong else 0


def _pace(options: argparse.Namespace) -> Pace:
    """Return how long to measure."""
    pace = _QUICK if options.quick else _FULL
    return Pace(options.rounds or pace.rounds, pace.seconds, pace.alone_seconds)


def _measured(registries: Sequence[Registry], directory: Path, pace: Pace) -> Findings:
    """Measure all of *registries*, each in the same state: vacuumed, analysed, checkpointed."""
    latest = directory / "latest"
    shutil.rmtree(latest, ignore_errors=True)
    for registry in registries:
        registry.settle()
    return measure(registries, size_for(registries[0].world), pace, latest)


def _fits(sizes: Sequence[int], directory: Path, *, quick: bool) -> bool:
    """Say what disk and time it needs; whether there is as much."""
    recordings = sum(sizes)
    disk = recordings * _BYTES_EACH + min(_PART, max(sizes)) * _PART_BYTES_EACH
    disk += 0 if quick else _OTHER_BYTES
    present = directory
    while not present.exists():
        present = present.parent
    kept = sum(each.stat().st_size for each in directory.rglob("*") if each.is_file())
    free = shutil.disk_usage(present).free
    seconds = recordings * _SECONDS_EACH + (10 if quick else _SECONDS_TO_MEASURE * len(sizes))
    say(
        f"{', '.join(f'{size:,}' for size in sizes)} recordings need {disk / 1e9:,.1f} GB of disk"
        f" in {directory}, of which {kept / 1e9:,.1f} GB are there and {free / 1e9:,.1f} GB free,"
        f" and some {seconds / 60:,.0f} minutes at 20,000 facts a second; what is loaded is kept"
    )
    if free + kept < disk:
        say("that is not enough: name smaller --sizes, or another --directory")
        return False
    return True


def _parser() -> argparse.ArgumentParser:
    """Return the options."""
    parser = argparse.ArgumentParser(prog="python -m bench.scale", description=__doc__)
    parser.add_argument(
        "--sizes",
        type=lambda text: [int(each) for each in text.split(",")],
        metavar="N,N,…",
        help=f"how many recordings ({','.join(map(str, _SIZES))})",
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="small sizes and short slices: to see that it works, not for numbers",
    )
    parser.add_argument("--rounds", type=int, help="how often each is measured")
    parser.add_argument(
        "--part-recordings", type=int, metavar="N", help="how many recordings a file to import has"
    )
    parser.add_argument("--load-only", action="store_true", help="load, and measure nothing")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all samples to FILE")
    parser.add_argument(
        "--write-docs", action="store_true", help="write the results to docs/benchmarks.md"
    )
    parser.add_argument(
        "--directory",
        type=Path,
        default=Path("var/bench/scale"),
        help="where PostgreSQL keeps what is loaded, and the latest run's logs (%(default)s)",
    )
    return parser


def _print(
    tables: Sequence[str], loads: dict[int, Load], findings: Findings, sizes: Sequence[int]
) -> None:
    """Print the tables, what is left out, and what is wrong."""
    print("\n" + "\n\n".join(tables) + "\n")
    if findings.measured:
        for kind in RPC_KINDS.keys() - findings.kinds:
            print(f"LEFT OUT: {RPC_KINDS[kind].title}: this version does not serve it")
        print(f"{missed(findings, sizes)} of {len(findings.kinds) * 2} targets missed")
    for size, load in loads.items():
        for problem in load.problems:
            print(f"WRONG while {size:,} were imported: {problem}")
    answers = 0
    for size, ledger in findings.ledgers.items():
        answers += ledger.answers
        for problem in ledger.problems:
            print(f"WRONG about {size:,}: {problem}")
    print(f"{answers:,} answers checked")


def _json(
    found_on: dict[str, str], loads: dict[int, Load], findings: Findings, sizes: dict[int, int]
) -> bytes:
    """Return everything as JSON."""
    plain: dict[str, Any] = {
        "machine": found_on,
        "loads": [asdict(load) for load in loads.values()],
        "database_bytes": {str(size): number for size, number in sizes.items()},
        "measured": [
            {
                **key._asdict(),
                "samples": [asdict(sample) for sample in each.series.samples],
                "database_microseconds": each.database_microseconds,
                "cached": each.cached,
            }
            for key, each in findings.measured.items()
        ],
        "first_milliseconds": {
            str(size): times for size, times in findings.first_milliseconds.items()
        },
        "answers": {str(size): each.answers for size, each in findings.ledgers.items()},
        "wrong": {str(size): each.wrong for size, each in findings.ledgers.items()},
        "problems": [each for ledger in findings.ledgers.values() for each in ledger.problems],
    }
    return orjson.dumps(plain, option=orjson.OPT_INDENT_2)


if __name__ == "__main__":
    sys.exit(main())

"""From what a run showed to the lines of the table."""

from __future__ import annotations

from collections.abc import Iterator

from bench.measure import ratio
from bench.report import Row
from bench.results import SHARE_IN_MEMORY, Results
from bench.rows_beside import beside_rows
from bench.rows_of_callers import caller_rows
from bench.rows_of_lists import list_rows
from bench.rows_of_load import at_least, rate_row, three
from bench.rows_of_shipping import shipping_rows

_MEGABYTE = 1e6


def rows_of(results: Results) -> list[Row]:
    """Return the table of *results*."""
    return [
        *_under_load(results),
        *list_rows(results),
        *beside_rows(results),
        *caller_rows(results),
        *shipping_rows(results),
        *_policy(results),
        *_start(results),
        *_memory(results),
        *_answers(results),
    ]


def _under_load(results: Results) -> Iterator[Row]:
    """Yield what was measured under load, with the ratios that are asked for."""
    series = results.series
    yield rate_row(series["echo"])
    yield rate_row(series["warm"], f"; {results.hits['warm']:.1%} in memory")
    yield at_least("… of the echo", ratio(series["warm"], series["echo"]), 0.75)
    yield rate_row(series["cold"], f"; {results.hits['cold']:.1%} in memory")
    yield at_least("… of the echo", ratio(series["cold"], series["echo"]), 0.4)
    yield rate_row(series["batch"])
    yield at_least("… of CheckAccess", ratio(series["batch"], series["warm"]), 8.0)
    yield rate_row(series["small"], f"; {results.hits['small']:.1%} in memory")
    larger = ratio(series["small"], series["warm"])
    plan = results.plan
    yield Row(
        f"… cost of {plan.large.recordings:,} recordings over {plan.small.recordings:,},"
        f" {SHARE_IN_MEMORY:.0%} of either in memory",
        three(larger),
        f"{larger.by_cpu:.2f} by CPU time",
        "≤ 1.10",
        larger.of_medians <= 1.10,
    )


def _policy(results: Results) -> Iterator[Row]:
    """Yield what the policy costs."""
    judged, read = results.verdicts, results.reloads
    if judged is not None:
        yield Row(
            f"Casbin's own enforce_ex, {judged.situations} situations", f"{judged.enforced:.0f} µs"
        )
        yield Row(
            "Remembered verdict, the same situations",
            f"{judged.remembered:.2f} µs",
            "",
            "≤ 2 µs",
            judged.remembered <= 2,
        )
    if read is not None:
        yield Row("Reading, checking, compiling and trying out the bundle", f"{read.bare:.0f} ms")
        yield Row("ReloadPolicy of a changed bundle, over gRPC", f"{read.called:.0f} ms")


def _start(results: Results) -> Iterator[Row]:
    """Yield how long a start takes."""
    seconds = results.start_seconds
    yield Row(
        f"Start until SERVING, {results.plan.large.recordings:,} recordings, empty journal",
        f"{seconds:.2f} s (slowest of {len(results.starts)}: {max(results.starts):.2f} s)",
        "",
        "≤ 2 s",
        seconds <= 2,
    )
    journal = results.journals["warm"]
    yield Row(
        f"… with a journal of {journal.recorded:,} decisions,"
        f" {journal.size_bytes / _MEGABYTE:,.0f} MB",
        f"{results.start_again:.2f} s",
    )


def _memory(results: Results) -> Iterator[Row]:
    """Yield how much memory the service holds."""
    memory = results.memory
    yield Row("Memory after start", f"{memory.at_start / _MEGABYTE:,.0f} MB")
    each = (memory.warm - memory.at_start) / max(1, memory.recordings)
    yield Row(
        f"Memory with the facts of {memory.recordings:,} recordings",
        f"{memory.warm / _MEGABYTE:,.0f} MB ({each / 1000:.1f} kB a recording, people included)",
    )
    yield Row("Memory after all load", f"{memory.after / _MEGABYTE:,.0f} MB")


def _answers(results: Results) -> Iterator[Row]:
    """Yield whether every answer was right, and is in a journal."""
    ledgers = results.ledgers.values()
    answers = sum(ledger.answers for ledger in ledgers)
    wrong = sum(ledger.wrong for ledger in ledgers)
    yield Row(f"Wrong or missing among {answers:,} answers", f"{wrong:,}", "", "0", wrong == 0)
    journals = results.journals.values()
    answered, missing = sum(one.answered for one in journals), sum(one.missing for one in journals)
    sound = not any(one.problem for one in journals)
    yield Row(
        f"Decisions not in the journal, of {answered:,}; all journals verify",
        f"{missing:,}; {'yes' if sound else 'no'}",
        "",
        "0; yes",
        sound,
    )

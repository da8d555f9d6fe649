"""Lines of the table about one process, two workers and Cerbos."""

from __future__ import annotations

from collections.abc import Iterator

from bench.measure import Series, ratio
from bench.report import Row
from bench.results import Results
from bench.rows_of_load import at_least, rate_row, three


def beside_rows(results: Results) -> Iterator[Row]:
    """Yield what was measured beside each other, with the ratios that are asked for."""
    series = results.series
    for name in ("echo_one", "echo_two", "one", "two"):
        yield rate_row(series[name])
    yield _compared("… of one process", series["two"], series["one"])
    yield _compared("… of the echo in two processes", series["two"], series["echo_two"])
    shares = " and ".join(f"{share:.0%}" for share in results.spread)
    yield Row("… how the two workers shared the work", shares)
    yield rate_row(series["one_batch"])
    yield rate_row(series["two_batch"])
    yield _compared("… of one process", series["two_batch"], series["one_batch"])
    if "cerbos" in series:
        yield from _cerbos(results)


def _cerbos(results: Results) -> Iterator[Row]:
    """Yield what Cerbos did with the same questions."""
    series, audit = results.series, results.audit
    yield rate_row(series["cerbos"])
    yield rate_row(series["cerbos_batch"])
    yield at_least(
        "CheckAccess with two workers, of Cerbos", ratio(series["two"], series["cerbos"]), 1.0
    )
    yield _compared("CheckAccess with one process, of Cerbos", series["one"], series["cerbos"])
    yield at_least(
        "Batches of 50 with two workers, of Cerbos",
        ratio(series["two_batch"], series["cerbos_batch"]),
        8.0,
    )
    yield _compared(
        "Batches of 50 with one process, of Cerbos", series["one_batch"], series["cerbos_batch"]
    )
    if audit is not None:
        yield Row(
            "Cerbos's audit file, which it does not sync",
            f"{audit.size_bytes / max(1, audit.decisions):,.0f} bytes a decision;"
            f" {audit.missing:,} of {audit.answered:,} calls not in it after the end",
        )


def _compared(measurement: str, one: Series, other: Series) -> Row:
    """Return the line of a ratio of which nothing is asked."""
    found = ratio(one, other)
    return Row(measurement, three(found), f"{found.by_cpu:.2f} by CPU time")

"""Lines of the table about load: rates and ratios."""

from __future__ import annotations

from bench.measure import Ratio, Series
from bench.report import Row


def rate_row(series: Series, remark: str = "") -> Row:
    """Return the line of one load."""
    of = series.median
    call = "" if series.decisions == 1 else f" a batch of {series.decisions}"
    return Row(
        series.title,
        f"{of('rate'):,.0f}/s; p50 {of('half_milliseconds'):.1f} ms,"
        f" p99 {of('most_milliseconds'):.1f} ms{call}{remark}",
        f"{of('cpu_microseconds'):.0f} µs each; busy {of('server_busy'):.0%},"
        f" generator {of('generator_busy'):.0%}",
    )


def at_least(measurement: str, found: Ratio, target: float) -> Row:
    """Return the line of a ratio that has to be reached."""
    cost = f"{found.by_cpu:.2f} by CPU time"
    return Row(measurement, three(found), cost, f"≥ {target:g}", found.of_medians >= target)


def three(found: Ratio) -> str:
    """Return a ratio with its witness."""
    return f"{found.of_medians:.2f} of medians, {found.of_rounds:.2f} median of rounds"

"""Lines of the table about the decision store."""

from __future__ import annotations

from collections.abc import Iterator

from bench.measure import ratio
from bench.report import Row
from bench.results import Results
from bench.rows_of_load import at_least, rate_row

_RECORDS_A_SECOND = 20_000
_OF_CHECKS = 0.9
_WITH_TARGET = "PostgreSQL"


def shipping_rows(results: Results) -> Iterator[Row]:
    """Yield how fast records are shipped, and what that takes from the checks."""
    for each in results.shipped:
        asked = each.store == _WITH_TARGET
        yield Row(
            f"Shipping {each.records:,} records to {each.store}",
            f"{each.rate:,.0f} records/s; {each.seconds:.1f} s",
            f"{each.cpu_seconds / each.records * 1e6:.0f} µs each, the store's own apart",
            f"≥ {_RECORDS_A_SECOND:,}/s" if asked else "",
            each.rate >= _RECORDS_A_SECOND if asked else None,
        )
    series = results.series
    yield rate_row(series["unshipped"])
    for name in ("shipped_sqlite", "shipped_postgresql"):
        yield rate_row(series[name])
        found = ratio(series[name], series["unshipped"])
        yield at_least("… of the same without shipping", found, _OF_CHECKS)

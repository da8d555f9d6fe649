"""Lines of the table about certificates and caller rules."""

from __future__ import annotations

from collections.abc import Iterator

from bench.measure import ratio
from bench.report import Row
from bench.results import Results
from bench.rows_of_load import at_least, rate_row

_OF_PLAINTEXT = 0.85


def caller_rows(results: Results) -> Iterator[Row]:
    """Yield what certificates and caller rules take from the checks."""
    plain, mtls = results.series["plain"], results.series["mtls"]
    yield rate_row(plain)
    yield rate_row(mtls)
    yield at_least("mTLS and caller rules: of plaintext", ratio(mtls, plain), _OF_PLAINTEXT)

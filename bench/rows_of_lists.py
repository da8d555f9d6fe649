"""Lines of the table about lists."""

from __future__ import annotations

from collections.abc import Iterator

from bench.measure import Series, ratio, times
from bench.report import Row
from bench.results import Results
from bench.rows_of_load import rate_row

_MOST_TIMES_A_CHECK = 3.0
_MOST_TIMES_THE_PATIENTS = 1.25


def list_rows(results: Results) -> Iterator[Row]:
    """Yield what a page of a list takes."""
    series = results.series
    yield rate_row(series["list"])
    yield _times_a_check("… p50 over a check's, both 64 at once", series["list"], series["warm"])
    yield rate_row(series["check_alone"])
    yield rate_row(series["list_alone"])
    yield _times_a_check(
        "… p50 over a check's, both one at a time", series["list_alone"], series["check_alone"]
    )
    if results.walks is None:
        return
    for who, walk in zip(("clinician", "patient"), results.walks, strict=True):
        yield Row(
            f"A page of 50 of a {who} with {walk.recordings:,} recordings, one at a time",
            f"{walk.again_milliseconds:.1f} ms; last page {walk.last_milliseconds:.1f} ms;"
            f" first time, with facts to load, {walk.first_milliseconds:.1f} ms",
        )
    clinician, patient = results.walks
    slower = clinician.again_milliseconds / patient.again_milliseconds
    yield Row(
        "… the clinician's over the patient's",
        f"{slower:.2f}",
        "",
        f"≤ {_MOST_TIMES_THE_PATIENTS:g}",
        slower <= _MOST_TIMES_THE_PATIENTS,
    )


def _times_a_check(measurement: str, pages: Series, checks: Series) -> Row:
    """Return how many times a check's median latency that of a page is."""
    page, check = pages.median("half_milliseconds"), checks.median("half_milliseconds")
    return Row(
        measurement,
        f"{times(page, check):.2f}",
        f"{ratio(checks, pages).by_cpu:.2f} by CPU time",
        f"≤ {_MOST_TIMES_A_CHECK:g}",
        times(page, check) <= _MOST_TIMES_A_CHECK,
    )

"""A birthday begins with the first minute of its day on the tenant's clocks, whatever these do."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from authz_service.pdp.assembly import birthday

ZONES = sorted(zone for zone in available_timezones() if "/" in zone)
MINUTE = timedelta(minutes=1)
MOST_OFFSET = timedelta(hours=27)
"""More than any clock is ahead or behind, and a day that is left out besides."""


def first_minute(day: date, zone: str) -> datetime:
    """Return the first minute of *day*, or after it where the clocks leave it out, by looking."""
    clock = ZoneInfo(zone)
    at = datetime(day.year, day.month, day.day, tzinfo=UTC) - MOST_OFFSET
    while at.astimezone(clock).date() < day:
        at += MINUTE
    return at


@given(st.dates(date(1973, 1, 1), date(2036, 12, 31)), st.integers(0, 20), st.sampled_from(ZONES))
@example(date(2000, 12, 30), 11, "Pacific/Apia")
@example(date(1995, 10, 29), 11, "America/St_Johns")
@example(date(2007, 11, 5), 16, "America/Havana")
@example(date(2002, 11, 4), 16, "America/Sao_Paulo")
@example(date(2007, 4, 1), 16, "Australia/Lord_Howe")
@example(date(2008, 2, 29), 11, "Pacific/Chatham")
def test_a_birthday_is_the_first_minute_of_its_day(born: date, age: int, zone: str) -> None:
    year = born.year + age
    is_leap_day = (born.month, born.day) == (2, 29)
    leaps = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    day = date(year, 3, 1) if is_leap_day and not leaps else born.replace(year=year)

    assert birthday(born, age, zone) == first_minute(day, zone)


@pytest.mark.parametrize(
    ("born", "age", "zone", "expected"),
    [
        pytest.param(
            date(2000, 12, 30), 11, "Pacific/Apia", "2011-12-30T10:00:00+00:00", id="no-such-day"
        ),
        pytest.param(
            date(1995, 10, 29), 11, "America/St_Johns", "2006-10-29T02:30:00+00:00",
            id="a-minute-later-it-was-yesterday-again",
        ),
        pytest.param(
            date(2004, 5, 6), 16, "Asia/Kathmandu", "2020-05-05T18:15:00+00:00",
            id="three-quarters-of-an-hour",
        ),
        pytest.param(
            date(2007, 10, 7), 16, "Australia/Lord_Howe", "2023-10-06T13:00:00+00:00",
            id="half-an-hour-ahead-in-summer",
        ),
    ],
)  # fmt: skip
def test_a_birthday_where_clocks_are_odd(born: date, age: int, zone: str, expected: str) -> None:
    assert birthday(born, age, zone) == datetime.fromisoformat(expected)

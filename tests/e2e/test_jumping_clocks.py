"""A clock that jumps while the service runs: intervals follow it, nothing else does."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple

import pytest

from authz_service.pdp.model import Instant
from tests.e2e.client import Client, client_of, failing, outcome_of
from tests.e2e.clinic import FACTS, delegation
from tests.e2e.closed_doors import PLAIN_CALLER
from tests.service_thread import SettableClock, serving

NOON = datetime(2023, 9, 20, 12, tzinfo=UTC)
HOUR, YEAR = timedelta(hours=1), timedelta(days=365)
JUMPS = (-2 * YEAR, 10 * YEAR, -HOUR, HOUR, timedelta())
"""How far from noon the clock stands, one after the other."""
ENDS = NOON + HOUR / 2
GIVEN = {"purpose_of_use": "FAMRQT"}


class Place(NamedTuple):
    """A service with its clock."""

    client: Client
    clock: SettableClock

    def asked(self, *, at: Instant, **more: Any) -> Any:
        """Ask whether Olga may watch Lio's recording *at* an instant."""
        self.clock.instant = at
        return self.client.check("olga", "rec-lio", context=GIVEN | more)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """Olga is Lio's guardian until half past noon."""
    with serving(tmp_path) as service, client_of(service) as client:
        service.clock.instant = NOON
        ends = ENDS.isoformat().replace("+00:00", "Z")
        client.write([*FACTS, delegation("d1", valid_from="2023-01-01T00:00:00Z", valid_to=ends)])
        yield Place(client, service.clock)


def test_intervals_follow_the_services_clock_wherever_it_jumps(place: Place) -> None:
    """Before it began, after it ended, and back: each answer is of the instant that it names."""
    for jump in JUMPS:
        answer = place.asked(at=NOON + jump)

        began = datetime(2023, 1, 1, tzinfo=UTC)
        may = began <= NOON + jump < ENDS
        assert outcome_of(answer)[0] == ("ALLOW" if may else "DENY"), jump
        assert answer.evaluated_at.ToDatetime(UTC) == NOON + jump


def test_a_revocation_is_obeyed_within_the_staleness_wherever_the_clock_is(place: Place) -> None:
    """Looks are counted on the monotonic clock: a clock a year back makes no look young."""
    for number, jump in enumerate((-YEAR, 5 * YEAR)):
        place.asked(at=NOON)
        place.clock.instant = NOON + jump
        name, seen = f"d{number + 2}", "2019-02-01T00:00:00Z"
        place.client.write([delegation(name)])
        place.clock.instant = NOON + HOUR
        given = settled(place, "ALLOW")
        place.clock.instant = NOON + jump
        place.client.write([delegation(name, observed_at=seen, revoked_at=seen)])
        place.clock.instant = NOON + HOUR
        taken = settled(place, "DENY")

        assert max(given, taken) < 2


def settled(place: Place, effect: str) -> float:
    """Return after how many seconds the answer is *effect*, a few at most."""
    began = monotonic()
    while outcome_of(place.asked(at=NOON + HOUR))[0] != effect:
        assert monotonic() - began < 5, f"it is not {effect}"
    return monotonic() - began


@pytest.mark.parametrize(
    ("ahead", "reason"),
    [
        pytest.param(timedelta(seconds=5), "RULE_ALLOWED", id="clocks-that-are-a-little-apart"),
        pytest.param(timedelta(seconds=5, microseconds=1), "STEP_UP_REQUIRED", id="the-future"),
    ],
)
def test_an_authentication_in_the_future_is_none(
    place: Place, ahead: timedelta, reason: str
) -> None:
    at = (NOON + ahead).isoformat().replace("+00:00", "Z")
    place.clock.instant = NOON
    context = {
        "purpose_of_use": "PATRQT", "assurance": "MULTI_FACTOR", "authenticated_at": at,
    }  # fmt: skip

    answer = place.client.check("mara", "rec-mara", action="EXPORT", context=context)

    assert outcome_of(answer)[1] == reason


def test_an_observation_ahead_of_both_clocks_is_refused(place: Place) -> None:
    """A service whose clock is years behind takes what is seen today, and nothing later."""
    place.clock.instant = NOON
    late = (datetime.now(UTC) + timedelta(minutes=6)).isoformat().replace("+00:00", "Z")

    failure = failing(lambda: place.client.write([delegation("d9", observed_at=late)]))

    assert (failure.code, list(failure.fields)) == ("INVALID_ARGUMENT", ["facts[0].observed_at"])


def test_denials_keep_their_pace_wherever_the_clock_is(tmp_path: Path) -> None:
    """Steps are counted from the arrival: a clock that jumps holds back none, and hastens none."""
    callers = tmp_path / "callers.csv"
    callers.write_text(PLAIN_CALLER, encoding="utf-8")
    with (
        serving(tmp_path, callers_file=callers, denial_step_ms=200) as service,
        client_of(service) as client,
    ):
        waited = []
        for jump in JUMPS:
            service.clock.instant = NOON + jump
            began = monotonic()
            client.check("olga", "rec-lio", context=GIVEN)
            waited.append(monotonic() - began)

    assert min(waited) >= 0.2
    assert max(waited) < 5

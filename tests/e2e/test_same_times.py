"""How long a caller that may not explain waits does not tell closed recordings apart.

All kinds are asked for in one random order, so that whatever else the machine does hits all alike:
recordings that are asked for the first time (they are loaded), some again and again (they are in
memory), and some for the first time after their owner (they are in memory, which is not to be
seen). With ``AUTHZ_TEST_ORACLE_SAMPLES`` more are taken, of every kind of closed recording.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable

import pytest

from tests.e2e.closed_doors import DOORS, MUCH
from tests.e2e.two_samples import (
    distance,
    distance_probability,
    rank_probability,
    slower_share,
    told_apart,
)
from tests.e2e.waiting_times import Place, Samples
from tests.postgres import new_database

pytestmark = pytest.mark.slow

ASKED = int(os.environ.get("AUTHZ_TEST_ORACLE_SAMPLES", "0"))
SAMPLES = ASKED or 240
"""How many questions are asked of each kind, each about another recording."""
KINDS = (
    list(DOORS)
    if ASKED
    else [
        "unknown", "another-patients", "another-tenants", "deleted", "sealed", "conflicting", MUCH,
    ]
)  # fmt: skip
AT_ONCE = 1 if ASKED else 4
"""How many questions are under way at the same time: most of each is waiting."""
ATTEMPTS = 3
"""It counts as told apart what is so in every attempt."""


def pairs_in(samples: Samples) -> set[str]:
    """Return the pairs that can be told apart, without by how much."""
    return {one.partition(":")[0] for one in told_apart(samples)}


@pytest.fixture(
    scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)]
)
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A registry on each database."""
    if request.param == "postgresql" and not ASKED:
        pytest.skip("on PostgreSQL in `make check-long` only: AUTHZ_TEST_ORACLE_SAMPLES is not set")
    folder = tmp_path_factory.mktemp("doors")
    sqlite = f"sqlite:///{folder / 'registry.db'}"
    return Place(folder, new_database() if request.param == "postgresql" else sqlite, SAMPLES)


@pytest.mark.timeout(3600 if ASKED else 120)
def test_time_does_not_tell_closed_recordings_apart(place: Place) -> None:
    """Loaded or in memory, whoever asked before; by waiting or by the times in the answer."""
    apart: set[str] = set()
    for attempt in range(ATTEMPTS):
        measured = place.measured(KINDS, step_ms=10, at_once=AT_ONCE)
        pairs = {f"by {name}: {one}" for name in measured for one in pairs_in(measured[name])}
        apart = apart & pairs if attempt else pairs
        assert len(measured["wait"]) == 2 * len(KINDS) + 1
        if not apart:
            return
    raise AssertionError(f"told apart in {ATTEMPTS} attempts: {apart}")


@pytest.mark.timeout(3600 if ASKED else 120)
def test_without_the_steps_time_does_tell(place: Place) -> None:
    """The same questions, the same tests of the same size: they can fail."""
    measured = place.measured(["unknown", MUCH], step_ms=0, at_once=1)

    for samples in (measured["wait"], measured["time"]):
        pairs = pairs_in(samples)
        assert f"{MUCH}, first | unknown, first" in pairs
        assert "unknown, first | watched, first" in pairs
        assert "unknown, again | unknown, first" in pairs


@pytest.mark.parametrize(
    ("change", "is_told"),
    [
        pytest.param(lambda micros: micros, False, id="nothing"),
        pytest.param(lambda micros: micros + 10, False, id="10-microseconds"),
        pytest.param(lambda micros: micros + 100, True, id="100-microseconds"),
        pytest.param(lambda micros: micros * 1.05 - 20, True, id="5-percent"),
        pytest.param(lambda micros: 12_000 + 3 * (micros - 12_000), True, id="another-shape"),
    ],
)
def test_the_statistics_find_what_they_should(
    change: Callable[[float], float], *, is_told: bool
) -> None:
    chance = random.Random(7)
    one = [chance.gauss(12_000, 250) for _ in range(600)]
    other = [change(chance.gauss(12_000, 250)) for _ in range(600)]

    assert bool(told_apart({"one": one, "other": other})) is is_told


def test_the_statistics_are_those_of_the_books() -> None:
    """By scipy 1.17: `mannwhitneyu`, asymptotic, without continuity; `special.kolmogorov`."""
    one, other = [1.0, 2.0, 3.0, 4.0, 5.0, 5.0], [3.0, 5.0, 6.0, 7.0, 8.0]

    assert slower_share(one, other) == pytest.approx(0.85)
    assert rank_probability(one, other) == pytest.approx(0.052477978971)
    assert distance(one, other) == pytest.approx(0.6)
    assert distance_probability(one, other) == pytest.approx(0.279918350778)
    assert rank_probability([1.0] * 9, [1.0] * 9) == distance_probability([1.0], [1.0]) == 1.0

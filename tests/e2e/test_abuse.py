"""Whoever attacks the gRPC port, others are served: right answers, soon, in bounded memory.

Each attack is made by a process of its own, against a service that has a process of its own.
AUTHZ_TEST_ATTACK_SECONDS makes them last longer.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.attackers import ATTACKS, QUESTION
from tests.e2e.client import client_of, eventually, question
from tests.e2e.clinic import FACTS
from tests.e2e.siege import Report, besiege, lines_of
from tests.service_process import ServiceProcess, serving_process

pytestmark = pytest.mark.slow

SECONDS = float(os.environ.get("AUTHZ_TEST_ATTACK_SECONDS", "1.2"))
SLOW = (
    "silent",
    "half_preface",
    "slow_settings",
    "slow_headers",
    "slow_body",
    "no_body",
    "never_takes_answers",
)
"""Attackers that do little, for long."""
PATIENT = 7.0
"""Longer than all that a client may take its time for."""
MOST_GROWN_MIB = 250
"""The most that a service may grow by; without its limits some attacks took a gigabyte."""
MOST_GROWN_BY_IDLE_MIB = 400
"""The same with ten thousand connections, of which each takes 18 KB."""
MOST_SECONDS = 5.0
"""The longest that an honest client may wait; without limits, one waited for nine."""
MOST_LINES = 6
"""Attackers send up to some hundred thousand frames."""


@pytest.fixture(scope="module")
def besieged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    """A service with the clinic in it."""
    with serving_process(tmp_path_factory.mktemp("besieged")) as service:
        with client_of(service) as client:
            client.write(FACTS)
            client.check()
        yield service


def limited(service: ServiceProcess, limit: str) -> float:
    """Return how many calls came up against a limit."""
    with client_of(service) as client:
        return client.metrics()[f'authz_calls_limited_total{{limit="{limit}"}}']


def held_out(report: Report, most_grown_mib: int = MOST_GROWN_MIB) -> None:
    """Claim that the honest client noticed little, and that it cost little."""
    assert report.failures == {}
    assert report.wrong == 0
    assert len(report.seconds) >= 10
    assert max(report.seconds) < MOST_SECONDS
    assert report.median_seconds < 1.0
    assert report.grown_mib < most_grown_mib
    assert lines_of(report.said) <= MOST_LINES, report.said
    assert all(not outcome["died"] for outcome in report.outcomes.values())


@pytest.mark.parametrize("attack", sorted(set(ATTACKS) - {*SLOW, "idle"}))
def test_a_flood_harms_nobody_else(besieged: ServiceProcess, attack: str) -> None:
    report = besiege(besieged, SECONDS, attack)

    held_out(report)
    assert sum(report.outcomes[attack].values()) > 1


def test_slow_and_idle_clients_harm_nobody_else_and_are_shown_out(tmp_path: Path) -> None:
    """Seven ways to be slow, and ten thousand connections that say nothing, at the same time."""
    with serving_process(tmp_path) as service:
        with client_of(service) as client:
            client.write(FACTS)
        report = besiege(service, PATIENT, *SLOW, "idle")

        held_out(report, MOST_GROWN_BY_IDLE_MIB)
        told = report.outcomes
        assert told["silent"]["closed"] == told["silent"]["lines"] == 200
        assert told["half_preface"]["closed"] == 200
        assert told["slow_body"]["ended"] >= 1000
        assert told["no_body"]["ended"] >= 1000
        assert told["idle"]["greeted"] == told["idle"]["lines"] >= 500
        assert report.files < told["idle"]["lines"] + 2000
        assert limited(service, "slow") + limited(service, "arrival") >= 2000
        with client_of(service) as client:
            eventually(lambda: client.metrics()["authz_calls_in_flight"] == 0)


def test_the_attackers_question_is_one_that_is_answered() -> None:
    assert question("mara", "rec-mara").SerializeToString() == QUESTION

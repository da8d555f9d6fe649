"""Two replicas on one PostgreSQL: what is taken away through one is gone on the other in time.

`AUTHZ_TEST_REVOCATIONS` says how many trials, `AUTHZ_TEST_REVOCATIONS_AT_ONCE` how many at once;
`AUTHZ_TEST_REVOCATIONS_FILE` where their delays are written, as JSON that `bench.staleness` plots.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections import Counter
from pathlib import Path

import pytest

from tests.e2e.client import client_of
from tests.e2e.clinic import TENANT, fact
from tests.e2e.revocations import KINDS
from tests.e2e.staleness import Observed, observe
from tests.service_process import serving_process

TRIALS = int(os.environ.get("AUTHZ_TEST_REVOCATIONS", "200"))
STALENESS_MS = 50
ALLOWANCE_MS = 50
AT_ONCE = int(os.environ.get("AUTHZ_TEST_REVOCATIONS_AT_ONCE", "10"))

pytestmark = [pytest.mark.postgres, pytest.mark.slow]


@pytest.fixture(scope="module")
def observed(tmp_path_factory: pytest.TempPathFactory) -> list[Observed]:
    """Trials between two services in processes of their own."""
    from tests.postgres import new_database  # noqa: PLC0415  # it starts a server

    url = new_database()
    folders = [tmp_path_factory.mktemp(name) for name in ("one", "other")]
    settings = {
        "AUTHZ_REGISTRY_URL": url,
        "AUTHZ_FACTS_STALENESS_MS": str(STALENESS_MS),
        "AUTHZ_DECISIONS_URL": "none",
    }
    with (
        serving_process(folders[0], **settings) as one,
        serving_process(folders[1], **settings) as other,
    ):
        with client_of(one) as client:
            client.write([fact("tenant", id=TENANT, time_zone="Europe/Oslo")])
        trials = observe(
            (one.address, other.address),
            TRIALS,
            bound_ms=STALENESS_MS + ALLOWANCE_MS,
            at_once=AT_ONCE,
            seed=2020,
        )
        found = asyncio.run(trials)
    file = os.environ.get("AUTHZ_TEST_REVOCATIONS_FILE")
    if file:
        document = {"staleness_ms": STALENESS_MS, "trials": [each._asdict() for each in found]}
        Path(file).write_text(json.dumps(document))
    return found


def test_no_check_is_allowed_beyond_the_bound(observed: list[Observed]) -> None:
    """Sent later than the bound after the write's answer, a check is denied."""
    late = [each for each in observed if each.last_allowed_ms > STALENESS_MS + ALLOWANCE_MS]

    assert late == []


def test_what_is_gone_does_not_come_back(observed: list[Observed]) -> None:
    """After one check that was denied, none is allowed."""
    assert [each for each in observed if each.allowed_again] == []


def test_a_check_that_carries_the_revision_obeys_at_once(observed: list[Observed]) -> None:
    assert [each for each in observed if each.carried_allowed] == []


def test_the_trials_could_have_found_a_stale_answer(observed: list[Observed]) -> None:
    """Everything was tried, alike, and some checks after a write's answer were allowed still."""
    counts = Counter(each.kind for each in observed)

    assert set(counts) == set(KINDS)
    assert max(counts.values()) - min(counts.values()) <= 1
    assert any(each.last_allowed_ms > 0 for each in observed)
    assert all(each.checks > 5 for each in observed)

"""Calls are cancelled while others share their channel: no answer ever belongs to another question.

With ``AUTHZ_TEST_CANCELLED_TRIALS`` there are as many trials as it says, on each database.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import psutil
import pytest

from authz_service.audit.verify import read_records, verify_journal
from tests.e2e.asked import Batch, Page, unrecorded
from tests.e2e.cancelling import storm
from tests.e2e.client import Client, client_of, eventually
from tests.e2e.closed_doors import chunks
from tests.e2e.known_answers import (
    OWNERS,
    RECORDINGS,
    SUBJECTS,
    Question,
    facts,
    shared_with,
)
from tests.e2e.trials import MOMENTS, SURELY_ANSWERED, Moment, Tally
from tests.postgres import new_registry
from tests.service_process import ServiceProcess, serving_process

ASKED = int(os.environ.get("AUTHZ_TEST_CANCELLED_TRIALS", "0"))
TRIALS = ASKED or 5000
"""How many calls there are."""
POSTGRES_TRIALS = ASKED or 1500
FIRST_SHARE = 5
"""One in so many is made before what the service holds is measured for the first time."""
ACCESS = "authz_service.api.v1.RecordingAccessService"
MOST_FILES, MOST_THREADS, MOST_MEGABYTES = 8, 8, 64
"""By how much the service may have grown at the end: a leak in every call is many times that."""


class Held(NamedTuple):
    """What the service holds."""

    files: int
    threads: int
    megabytes: float

    def grown_from(self, before: Held) -> bool:
        """Whether it is more than what comes and goes."""
        return (
            self.files > before.files + MOST_FILES
            or self.threads > before.threads + MOST_THREADS
            or self.megabytes > before.megabytes + MOST_MEGABYTES
        )


def held(service: ServiceProcess) -> Held:
    """Return what the service holds now."""
    running = psutil.Process(service.pid)
    megabytes = running.memory_info().rss / 1e6
    return Held(running.num_fds(), running.num_threads(), megabytes)


def in_flight(client: Client) -> float:
    """Return how many calls have arrived and were not answered."""
    samples = client.metrics()
    started, handled = (
        sum(
            value
            for name, value in samples.items()
            if name.startswith(f"grpc_server_{kind}_total{{")
        )
        for kind in ("started", "handled")
    )
    assert started > 0
    return started - handled


def answered(method: Any, request: Any) -> Any:
    """Ask, again where the registry was too slow for a moment; return the answer."""
    for _ in range(10):
        with suppress(grpc.RpcError):
            return method(request, timeout=10)
    return method(request, timeout=10)


def asked_alone(client: Client) -> list[str]:
    """Ask one by one whatever may be asked, in batches; return what is wrong."""
    pairs = [(subject, subject * 4 + each) for subject in range(OWNERS) for each in range(4)]
    pairs += [(guest, each) for guest in range(OWNERS, SUBJECTS) for each in shared_with(guest)]
    pairs += [((number * 7) % SUBJECTS, number) for number in range(RECORDINGS)]
    batches = [
        Batch([Question(*pair, action) for pair in pairs[first : first + 100]])
        for action in ("VIEW", "DOWNLOAD", "EXPORT", "DELETE")
        for first in range(0, len(pairs), 100)
    ]
    faults = []
    for batch in batches:
        answer = answered(client.access.BatchCheckAccess, batch.request)
        faults += batch.faults(answer, answer.request_id)
    for page in map(Page, range(SUBJECTS)):
        answer = answered(client.access.ListRecordings, page.request)
        faults += page.faults(answer, answer.request_id)
    return faults


def require_every_moment(tally: Tally, trials: int) -> None:
    """Every way to cancel was tried often; where it is the caller's race, both ends were seen."""
    assert sum(tally.ends.values()) + tally.unavailable >= trials
    for moment in MOMENTS:
        answered, cancelled = tally.ends[moment, True], tally.ends[moment, False]
        assert answered + cancelled > trials / len(MOMENTS) / 2, moment
        if moment in SURELY_ANSWERED:
            assert not cancelled, moment
        else:
            assert cancelled, moment
    assert tally.ends[Moment.SOON, True]
    assert tally.ends[Moment.DEADLINE, True]


def require_reached(samples: dict[str, float], trials: int) -> None:
    """Many calls were cancelled only when the service had them, and most of them had to load."""
    assert samples['authz_facts_cache_evicted_total{kind="recording"}'] > trials / 4
    assert samples["authz_facts_cache_dropped_total"] > 0
    for method in ("CheckAccess", "BatchCheckAccess", "ListRecordings"):
        ended = f'{{grpc_code="CANCELLED",grpc_method="{method}",grpc_service="{ACCESS}"}}'
        assert samples[f"grpc_server_handled_total{ended}"] > 0, method


@pytest.mark.slow
@pytest.mark.timeout(3600 if ASKED else 120)
@pytest.mark.parametrize(
    ("is_postgres", "trials"),
    [
        pytest.param(False, TRIALS, id="sqlite"),
        pytest.param(True, POSTGRES_TRIALS, id="postgresql", marks=pytest.mark.postgres),
    ],
)
def test_no_answer_belongs_to_another_question(
    tmp_path: Path, trials: int, *, is_postgres: bool
) -> None:
    """Nor is anything left of a call that was cancelled; and whoever was answered is on record."""
    url = new_registry() if is_postgres else f"sqlite:///{tmp_path / 'registry.db'}"
    settings = {"AUTHZ_REGISTRY_URL": url, "AUTHZ_FACTS_CACHE_ENTRIES": "100"}
    with serving_process(tmp_path, **settings) as service:
        with client_of(service) as client:
            for some in chunks(facts()):
                client.write(some)
            assert asked_alone(client) == []
        tally = storm(service.address, trials // FIRST_SHARE, "first")
        before = held(service)
        tally.add(storm(service.address, trials - trials // FIRST_SHARE, "then"))

        with client_of(service) as client:
            eventually(lambda: in_flight(client) == 0, 2)
            assert client.serving()
            assert asked_alone(client) == []
            require_reached(client.metrics(), trials)
        eventually(lambda: not held(service).grown_from(before), 10)
        service.signal(signal.SIGTERM)
        assert service.wait() == 0
        assert service.events("rpc_failed") == []

    assert tally.faults == []
    assert tally.unavailable <= trials / 20
    require_every_moment(tally, trials)
    assert len({each.decision_id for each in tally.told}) == len(tally.told) > trials / 4
    assert verify_journal(tmp_path / "journal").fault is None
    assert unrecorded(tally.told, read_records(tmp_path / "journal")) == []

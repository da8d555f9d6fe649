"""One command stops access on every replica within a second, whatever else they are at.

Two services on one PostgreSQL are kept busy by processes of their own; a check that either of them
still allows after the containment was asked for counts until its answer is there, which is later
than when it was judged. ``AUTHZ_TEST_BRAKE_TRIALS`` makes it long, and shows the distribution.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.client import Client, client_of, eventually
from tests.e2e.clinic import FACTS
from tests.service_process import ServiceProcess, serving_process
from tests.service_thread import untried_policy

TRIALS = int(os.environ.get("AUTHZ_TEST_BRAKE_TRIALS", "2"))
WITHIN_SECONDS = 1.0
SCOPE = {"audience": "PATIENTS", "tenant_id": "fjell"}
_CONTAIN = (
    sys.executable,
    "-c",
    "from authz_service.cli.main import main; main()",
    "contain", "--audience", "PATIENTS", "--tenant", "fjell", "--actor", "jo.doe",
    "--reason", "ticket 4711", "--format", "json", "--timeout", "10",
)  # fmt: skip
_FLOODS = 2
_IN_FLIGHT = 64
_PAUSE_SECONDS = 0.4

pytestmark = pytest.mark.postgres


@contextmanager
def two_replicas(folder: Path, url: str) -> Iterator[tuple[ServiceProcess, ServiceProcess]]:
    """Serve twice on one registry, with the clinic in it."""
    with ExitStack() as stack:
        replicas = []
        for name in ("one", "two"):
            own = folder / name
            own.mkdir()
            replicas.append(
                stack.enter_context(
                    serving_process(
                        own, AUTHZ_REGISTRY_URL=url, AUTHZ_POLICY_DIR=str(untried_policy())
                    )
                )
            )
        with client_of(replicas[0]) as client:
            client.write(FACTS)
        yield replicas[0], replicas[1]


class Flood:
    """Processes that keep *replicas* busy."""

    def __init__(self, replicas: Sequence[ServiceProcess], *, writes: bool) -> None:
        addresses = [each.address for each in replicas]
        what = ["with-writes" if writes else "checks-only", *["checks-only"] * (_FLOODS - 1)]
        self._begun = time.monotonic()
        self._processes = [
            subprocess.Popen(
                [sys.executable, "-m", "tests.e2e.check_flood", str(_IN_FLIGHT), one, *addresses],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
            for one in what
        ]

    def end(self) -> tuple[list[list[float]], str]:
        """End it; return when checks were allowed, by replica, and how much was answered."""
        told = [json.loads(each.communicate(b"", timeout=30)[0]) for each in self._processes]
        seconds = time.monotonic() - self._begun
        answered = sum(
            len(one["allowed_at"]) + sum(one["others"].values())
            for each in told
            for one in each.values()
        )
        written = sum(one["written"] for each in told for one in each.values())
        by_replica = [
            sorted(at for each in told for at in each[address]["allowed_at"]) for address in told[0]
        ]
        return by_replica, f"{answered / seconds:.0f} checks/s, {written / seconds:.0f} facts/s"

    def kill(self) -> None:
        """End it, whatever it does."""
        for each in self._processes:
            each.kill()
            each.wait()


def set_by_call(client: Client, _address: str) -> tuple[float, str]:
    """Contain over a channel that is open; return when it was begun, and its id."""
    begun = time.monotonic()
    return begun, str(client.contain(SCOPE).containment.id)


def set_by_command(_client: Client, address: str) -> tuple[float, str]:
    """Contain as an operator does; return when that came to the service, and its id.

    Until then the command starts, which is a quarter of a second of work: on the operator's
    machine, and not on two cores that the services and all who ask them share.
    """
    done = subprocess.run(
        [*_CONTAIN, "--address", address],
        env={name: text for name, text in os.environ.items() if not name.startswith("AUTHZ_")},
        check=False,
        capture_output=True,
        timeout=30,
    )
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout)["containment"]
    ago = datetime.now(UTC) - datetime.fromisoformat(made["set_at"])
    return time.monotonic() - ago.total_seconds(), str(made["id"])


@pytest.mark.parametrize(
    ("way", "writes"),
    [
        pytest.param(set_by_call, False, id="call-among-checks", marks=pytest.mark.slow),
        pytest.param(set_by_call, True, id="call-among-checks-and-writes"),
        pytest.param(set_by_command, True, id="command", marks=pytest.mark.slow),
    ],
)
def test_a_containment_is_in_force_everywhere_within_a_second_under_full_load(
    tmp_path: Path, postgres_url: str, way: Any, *, writes: bool
) -> None:
    with two_replicas(tmp_path, postgres_url) as replicas, client_of(replicas[0]) as client:
        flood = Flood(replicas, writes=writes)
        try:
            time.sleep(2 * _PAUSE_SECONDS)
            trials = [one_trial(client, replicas[0].address, way) for _ in range(TRIALS)]
            allowed, answered = flood.end()
        finally:
            flood.kill()

    taken = sorted(last_allowed(allowed, begun, lifted) - begun for begun, lifted in trials)
    if len(taken) > len("ab"):
        show(f"{way.__name__}, {answered}", taken)
    assert all(len(each) > 100 for each in allowed), "it was no load"
    assert taken[-1] < WITHIN_SECONDS


def one_trial(client: Client, address: str, way: Any) -> tuple[float, float]:
    """Contain, and lift it after a while; return when the one was begun, and then the other."""
    eventually(lambda: bool(client.outcome() == ("ALLOW", "RULE_ALLOWED")))
    time.sleep(_PAUSE_SECONDS)
    begun, containment_id = way(client, address)
    time.sleep(WITHIN_SECONDS)
    lifted = time.monotonic()
    client.lift(containment_id)
    return begun, lifted


def last_allowed(allowed: Sequence[Sequence[float]], begun: float, lifted: float) -> float:
    """Return when a check was allowed last before *lifted*, on either replica."""
    return max(max((at for at in each if begun <= at < lifted), default=begun) for each in allowed)


def show(what: str, taken: Sequence[float]) -> None:
    """Print how long it took."""
    ranks = {"min": 0.0, "p50": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}
    places = {name: taken[round(rank * (len(taken) - 1))] for name, rank in ranks.items()}
    said = ", ".join(f"{name} {seconds * 1000:.0f} ms" for name, seconds in places.items())
    sys.__stdout__.write(f"\n{what}, {len(taken)} trials: {said}\n")  # type: ignore[union-attr]  # it is open

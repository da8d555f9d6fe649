"""How long a caller waits for denials of each kind; run by itself, it prints that as a table.

``python -m tests.e2e.waiting_times 300 sqlite`` asks about 300 recordings of each kind, with the
steps at which denials leave and without; the second word may be ``postgresql``.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from authz_service.api.v1 import recording_access_pb2 as pb
from authz_service.api.v1 import vocabulary_pb2 as words
from tests.e2e.client import Client, client_of, question
from tests.e2e.closed_doors import DOORS, PLAIN_CALLER, SUBJECT, chunks, names_of, world
from tests.postgres import new_database
from tests.service_process import serving_process
from tests.service_thread import untried_policy

WATCHED = "another-patients"
"""The kind of which some were asked for by their owner before."""
REMEMBERED = 10
"""Of how many recordings of each kind it is asked again and again."""

Samples = dict[str, list[float]]
"""Times in microseconds, by kind and by what is in memory."""
Measured = dict[str, Samples]
"""What a caller can measure: how long it waits, and what `evaluated_at` and the id say later."""


class Place:
    """A registry with closed recordings, and services over it that begin with nothing in memory."""

    def __init__(self, folder: Path, registry_url: str, each: int) -> None:
        self._folder, self._registry_url, self._each = folder, registry_url, each
        (folder / "callers.csv").write_text(PLAIN_CALLER, encoding="utf-8")
        self._facts_are_written = False

    def measured(self, kinds: Sequence[str], *, step_ms: int, at_once: int) -> Measured:
        """Return what a caller can measure of questions about recordings of *kinds*."""
        settings = {
            "AUTHZ_CALLERS_FILE": str(self._folder / "callers.csv"),
            "AUTHZ_POLICY_DIR": str(untried_policy()),
            "AUTHZ_REGISTRY_URL": self._registry_url,
            "AUTHZ_DENIAL_STEP_MS": str(step_ms),
        }
        with serving_process(self._folder, **settings) as service, client_of(service) as client:
            if not self._facts_are_written:
                for some in chunks(world(2 * self._each)):
                    client.write(some)
                self._facts_are_written = True
            return asked_in_any_order(client, kinds, self._each, at_once)


def asked_in_any_order(client: Client, kinds: Sequence[str], each: int, at_once: int) -> Measured:
    """Ask, and return what was measured."""
    asked: list[tuple[str, pb.CheckAccessRequest]] = []
    for kind in kinds:
        names = names_of(kind, each)
        asked += [(f"{kind}, first", question(SUBJECT, name)) for name in names[REMEMBERED:]]
        known = [question(SUBJECT, name) for name in names[:REMEMBERED]]
        for one in known:
            client.access.CheckAccess(one, timeout=10)
        asked += [(f"{kind}, again", one) for one in known * (each // REMEMBERED - 1)]
    watched = names_of(WATCHED, 2 * each)[each + REMEMBERED :]
    for name in ["rec-mara"] * 50 + watched:
        assert client.check("mara", name).effect == words.EFFECT_ALLOW
    asked += [("watched, first", question(SUBJECT, name)) for name in watched]
    random.Random(4).shuffle(asked)
    measured: Measured = {name: defaultdict(list) for name in ("wait", "time", "id")}

    def ask(one: tuple[str, pb.CheckAccessRequest]) -> None:
        title, request = one
        wall, begun = time.time_ns(), time.perf_counter_ns()
        answer = client.access.CheckAccess(request, timeout=10)
        measured["wait"][title].append((time.perf_counter_ns() - begun) / 1000)
        measured["time"][title].append((answer.evaluated_at.ToNanoseconds() - wall) / 1000)
        named_ms = int(answer.decision_id[:8] + answer.decision_id[9:13], 16)  # RFC 9562, 5.7
        measured["id"][title].append(named_ms * 1000 - wall / 1000)
        assert answer.reason == words.REASON_NOT_AVAILABLE

    with ThreadPoolExecutor(at_once) as pool:
        list(pool.map(ask, asked))
    return measured


def main() -> None:
    """Print what was measured, in milliseconds."""
    each, database = int(sys.argv[1]), sys.argv[2]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        url = new_database() if database == "postgresql" else f"sqlite:///{folder / 'registry.db'}"
        place = Place(folder, url, each)
        say = sys.stdout.write
        for step_ms in (0, 10):
            waits = place.measured(list(DOORS), step_ms=step_ms, at_once=1)["wait"]
            say(f"\nsteps of {step_ms} ms\n{'':38}    n    p10    p50    p90    p99\n")
            for title in sorted(waits):
                say(f"{title:38} {len(waits[title]):4}{_quantiles(waits[title])}\n")


def _quantiles(sample: Sequence[float]) -> str:
    ordered = sorted(sample)
    at = (len(ordered) * share // 100 for share in (10, 50, 90, 99))
    return "".join(f" {ordered[one] / 1000:6.2f}" for one in at)


if __name__ == "__main__":
    main()

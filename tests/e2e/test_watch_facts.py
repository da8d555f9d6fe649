"""WatchFacts over a real port: writers, kills, restores, slow readers, limits and callers."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import psutil
import pytest

from authz_service.api.v1 import facts_pb2 as pb
from authz_service.audit.verify import read_records
from authz_service.facts.exporter import export_lines
from authz_service.facts.schema_version import migrate
from tests.certificates import CALLER, WITNESSES, Estate
from tests.contract.facts.registry_cases import run
from tests.e2e.client import Client, client_of, eventually
from tests.e2e.clinic import FACTS, fact, patient
from tests.service_process import serving_process
from tests.service_thread import serving, untried_policy
from tests.wire import RpcFailure, failure_of

KILLS = int(os.environ.get("AUTHZ_TEST_WATCH_KILLS", "1"))
BEHIND = int(os.environ.get("AUTHZ_TEST_WATCH_CHANGES", "8000"))


class Watching:
    """A watch whose messages are taken by a thread of its own.

    Attributes:
        told: What was told so far.
    """

    def __init__(self, client: Client, after: int = 0, state: str = "") -> None:
        request = pb.WatchFactsRequest(after_revision=after, after_state=state)
        self.call = client.facts.WatchFacts(request, timeout=60)
        self.told: list[pb.WatchFactsResponse] = []
        self.failure: RpcFailure | None = None
        self._thread = threading.Thread(target=self._take, daemon=True)
        self._thread.start()

    def _take(self) -> None:
        try:
            for message in self.call:
                self.told.append(message)
        except grpc.RpcError as error:
            self.failure = failure_of(error)

    def await_revision(self, revision: int) -> None:
        """Wait until a revision was told whole."""
        eventually(lambda: any(m.is_whole and m.revision >= revision for m in list(self.told)))

    def await_end(self) -> RpcFailure:
        """Wait until the service ends it; return how."""
        self._thread.join(timeout=20)
        assert self.failure is not None
        return self.failure

    def whole(self) -> list[int]:
        """Return the revisions that were told whole, with what they changed, in order."""
        return [m.revision for m in self.told if m.is_whole and m.HasField("recorded_at")]


def applied(messages: list[pb.WatchFactsResponse]) -> dict[tuple[int, str], Any]:
    """Return the facts that there are once all changes were made, one after the other."""
    facts: dict[tuple[int, str], Any] = {}
    for message in messages:
        for change in message.changes:
            key = (change.reference.kind, change.reference.id)
            if change.HasField("fact"):
                facts[key] = change.fact
            else:
                facts.pop(key, None)
    return facts


def as_read(client: Client, facts: dict[tuple[int, str], Any]) -> dict[tuple[int, str], Any]:
    """Return the same facts as the service has them stored."""
    request = pb.ReadFactsRequest()
    for kind, fact_id in facts:
        request.references.add(kind=kind, id=fact_id)
    found = client.facts.ReadFacts(request, timeout=10).facts
    return dict(zip(facts, found, strict=True))


@contextmanager
def watching(client: Client, after: int = 0, state: str = "") -> Iterator[Watching]:
    """Lend a watch; it is cancelled at the end."""
    watch = Watching(client, after, state)
    try:
        yield watch
    finally:
        watch.call.cancel()


def details_of(record: dict[str, Any]) -> Any:
    """Return what an event says."""
    return record["details"]["after_revision"]


def test_what_was_written_is_told_and_then_what_is_written(either_url: str, tmp_path: Path) -> None:
    with serving(tmp_path, registry_url=either_url) as service, client_of(service) as client:
        client.write(FACTS, actor="ada")
        with watching(client) as watch:
            watch.await_revision(1)
            begun = time.monotonic()
            client.write([patient("late")], actor="ben")
            watch.await_revision(2)
            seconds = time.monotonic() - begun
            facts = applied(watch.told)

            assert facts == as_read(client, facts)
            assert len(facts) == len(list(export_lines(either_url)))
            assert [m.actor for m in watch.told if m.changes] == ["ada", "ben"]
            assert seconds < 1
    events = [r for r in read_records(tmp_path / "journal") if r["kind"] == "FACTS_WATCHED"]
    assert [(each["caller"], details_of(each)) for each in events] == [("loopback", 0)]


def test_a_sign_of_life_comes_once_all_is_told(shared_client: Client) -> None:
    """A watcher learns at once that it has caught up."""
    watch = shared_client.facts.WatchFacts(pb.WatchFactsRequest(), timeout=10)
    first, sign = next(watch), next(watch)
    watch.cancel()

    assert (first.revision, sign.revision) == (1, 1)
    assert first.state == sign.state != ""
    assert (len(sign.changes), sign.is_whole, sign.HasField("recorded_at")) == (0, True, False)


@pytest.mark.parametrize(
    ("after", "state", "reason"),
    [
        pytest.param(99, "", "REVISION_AHEAD", id="ahead"),
        pytest.param(1, "another", "HISTORY_GONE", id="never-in-that-state"),
    ],
)
def test_a_watcher_from_elsewhere_is_told_so(
    shared_client: Client, after: int, state: str, reason: str
) -> None:
    with watching(shared_client, after, state) as watch:
        failure = watch.await_end()

    assert (failure.code, failure.reason) == ("FAILED_PRECONDITION", reason)
    assert failure.request_id


def test_a_watcher_that_is_too_far_behind_is_told_so(either_url: str, tmp_path: Path) -> None:
    with serving(tmp_path, registry_url=either_url) as service, client_of(service) as client:
        client.write(FACTS)
        client.write([patient("late")])
        run(either_url, "UPDATE facts_revision SET history_from = 2")
        with watching(client, 1) as watch:
            failure = watch.await_end()

    assert (failure.code, failure.reason) == ("FAILED_PRECONDITION", "HISTORY_GONE")
    assert "from 2 on" in failure.message


@pytest.mark.slow
def test_a_kill_loses_and_repeats_nothing(either_url: str, tmp_path: Path) -> None:
    """The watcher goes on after the last revision that it was told whole."""
    stop = threading.Event()
    told: list[pb.WatchFactsResponse] = []
    after, state = 0, ""
    for number in range(KILLS):
        with (
            serving_process(
                tmp_path, AUTHZ_REGISTRY_URL=either_url, AUTHZ_POLICY_DIR=str(untried_policy())
            ) as service,
            client_of(service) as client,
            client_of(service) as writer,
        ):
            stop.clear()
            thread = threading.Thread(target=keep_writing, args=(writer, stop, number))
            thread.start()
            watch = Watching(client, after, state)
            watch.await_revision(after + 10)
            service.kill()
            stop.set()
            thread.join()
            assert watch.await_end().code == "UNAVAILABLE"
            whole = [m for m in watch.told if m.is_whole and m.changes]
            told += whole
            after, state = whole[-1].revision, whole[-1].state
    with (
        serving(tmp_path, registry_url=either_url) as last,
        client_of(last) as client,
        watching(client, after, state) as watch,
    ):
        eventually(lambda: any(not m.changes for m in list(watch.told)))
        told += [m for m in watch.told if m.changes]
        revisions = [message.revision for message in told]

        assert revisions == list(range(1, len(revisions) + 1))
        assert len(applied(told)) == len(list(export_lines(either_url)))


def keep_writing(client: Client, stop: threading.Event, number: int) -> None:
    """Write one patient after the other until told to stop or the service is gone."""
    count = 0
    while not stop.is_set():
        count += 1
        try:
            client.write([patient(f"p{number}-{count}")])
        except grpc.RpcError:
            return


@pytest.mark.slow
def test_a_registry_that_is_put_back_ends_the_watch(tmp_path: Path) -> None:
    place, backup = tmp_path / "registry.db", tmp_path / "backup.db"
    with serving(tmp_path) as service, client_of(service) as client:
        client.write(FACTS)
        with sqlite3.connect(place) as source, sqlite3.connect(backup) as target:
            source.backup(target)
        client.write([patient("late")])
        with watching(client) as watch:
            watch.await_revision(2)
            for left in ("registry.db-wal", "registry.db-shm"):
                (tmp_path / left).unlink(missing_ok=True)
            shutil.copy(backup, tmp_path / "again.db")
            (tmp_path / "again.db").replace(place)
            failure = watch.await_end()

    assert (failure.code, failure.reason) == ("FAILED_PRECONDITION", "HISTORY_GONE")


@pytest.mark.slow
def test_a_drain_ends_a_watch_with_its_reason_and_soon(tmp_path: Path) -> None:
    with (
        serving_process(tmp_path, AUTHZ_POLICY_DIR=str(untried_policy())) as service,
        client_of(service) as client,
    ):
        client.write(FACTS)
        with watching(client) as watch:
            watch.await_revision(1)
            begun = time.monotonic()
            service.signal(signal.SIGTERM)
            failure = watch.await_end()
            code = service.wait(seconds=10)

    assert (failure.code, failure.reason, failure.retry_seconds) == ("UNAVAILABLE", "DRAINING", 1)
    assert code == 0
    assert time.monotonic() - begun < 5


@pytest.mark.slow
def test_watchers_that_never_read_hold_no_memory_and_no_drain(
    either_url: str, tmp_path: Path
) -> None:
    """Fifty of them, with all changes before them; checks are answered meanwhile."""
    migrate(either_url)
    with serving_process(
        tmp_path, AUTHZ_REGISTRY_URL=either_url, AUTHZ_POLICY_DIR=str(untried_policy())
    ) as service:
        with client_of(service) as client:
            client.write(FACTS)
            for start in range(0, BEHIND, 1000):
                client.write(
                    [fact("block", id=f"b{n}", patient_id=f"p{n}", delegate_id="eve")
                     for n in range(start, start + 1000)]
                )  # fmt: skip
        process = psutil.Process(service.pid)
        before = process.memory_info().rss
        channels = [grpc.insecure_channel(service.address, _APART) for _ in range(50)]
        calls: list[Any] = [begin_watch(channel) for channel in channels]
        with client_of(service) as client:
            eventually(lambda: client.metrics()["authz_calls_in_flight"] >= 50)
            time.sleep(1)
            grown = process.memory_info().rss - before
            outcome = client.outcome()
        begun = time.monotonic()
        service.signal(signal.SIGTERM)
        code = service.wait(seconds=10)
        seconds = time.monotonic() - begun
        for call, channel in zip(calls, channels, strict=True):
            call.cancel()
            channel.close()

    assert outcome[0] == "ALLOW"
    assert grown < 60 << 20
    assert code == 0
    assert seconds < 5


_APART = (("grpc.use_local_subchannel_pool", 1), ("grpc.http2.bdp_probe", 0))
_WATCH = "/authz_service.api.v1.FactsService/WatchFacts"


def begin_watch(channel: Any) -> Any:
    """Begin a watch of which nothing is ever read."""
    return channel.unary_stream(_WATCH)(b"")


@pytest.fixture
def over_tls(estate: Estate, tmp_path: Path) -> Iterator[Any]:
    """A service over TLS with the clinic in it."""
    with serving(tmp_path, **estate.settings) as service:
        yield service


def test_one_callers_watches_are_counted(over_tls: Any, estate: Estate) -> None:
    with client_of(over_tls, estate.credentials(CALLER)) as client:
        client.write([fact("tenant", id="fjell", time_zone="Europe/London")])
        watches = [Watching(client) for _ in range(10)]
        for each in watches:
            each.await_revision(1)
        with watching(client) as watch:
            failure = watch.await_end()
        watches[0].call.cancel()
        eventually(lambda: bool(_told_once(client)))
        for each in watches:
            each.call.cancel()

    assert (failure.code, failure.reason) == ("RESOURCE_EXHAUSTED", "LIMIT_EXCEEDED")


def _told_once(client: Client) -> bool:
    with watching(client) as watch:
        eventually(lambda: bool(watch.told) or watch.failure is not None)
        return watch.failure is None


@pytest.mark.parametrize(
    "cells",
    [
        pytest.param("WatchFacts,fjell,,,,", id="bound-to-a-tenant"),
        pytest.param("ReadFacts,*,,,,", id="without-the-rpc"),
    ],
)
def test_a_caller_that_may_not_watch_is_refused(over_tls: Any, estate: Estate, cells: str) -> None:
    estate.put_callers(f"{CALLER},{cells}")
    over_tls.reload_soon()
    with client_of(over_tls, estate.credentials(CALLER)) as client:

        def refused() -> bool:
            with watching(client) as watch:
                eventually(lambda: bool(watch.told) or watch.failure is not None)
                return watch.failure is not None

        eventually(refused)
        with watching(client) as watch:
            failure = watch.await_end()

    assert (failure.code, failure.reason) == ("PERMISSION_DENIED", "CALLER_NOT_ALLOWED")


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        pytest.param((), "CALLER_UNAUTHENTICATED", id="row-withdrawn"),
        pytest.param((f"{CALLER},ReadFacts,*,,,,",), "CALLER_NOT_ALLOWED", id="rpc-withdrawn"),
        pytest.param((f"{CALLER},WatchFacts,fjell,,,,",), "DRAINING", id="bound-now"),
    ],
)
def test_a_watch_ends_when_its_caller_may_no_longer(
    over_tls: Any, estate: Estate, rows: tuple[str, ...], reason: str
) -> None:
    with client_of(over_tls, estate.credentials(CALLER)) as client:
        client.write([fact("tenant", id="fjell", time_zone="Europe/London")])
        with watching(client) as watch:
            watch.await_revision(1)
            begun = time.monotonic()
            estate.put_callers(*WITNESSES, *rows)
            over_tls.reload_soon()
            failure = watch.await_end()

    assert failure.reason == reason
    assert time.monotonic() - begun < 5

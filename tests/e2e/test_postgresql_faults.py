"""A service process on a PostgreSQL that stops, stalls, is set back or lets nobody in.

Whatever it is: each call ends within its deadline, an answer is the truth, health says so soon,
and all is well again by itself soon after.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import psycopg
import pytest

from authz_service.cli.doctor_registry import registry
from authz_service.clocks import SystemClock
from authz_service.facts.sql_registry import SqlRegistry
from authz_service.pdp.entities import Delegation
from authz_service.pdp.entity_words import DelegationKind
from authz_service.pdp.facts import Fact
from authz_service.pdp.model import Action
from authz_service.settings import load_settings
from tests.bad_line import BadLine
from tests.e2e.client import ALLOWED, Client, client_of, eventually
from tests.e2e.clinic import FACTS, patient
from tests.marked import PASSWORD
from tests.own_postgres import MAX_CONNECTIONS, ROLE, OwnPostgres
from tests.service_process import ServiceProcess, serving_process
from tests.service_thread import untried_policy
from tests.wire import failure_of

pytestmark = [pytest.mark.postgres, pytest.mark.slow]

SECONDS = float(os.environ.get("AUTHZ_TEST_OUTAGE_SECONDS", "0.5"))
"""How long the server is broken once all is unavailable; minutes in the long run."""
DEADLINE_SECONDS = 2.0
SOON_SECONDS, AGAIN_SECONDS = 3.0, 8.0
"""When health tells of it, and when all is well again, with room for a busy machine."""
FAMILY: dict[str, Any] = {"context": {"purpose_of_use": "FAMRQT"}}
_FAILURES = {("UNAVAILABLE", "FACTS_UNAVAILABLE"), ("DEADLINE_EXCEEDED", "DEADLINE")}


class Place:
    """What the tests of this module share.

    Attributes:
        postgres: The server.
        line: How the service reaches it.
        service: The service.
        client: Asks the service.
    """

    def __init__(
        self, postgres: OwnPostgres, line: BadLine, service: ServiceProcess, client: Client
    ) -> None:
        self.postgres = postgres
        self.line = line
        self.service = service
        self.client = client


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A service process on a server of its own, behind a line that can go bad."""
    home = Path(tempfile.mkdtemp(prefix="authz-own-"))
    with ExitStack() as closing:
        closing.callback(shutil.rmtree, home, ignore_errors=True)
        postgres = OwnPostgres(home)
        closing.callback(postgres.close)
        line = BadLine(postgres.socket)
        closing.callback(line.close)
        service = closing.enter_context(
            serving_process(
                tmp_path_factory.mktemp("place"),
                AUTHZ_REGISTRY_URL=postgres.url(line.port),
                AUTHZ_POLICY_DIR=str(untried_policy()),
            )
        )
        client = closing.enter_context(client_of(service))
        client.write(FACTS)
        yield Place(postgres, line, service, client)


class Truth:
    """Asks all the time; what is answered has to be so, and nothing may take too long."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._stop = threading.Event()
        self.answers = self.failures = 0
        self.wrong: list[object] = []

    def ask(self) -> None:
        while not self._stop.is_set():
            for who, effect in (("mara", "ALLOW"), ("ines", "DENY")):
                begun = time.monotonic()
                try:
                    found = self._client.outcome(who, "rec-mara", timeout=DEADLINE_SECONDS)[0]
                    self.answers += 1
                    if found != effect:
                        self.wrong.append((who, found))
                except grpc.RpcError as error:
                    failure = failure_of(error)
                    self.failures += 1
                    if (failure.code, failure.reason) not in _FAILURES:
                        self.wrong.append(failure)
                    self._stop.wait(0.01)
                if time.monotonic() - begun > DEADLINE_SECONDS + 1:
                    self.wrong.append(f"{time.monotonic() - begun:.1f} s")

    def stop(self) -> None:
        self._stop.set()


@contextmanager
def truly(place: Place) -> Iterator[Truth]:
    """Ask all the time; at the end all is well again, without anybody's help."""
    truth = Truth(place.client)
    with ThreadPoolExecutor(2) as threads:
        asking = [threads.submit(truth.ask) for _ in range(2)]
        try:
            yield truth
            place.client.await_health(serving=True)
            eventually(lambda: is_well(place), seconds=AGAIN_SECONDS)
        finally:
            truth.stop()
    for each in asking:
        each.result()
    assert truth.wrong == []


def is_well(place: Place) -> bool:
    try:
        return bool(place.client.outcome(timeout=DEADLINE_SECONDS) == ALLOWED)
    except grpc.RpcError:
        return False


def breaks(place: Place) -> None:
    """Hold that calls fail and health says so, soon and for as long as it is broken."""
    assert place.client.await_health(serving=False) < SOON_SECONDS
    time.sleep(SECONDS)
    assert not is_well(place)
    assert not place.client.serving()


def recovers(place: Place) -> None:
    """Hold that all is well again, soon."""
    assert place.client.await_health(serving=True) < AGAIN_SECONDS


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_a_server_that_is_stopped_and_started(place: Place, mode: str) -> None:
    """What was being written then is there whole or not at all, and may be sent again."""
    with truly(place), written_all_the_time(place, mode) as sent:
        place.postgres.stop(mode)
        breaks(place)
        verdict, what, todo = diagnosed(place)
        assert (verdict, "does not answer" in what) == ("fail", True)
        assert "that the database runs" in todo
        place.postgres.start()
        recovers(place)
    for pair in sent:
        again = place.client.write([patient(name) for name in pair])
        assert (again.written, again.unchanged) in {(2, 0), (0, 2)}


def diagnosed(place: Place, url: str = "") -> tuple[str, str, str]:
    """Return what the doctor says of the registry: verdict, what is wrong, what to do."""
    settings = load_settings({"registry_url": url or place.postgres.url(place.line.port)}, {})
    found = registry(settings)
    assert PASSWORD not in str(found)
    return found.verdict.value, found.what, found.todo


@contextmanager
def written_all_the_time(place: Place, word: str) -> Iterator[list[tuple[str, str]]]:
    """Write pairs of patients without end; lend those whose writing failed."""
    failed: list[tuple[str, str]] = []
    done = threading.Event()

    def write() -> None:
        number = 0
        while not done.is_set():
            number += 1
            pair = (f"{word}-{number}-a", f"{word}-{number}-b")
            try:
                place.client.write([patient(name) for name in pair])
            except grpc.RpcError as error:
                failure = failure_of(error)
                assert (failure.code, failure.reason) in _FAILURES
                failed.append(pair)
                done.wait(0.1)

    with ThreadPoolExecutor(1) as threads:
        writing = threads.submit(write)
        try:
            yield failed
        finally:
            done.set()
        writing.result()
    assert failed


def test_a_server_that_is_paused(place: Place) -> None:
    with truly(place):
        with place.postgres.paused():
            breaks(place)
        recovers(place)


def test_a_server_that_is_read_only_after_a_failover(place: Place) -> None:
    """Connections are still open then, to what is not the primary any more."""
    with truly(place):
        place.postgres.admin(
            "ALTER SYSTEM SET default_transaction_read_only = on", "SELECT pg_reload_conf()"
        )
        breaks(place)
        assert "read-only" in place.client.http("/healthz")[1]
        verdict, what, todo = diagnosed(place)
        assert (verdict, "read-only" in what, "name the primary" in todo) == ("fail", True, True)
        place.postgres.admin(
            "ALTER SYSTEM RESET default_transaction_read_only", "SELECT pg_reload_conf()"
        )
        recovers(place)


def delegated(place: Place, day: int, *, revoked: bool = False) -> int:
    """Write Olga's delegation by another replica, which has a good line; return the revision."""
    at = datetime(2020, 1, day, tzinfo=UTC)
    entity = Delegation(
        "del-lio",
        DelegationKind.PARENTAL,
        "lio",
        "olga",
        actions=(Action.LIST, Action.VIEW),
        valid_from=datetime(2019, 1, 1, tzinfo=UTC),
        revoked_at=at if revoked else None,
    )
    replica = SqlRegistry(place.postgres.direct_url, SystemClock())
    outcome = asyncio.run(replica.write([Fact(entity, "proxies", at)], actor="ada"))
    replica.close()
    return outcome.revision


def olga(place: Place) -> str:
    """Ask whether Olga may watch her child's recording; return the effect, or the failure."""
    try:
        return str(place.client.outcome("olga", "rec-lio", timeout=DEADLINE_SECONDS, **FAMILY)[0])
    except grpc.RpcError as error:
        return failure_of(error).code


def test_a_server_that_is_set_back_to_a_backup(place: Place, tmp_path: Path) -> None:
    """Nothing that came after the backup opens anything, also where as much was written since."""
    place.postgres.stop()
    backup = place.postgres.copied(tmp_path / "backup")
    place.postgres.start()
    recovers(place)
    revision = delegated(place, 1)
    eventually(lambda: olga(place) == "ALLOW")

    with truly(place):
        place.postgres.stop("immediate")
        place.postgres.restore(backup)
        place.postgres.start()
        recovers(place)
        assert olga(place) == "DENY"
        written = place.client.write([patient("another-history")]).facts_revision
        assert written == revision
        assert olga(place) == "DENY"


def test_a_line_that_is_dead_without_a_word(place: Place) -> None:
    """What is revoked elsewhere meanwhile opens nothing here, and dead connections are replaced."""
    delegated(place, 2)
    eventually(lambda: olga(place) == "ALLOW")
    with truly(place):
        with place.line.dead():
            delegated(place, 3, revoked=True)
            time.sleep(0.06)
            assert olga(place) != "ALLOW"
            breaks(place)
            assert olga(place) != "ALLOW"
        recovers(place)
        assert olga(place) == "DENY"


def test_a_line_that_is_slow(place: Place) -> None:
    """Slower than facts may be old and faster than a deadline: no answer, or the right one."""
    with truly(place) as truth:
        with place.line.slow(0.06):
            failures = truth.failures
            time.sleep(2 * SECONDS + 1)
            assert truth.failures > failures
            verdict, what, todo = diagnosed(place)
            assert (verdict, "a look takes" in what, "nearer" in todo) == ("warn", True, True)
        recovers(place)


def test_a_line_that_is_cut_again_and_again(place: Place) -> None:
    with truly(place) as truth:
        for _ in range(10):
            answers = truth.answers
            place.line.cut()
            eventually(lambda least=answers: truth.answers > least)  # type: ignore[misc]  # bound


def test_a_server_without_connections_to_give(place: Place) -> None:
    """Those that are open would go on; once they are gone it says what is wrong."""
    with truly(place), ExitStack() as taken:
        first = taken.enter_context(place.postgres.connected())
        while first.execute(_ENDED, [ROLE]).fetchall():
            _take_all(place.postgres, taken)
        breaks(place)
        assert "gives out no more connections" in place.client.http("/healthz")[1]
        verdict, what, todo = diagnosed(place)
        assert (verdict, "no more connections" in what) == ("fail", True)
        assert "raise max_connections" in todo
        taken.close()
        recovers(place)


_ENDED = "SELECT pg_terminate_backend(pid, 1000) FROM pg_stat_activity WHERE usename = %s"


def _take_all(postgres: OwnPostgres, taken: ExitStack) -> None:
    """Take every connection that is free."""
    with suppress(psycopg.OperationalError):
        for _ in range(MAX_CONNECTIONS):
            taken.enter_context(postgres.connected())


def test_a_password_that_no_longer_holds(place: Place) -> None:
    with truly(place):
        place.postgres.admin(f"ALTER ROLE {ROLE} PASSWORD 'another'")
        place.postgres.end_connections()
        breaks(place)
        said = place.client.http("/healthz")[1]
        assert "refuses the user or the password" in said
        assert PASSWORD not in said
        verdict, what, todo = diagnosed(place)
        assert (verdict, "the user or the password" in what) == ("fail", True)
        assert "correct user and password" in todo
        place.postgres.admin(f"ALTER ROLE {ROLE} PASSWORD '{PASSWORD}'")
        recovers(place)


def test_a_database_that_is_not_there_is_diagnosed(place: Place) -> None:
    url = place.postgres.url(place.line.port).replace("/registry?", "/register?")

    verdict, what, todo = diagnosed(place, url)

    assert (verdict, "there is no such database" in what) == ("fail", True)
    assert "correct the database" in todo


def test_after_all_that_nothing_has_leaked_and_the_log_is_short(place: Place) -> None:
    """Runs last: the service has been through everything above."""
    threads = len(os.listdir(f"/proc/{place.service.pid}/task"))  # noqa: PTH208  # a count
    with place.postgres.connected() as connection:
        (connections,) = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE usename = %s", [ROLE]
        ).fetchone() or (0,)
    events = Counter(event["event"] for event in place.service.events())
    del events["access_decided"]

    assert threads < 60
    assert connections <= 8
    assert sum(events.values()) < 150, events

"""A decision store that is away, locked, full, silent, slow or set back, while questions come.

Checks go on and health stays as it was; what is said of shipping is true; and once the store is
back all is there, nothing twice.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.e2e.breakage import (
    backed_up,
    connected,
    file_system,
    locked,
    restored_by_replacing,
    run_beside,
    silent,
    sqlite_file,
    text_of,
)
from tests.e2e.client import ALLOWED, Client, client_of, eventually
from tests.e2e.clinic import FACTS
from tests.e2e.store_contents import assert_stored
from tests.postgres import new_database
from tests.service_process import ServiceProcess, serving_process
from tests.service_thread import serving, untried_policy

SECONDS = float(os.environ.get("AUTHZ_TEST_OUTAGE_SECONDS", "0.5"))
"""How long a store is broken; minutes in the long run."""


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A decision store that is not made yet, on each database in turn."""
    if request.param == "postgresql":
        return new_database()
    (tmp_path / "store").mkdir()
    return f"sqlite:///{tmp_path / 'store' / 'decisions.db'}"


class Load:
    """Asks without end; counts the answers, and how long the slowest took."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._stop = threading.Event()
        self.answers = 0
        self.slowest_seconds = 0.0

    def ask(self) -> None:
        while not self._stop.is_set():
            begun = time.monotonic()
            assert self._client.outcome(timeout=5) == ALLOWED
            self.slowest_seconds = max(self.slowest_seconds, time.monotonic() - begun)
            self.answers += 1

    def more(self, count: int = 20) -> None:
        """Wait until so many more were answered."""
        target = self.answers + count
        eventually(lambda: self.answers >= target)

    def stop(self) -> None:
        self._stop.set()


@contextmanager
def loaded(client: Client) -> Iterator[Load]:
    """Ask all the time; every answer has to be the right one."""
    load = Load(client)
    with ThreadPoolExecutor(2) as threads:
        asking = [threads.submit(load.ask) for _ in range(2)]
        try:
            yield load
        finally:
            load.stop()
    for each in asking:
        each.result()
    assert load.slowest_seconds < 2


@contextmanager
def clinic(folder: Path, store_url: str, **settings: Any) -> Iterator[Client]:
    """Serve the clinic, shipping to a store."""
    with (
        serving(folder, decisions_url=store_url, **settings) as service,
        client_of(service) as client,
    ):
        client.write(FACTS)
        yield client


def shipping_of(client: Client) -> dict[str, float]:
    """Return what the metrics say of shipping, by the ends of their names."""
    found = client.metrics().items()
    start = "authz_shipping_"
    return {name.removeprefix(start): value for name, value in found if name.startswith(start)}


def await_level(client: Client) -> None:
    """Wait until all is in the store."""
    eventually(lambda: shipping_of(client)["behind_lines"] == 0, seconds=30)
    assert shipping_of(client)["usable"] == 1


def failures(client: Client, kind: str) -> float:
    return shipping_of(client)[f'failures_total{{kind="{kind}"}}']


def test_a_decision_is_in_the_store_within_a_second(store_url: str, tmp_path: Path) -> None:
    with clinic(tmp_path, store_url) as client:
        await_level(client)
        records = shipping_of(client)["shipped_records_total"]
        begun = time.monotonic()
        client.check()
        eventually(lambda: shipping_of(client)["shipped_records_total"] > records)

        assert time.monotonic() - begun < 1
    assert_stored(store_url, tmp_path / "journal")


def test_a_start_without_the_store_serves_all_the_same(store_url: str, tmp_path: Path) -> None:
    with away(store_url) as bring_back, clinic(tmp_path, store_url) as client:
        assert client.outcome() == ALLOWED
        eventually(lambda: sum(failures(client, k) for k in ("silent", "refused")) > 1)
        assert shipping_of(client)["usable"] == 0
        status, page = client.http("/healthz")
        assert (status, '"usable":false' in page.replace(" ", "")) == (200, True)
        with loaded(client) as load:
            load.more()
            time.sleep(SECONDS)
            bring_back()
            load.more()
            await_level_once(client)
    assert_stored(store_url, tmp_path / "journal")


def await_level_once(client: Client) -> None:
    """Wait until shipping is about to keep up, while new records come."""
    eventually(lambda: shipping_of(client)["usable"] == 1, seconds=30)
    eventually(lambda: shipping_of(client)["behind_seconds"] < 1, seconds=30)


@contextmanager
def away(url: str) -> Iterator[Any]:
    """Have no store behind *url* until what is lent is called."""
    if url.startswith("sqlite"):
        folder = sqlite_file(url).parent
        folder.rmdir()
        folder.write_text("in the way")

        def bring_back() -> None:
            folder.unlink()

        yield bring_back
        return
    run_beside(url, "ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    yield lambda: run_beside(url, "ALTER DATABASE {name} ALLOW_CONNECTIONS true")


def test_a_store_that_goes_and_comes_back(store_url: str, tmp_path: Path) -> None:
    with clinic(tmp_path, store_url) as client, loaded(client) as load:
        await_level_once(client)
        with gone(store_url):
            eventually(lambda: shipping_of(client)["usable"] == 0)
            load.more()
            time.sleep(SECONDS)
            behind = shipping_of(client)
            assert behind["behind_lines"] > 20
            assert SECONDS / 2 < behind["behind_seconds"] < SECONDS + 10
            assert client.metrics()["authz_serving"] == 1
        await_level_once(client)
    assert_stored(store_url, tmp_path / "journal")


@contextmanager
def gone(url: str) -> Iterator[None]:
    """Take the store away."""
    if url.startswith("sqlite"):
        folder = sqlite_file(url).parent
        elsewhere = folder.rename(folder.with_name("elsewhere"))
        folder.write_text("in the way")
        yield
        folder.unlink()
        elsewhere.rename(folder)
        return
    run_beside(url, "ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    yield
    run_beside(url, "ALTER DATABASE {name} ALLOW_CONNECTIONS true")


def test_a_store_that_is_locked(store_url: str, tmp_path: Path) -> None:
    with clinic(tmp_path, store_url) as client, loaded(client) as load:
        await_level_once(client)
        with held(store_url):
            eventually(lambda: failures(client, "locked") > 0)
            load.more()
            time.sleep(SECONDS)
            assert shipping_of(client)["usable"] == 0
        await_level_once(client)
    assert_stored(store_url, tmp_path / "journal")


@contextmanager
def held(url: str) -> Iterator[None]:
    """Hold every lock on the store that another program could hold."""
    if url.startswith("sqlite"):
        with locked(url):
            yield
        return
    with connected(url) as postgres, postgres.transaction():
        postgres.execute("LOCK TABLE journals IN ACCESS EXCLUSIVE MODE")
        yield


def test_a_store_whose_disk_is_full(tmp_path: Path) -> None:
    with file_system(tmp_path / "disk", "1m") as disk:
        url = f"sqlite:///{disk / 'decisions.db'}"
        with clinic(tmp_path, url) as client, loaded(client) as load:
            await_level_once(client)
            filler = disk / "filler"
            with filler.open("wb", buffering=0) as stream, contextlib.suppress(OSError):
                for _ in itertools.count():
                    stream.write(b"\0" * 4096)
            eventually(lambda: failures(client, "full") > 0, seconds=30)
            load.more()
            assert shipping_of(client)["usable"] == 0
            load.stop()
            _more_room(disk, "64m")
            await_level(client)
        assert_stored(url, tmp_path / "journal")


def _more_room(disk: Path, size: str) -> None:
    """Make a file system larger."""
    import subprocess  # noqa: PLC0415  # here alone

    subprocess.run(["mount", "-o", f"remount,size={size}", str(disk)], check=True)  # noqa: S607  # as found


@pytest.mark.postgres
def test_a_store_that_never_answers_is_not_called_usable(tmp_path: Path) -> None:
    """It took the connection, and says nothing: nothing fails, and nothing is shipped."""
    url = new_database()
    with clinic(tmp_path, url) as client, loaded(client) as load:
        await_level_once(client)
        with silent(url):
            eventually(lambda: shipping_of(client)["usable"] == 0)
            load.more()
            assert "has not answered for" in client.http("/healthz")[1]
            assert shipping_of(client)["behind_seconds"] > 2
        await_level_once(client)
    assert_stored(url, tmp_path / "journal")


@pytest.mark.postgres
def test_a_store_that_is_slow_is_given_less_at_a_time(tmp_path: Path) -> None:
    url = new_database()
    with clinic(tmp_path, url) as client, loaded(client) as load:
        await_level_once(client)
        with connected(url) as postgres:
            postgres.execute(
                "CREATE FUNCTION slowly() RETURNS trigger LANGUAGE plpgsql AS "
                "$$ BEGIN PERFORM pg_sleep(0.05); RETURN NULL; END $$"
            )
            postgres.execute(
                "CREATE TRIGGER slow AFTER INSERT ON journals FOR EACH STATEMENT "
                "EXECUTE FUNCTION slowly()"
            )
            postgres.execute(
                "CREATE TRIGGER slow_too AFTER UPDATE ON journals FOR EACH STATEMENT "
                "EXECUTE FUNCTION slowly()"
            )
            load.more()
            time.sleep(SECONDS)
            postgres.execute("DROP FUNCTION slowly() CASCADE")
        await_level_once(client)
    assert_stored(url, tmp_path / "journal")


def test_a_store_that_is_set_back_to_yesterday(tmp_path: Path) -> None:
    """What came since is shipped again from where it stands, with nobody's help."""
    url = f"sqlite:///{tmp_path / 'decisions.db'}"
    with clinic(tmp_path, url) as client, loaded(client) as load:
        load.more()
        await_level_once(client)
        yesterday = backed_up(url, tmp_path / "yesterday.db")
        load.more(50)
        await_level_once(client)
        restored_by_replacing(url, yesterday)
        load.more()
        await_level_once(client)
    assert_stored(url, tmp_path / "journal")


@pytest.mark.postgres
def test_a_server_set_back_to_yesterday(tmp_path: Path) -> None:
    """The database is dropped and made again from a copy, under load."""
    url = new_database()
    with clinic(tmp_path, url) as client, loaded(client) as load:
        await_level_once(client)
        load.more(50)
        copy = f"yesterday_{os.getpid()}"
        run_beside(url, "ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        run_beside(url, f"CREATE DATABASE {copy} TEMPLATE {{name}}")
        run_beside(url, "ALTER DATABASE {name} ALLOW_CONNECTIONS true")
        load.more(50)
        await_level_once(client)
        run_beside(url, "ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        run_beside(url, "DROP DATABASE {name}")
        with connected(url, "postgres") as beside:
            name = url.rpartition("/")[2].partition("?")[0]
            beside.execute(text_of(f"CREATE DATABASE {name} TEMPLATE {copy}"))
            beside.execute(text_of(f"DROP DATABASE {copy}"))
        load.more()
        await_level_once(client)
    assert_stored(url, tmp_path / "journal")


def test_another_journal_under_the_same_id_is_an_alarm(tmp_path: Path) -> None:
    """A journal set back by a restore does not overwrite what the store knows."""
    url = f"sqlite:///{tmp_path / 'decisions.db'}"
    with clinic(tmp_path, url) as client:
        client.check()
    shutil.copytree(tmp_path / "journal", tmp_path / "yesterday")
    with serving(tmp_path, decisions_url=url) as service, client_of(service) as client:
        for _ in range(5):
            client.check()
        await_level(client)
    shutil.rmtree(tmp_path / "journal")
    (tmp_path / "yesterday").rename(tmp_path / "journal")

    with serving(tmp_path, decisions_url=url) as service, client_of(service) as client:
        assert client.outcome() == ALLOWED
        eventually(lambda: shipping_of(client)['alarms{kind="ahead"}'] == 1)
        assert shipping_of(client)["usable"] == 0
        assert client.outcome() == ALLOWED
        assert client.http("/healthz")[0] == 200


def test_without_a_store_nothing_is_shipped_nor_deleted(tmp_path: Path) -> None:
    with clinic(
        tmp_path, "none", journal_segment_bytes=1 << 16, journal_retention_hours=0.0
    ) as client:
        for _ in range(150):
            client.check()
        metrics = shipping_of(client)

    assert "usable" not in metrics
    assert metrics["shipped_records_total"] == 0
    assert len(list((tmp_path / "journal").glob("segment-*.jsonl"))) > 1


def test_segments_go_once_they_are_shipped_and_the_next_start_goes_on(
    store_url: str, tmp_path: Path
) -> None:
    settings = {"journal_segment_bytes": 1 << 16, "journal_retention_hours": 0.0}
    with clinic(tmp_path, store_url, **settings) as client:
        for _ in range(250):
            client.check()
        eventually(lambda: shipping_of(client)["retired_segments_total"] >= 2, seconds=30)
        assert client.metrics()["authz_journal_segments"] <= 3
    with serving(tmp_path, decisions_url=store_url) as service, client_of(service) as client:
        assert client.outcome() == ALLOWED

    assert_stored(store_url, tmp_path / "journal")


def killed_under_load(service: ServiceProcess, client: Client, enough: int) -> None:
    """Ask on four threads; kill the service after enough answers, with calls in flight."""
    answers, cut_short = itertools.count(1), []
    is_enough = threading.Event()

    def ask() -> None:
        try:
            while True:
                client.check()
                if next(answers) >= enough:
                    is_enough.set()
        except grpc.RpcError as failed:
            cut_short.append(failed)

    with ThreadPoolExecutor(4) as threads:
        asking = [threads.submit(ask) for _ in range(4)]
        assert is_enough.wait(30)
        service.kill()
    assert [each.result() for each in asking] == [None] * 4
    assert len(cut_short) == 4


@pytest.mark.slow
def test_killed_under_load_again_and_again_nothing_is_lost_or_doubled(
    store_url: str, tmp_path: Path
) -> None:
    """Wherever the kill comes: between rows and commit, or between commit and the next look."""
    settings = {"AUTHZ_DECISIONS_URL": store_url, "AUTHZ_POLICY_DIR": str(untried_policy())}
    for life in range(2):
        with serving_process(tmp_path, **settings) as service, client_of(service) as client:
            if life == 0:
                client.write(FACTS)
            eventually(lambda: client.outcome() == ALLOWED)
            killed_under_load(service, client, 60 + 35 * life)

    with serving_process(tmp_path, **settings) as service, client_of(service) as client:
        client.check()
        service.signal(signal.SIGTERM)
        assert service.wait() == 0
    assert_stored(store_url, tmp_path / "journal")

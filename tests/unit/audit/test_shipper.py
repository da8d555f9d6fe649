"""The shipper's thread: it goes on by itself, ends in time, and tells the truth meanwhile."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable, MutableMapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from authz_service.audit.directory import segment_numbers
from authz_service.audit.store.failures import AlarmKind, FailureKind, StoreFailureError
from authz_service.audit.store.opening import open_store
from authz_service.audit.store.ports import Store
from authz_service.audit.store.shipper import NO_STORE, Shipper
from authz_service.audit.store.shipper_options import ShipperOptions
from authz_service.audit.store.shipping import Shipping
from authz_service.audit.store.standing import ShippingStatus
from authz_service.telemetry.shipping_meter import ShippingMeter
from tests.contract.shipping.journal_files import (
    HandClock,
    JournalFiles,
    assert_all_there,
    decisions,
    query,
    stored_records,
)

QUICK = ShipperOptions(
    round_seconds=0.01,
    look_seconds=0.02,
    retire_seconds=0.01,
    first_retry_seconds=0.01,
    last_retry_seconds=0.04,
    alarm_retry_seconds=0.05,
    silence_seconds=0.2,
)


@dataclass(slots=True)
class Tally:
    """Metrics that a test can read."""

    records: int = 0
    failures: list[FailureKind] = field(default_factory=list)
    alarms: list[tuple[AlarmKind, bool]] = field(default_factory=list)
    segments: int = 0

    def shipped(self, lines: int, records: int) -> None:
        self.records += records

    def failed(self, kind: FailureKind) -> None:
        self.failures.append(kind)

    def alarm(self, kind: AlarmKind, *, raised: bool) -> None:
        self.alarms.append((kind, raised))

    def retired(self, segments: int) -> None:
        self.segments += segments


@dataclass(slots=True)
class Door:
    """Opens a store, or finds it shut."""

    failure: StoreFailureError | None = None
    hangs: threading.Event | None = None

    def __call__(self, url: str) -> Store:
        if self.hangs is not None:
            assert self.hangs.wait(10)
        if self.failure is not None:
            raise self.failure
        return open_store(url)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'decisions.db'}"


@pytest.fixture
def journal(tmp_path: Path) -> JournalFiles:
    return JournalFiles(tmp_path / "journal")


@asynccontextmanager
async def shipping(
    journal: JournalFiles,
    url: str,
    *,
    door: Callable[[str], Store] | None = None,
    tally: Tally | None = None,
    seconds: float = 5.0,
    **changed: Any,
) -> AsyncIterator[Shipper]:
    """Ship until the end of the block, and then what is left."""
    options = ShipperOptions(**{**{n: getattr(QUICK, n) for n in QUICK.__slots__}, **changed})
    shipper = Shipper(
        url, journal.clock, tally or Tally(), options=options, opened=door or open_store
    )
    shipper.start(journal)
    try:
        yield shipper
    finally:
        await shipper.close(seconds)


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110  # another thread makes it hold
            await asyncio.sleep(0.005)


def told(logs: Iterable[MutableMapping[str, Any]]) -> list[str]:
    """Return what was logged about shipping."""
    return [entry["event"] for entry in logs if entry["event"].startswith("shipping")]


def file_of(url: str) -> Path:
    return Path(url.removeprefix("sqlite:///"))


def move(path: Path, to: Path) -> None:
    path.rename(to)


def remove(path: Path) -> None:
    path.unlink()


async def test_what_is_recorded_is_soon_in_the_store(journal: JournalFiles, url: str) -> None:
    tally = Tally()
    async with shipping(journal, url, tally=tally) as shipper:
        for first in range(0, 30, 10):
            journal.append(*decisions(first, 10))
            await until(lambda: shipper.status().behind_lines == 0)
            assert len(stored_records(url, journal)) == first + 10

        assert shipper.status() == ShippingStatus(
            usable=True, why="", alarms={}, behind_lines=0, behind_seconds=0.0
        )
    assert_all_there(url, journal)
    assert tally.records == 30


async def test_what_is_left_is_shipped_at_the_end(journal: JournalFiles, url: str) -> None:
    async with shipping(journal, url, round_seconds=30.0) as shipper:
        await until(lambda: shipper.status().usable)
        journal.append(*decisions(0, 50))

    assert_all_there(url, journal)


async def test_a_store_that_is_away_is_tried_until_it_is_back(
    journal: JournalFiles, url: str
) -> None:
    tally, door = Tally(), Door(StoreFailureError(FailureKind.SILENT, "it does not answer"))
    with capture_logs() as logs:
        async with shipping(journal, url, door=door, tally=tally) as shipper:
            journal.append(*decisions(0, 5))
            await until(lambda: len(tally.failures) > 3)
            away = shipper.status()
            door.failure = None
            await until(lambda: shipper.status().behind_lines == 0)

    assert away == ShippingStatus(
        usable=False, why="the decision store is not usable: it does not answer"
    )
    assert_all_there(url, journal)
    assert told(logs) == ["shipping_failed", "shipping_resumed"]


async def test_how_far_behind_is_known_once_the_store_was_reached(
    journal: JournalFiles, url: str
) -> None:
    """And so is the age of what is not there, by the service's own clock."""
    tally, door = Tally(), Door()
    async with shipping(journal, url, door=door, tally=tally) as shipper:
        await until(lambda: shipper.status().usable)
        move(file_of(url), away := file_of(url).with_name("away.db"))
        door.failure = StoreFailureError(FailureKind.SILENT, "it does not answer")
        journal.append(*decisions(0, 5))
        await until(lambda: len(tally.failures) > 2)
        journal.clock.instant = HandClock().instant.replace(hour=13)

        behind = shipper.status()
        assert (behind.usable, behind.behind_lines, behind.behind_seconds) == (False, 6, 3600)

        move(away, file_of(url))
        door.failure = None
        await until(lambda: shipper.status().behind_lines == 0)
    assert_all_there(url, journal)


async def test_an_idle_shipper_notices_that_the_store_is_gone(
    journal: JournalFiles, url: str
) -> None:
    tally, door = Tally(), Door()
    async with shipping(journal, url, door=door, tally=tally) as shipper:
        await until(lambda: shipper.status().usable)
        door.failure = StoreFailureError(FailureKind.SILENT, "it does not answer")
        remove(file_of(url))

        await until(lambda: not shipper.status().usable)

        door.failure = None
        await until(lambda: shipper.status().usable)
    assert_all_there(url, journal)


async def test_a_store_that_hangs_is_not_called_usable_nor_waited_for(
    journal: JournalFiles, url: str
) -> None:
    hangs = threading.Event()
    with capture_logs() as logs:
        door = Door()
        async with shipping(journal, url, door=door, seconds=0.2) as shipper:
            await until(lambda: shipper.status().usable)
            door.hangs = hangs
            remove(file_of(url))
            journal.append(*decisions(0, 5))
            await until(lambda: "has not answered" in shipper.status().why)
            begun = time.monotonic()

        assert time.monotonic() - begun < 2
    hangs.set()

    assert (logs[-1]["event"], logs[-1]["lines"]) == ("shipping_unfinished", 6)


async def test_the_end_waits_for_a_store_that_comes_back_in_time(
    journal: JournalFiles, url: str
) -> None:
    tally, door = Tally(), Door(StoreFailureError(FailureKind.LOCKED, "it is locked"))
    async with shipping(journal, url, door=door, tally=tally) as shipper:
        journal.append(*decisions(0, 5))
        await until(lambda: len(tally.failures) > 1)
        closing = asyncio.create_task(shipper.close(5.0))
        count = len(tally.failures)
        await until(lambda: len(tally.failures) > count)
        door.failure = None
        await closing

    assert_all_there(url, journal)


async def test_the_end_says_what_was_not_shipped(journal: JournalFiles, url: str) -> None:
    door = Door(StoreFailureError(FailureKind.SILENT, "it does not answer"))
    with capture_logs() as logs:
        begun = time.monotonic()
        async with shipping(journal, url, door=door, seconds=0.1):
            journal.append(*decisions(0, 5))

        assert time.monotonic() - begun < 2
    assert logs[-1]["event"] == "shipping_unfinished"
    assert "does not answer" in logs[-1]["error"]


async def test_an_alarm_stops_shipping_and_is_told_once(journal: JournalFiles, url: str) -> None:
    """It is looked at again at long intervals, and ends with its cause."""
    journal.append(*decisions(0, 5))
    content = journal.path(1).read_bytes()
    journal.path(1).write_bytes(content.replace(b'"ALLOW"', b'"ALLOV"', 1))
    tally = Tally()
    with capture_logs() as logs:
        async with shipping(journal, url, tally=tally) as shipper:
            await until(lambda: not shipper.status().usable and bool(shipper.status().alarms))
            await asyncio.sleep(0.2)
            stopped = shipper.status()
            journal.path(1).write_bytes(content)
            await until(lambda: shipper.status().behind_lines == 0)
            assert shipper.status().alarms == {}

    assert list(stopped.alarms) == [AlarmKind.DAMAGE]
    assert "line 3 of the journal is not as written" in stopped.why
    assert told(logs) == ["shipping_alarmed", "shipping_resumed"]
    assert tally.alarms == [(AlarmKind.DAMAGE, True), (AlarmKind.DAMAGE, False)]
    assert_all_there(url, journal)


async def test_closed_segments_are_retired(journal: JournalFiles, url: str) -> None:
    for number in range(4):
        journal.append(*decisions(10 * number, 10))
        journal.rotate()
    whole, tally = journal.content(), Tally()
    async with shipping(journal, url, tally=tally, retention_hours=0.0):
        await until(lambda: segment_numbers(journal.directory) == [5])

    assert tally.segments == 4
    stored = query(url, "SELECT line FROM journal_lines ORDER BY sequence")
    assert b"".join(line for (line,) in stored) == whole


class Busy:
    """A store during whose every transaction another decision is made, for a time."""

    def __init__(self, store: Store, journal: JournalFiles, seconds: float) -> None:
        self._store, self._journal = store, journal
        self._until = time.monotonic() + seconds
        self.transactions = 0

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    def ship(self, *shipped: object) -> None:
        self._store.ship(*shipped)  # type: ignore[arg-type]  # as it was called
        self.transactions += 1
        if time.monotonic() < self._until:
            self._journal.append(*decisions(1000 + self.transactions, 1))


def busy_door(journal: JournalFiles, seconds: float, stores: list[Busy]) -> Callable[[str], Store]:
    def opened(url: str) -> Store:
        stores.append(Busy(open_store(url), journal, seconds))
        return stores[-1]  # type: ignore[return-value]  # the rest is the store's

    return opened


async def test_under_steady_load_it_rests_between_transactions(
    journal: JournalFiles, url: str
) -> None:
    """What comes meanwhile is shipped together, and soon."""
    journal.append(*decisions(0, 1))
    stores: list[Busy] = []
    door = busy_door(journal, 0.7, stores)
    async with shipping(journal, url, door=door, round_seconds=0.1) as shipper:
        await asyncio.sleep(0.6)
        during = stores[0].transactions
        assert shipper.status().behind_seconds == 0
        await until(lambda: shipper.status().behind_lines == 0)

    assert 2 <= during <= 7
    assert_all_there(url, journal)


@pytest.mark.parametrize("is_behind", [False, True], ids=["lines", "whole-pieces"])
async def test_retention_goes_on_under_steady_load(
    journal: JournalFiles, url: str, monkeypatch: pytest.MonkeyPatch, *, is_behind: bool
) -> None:
    """A busy service always has another line to ship; its disk must not fill for that."""
    for first in (0, 10):
        journal.append(*decisions(first, 10))
        journal.rotate()
    if is_behind:
        monkeypatch.setattr(Shipping, "has_backlog", True)
    tally, stores = Tally(), list[Busy]()
    door = busy_door(journal, 5.0, stores)
    async with shipping(journal, url, tally=tally, door=door, retention_hours=0.0):
        await until(lambda: tally.segments == 2)

        stores[0]._until = 0.0
    ((count,),) = query(url, "SELECT count(*) FROM journal_lines")
    assert count == journal.position.sequence - 1


async def test_what_the_store_lost_is_kept_and_shipping_goes_on(
    journal: JournalFiles, url: str
) -> None:
    journal.append(*decisions(0, 10))
    async with shipping(journal, url, retention_hours=1.0) as shipper:
        await until(lambda: shipper.status().behind_lines == 0)
    query(url, "DELETE FROM journal_lines WHERE sequence = 5")
    journal.rotate()
    tally = Tally()
    async with shipping(journal, url, tally=tally, retention_hours=0.0) as shipper:
        await until(lambda: AlarmKind.UNVERIFIED in shipper.status().alarms)
        journal.append(*decisions(10, 5))
        await until(lambda: shipper.status().behind_lines == 0)

        assert shipper.status().usable

    assert segment_numbers(journal.directory) == [1, 2]
    assert tally.alarms == [(AlarmKind.UNVERIFIED, True)]


async def test_an_unforeseen_error_is_survived(journal: JournalFiles, url: str) -> None:
    tally, broken = Tally(), [True, True]

    def opened(name: str) -> Store:
        if broken:
            broken.pop()
            raise ZeroDivisionError
        return open_store(name)

    shipper = Shipper(url, journal.clock, tally, options=QUICK, opened=opened)
    journal.append(*decisions(0, 5))
    with capture_logs() as logs:
        shipper.start(journal)
        await until(lambda: shipper.status().behind_lines == 0)
        await shipper.close(5.0)

    assert tally.failures == [FailureKind.BUG, FailureKind.BUG]
    assert [entry["event"] for entry in logs].count("shipping_broke") == 1
    assert_all_there(url, journal)


async def test_what_does_not_pass_by_itself_is_an_error_told_once(
    journal: JournalFiles, url: str
) -> None:
    """Also where something else has failed before; and it is tried again ever more seldom."""
    tally, door = Tally(), Door(StoreFailureError(FailureKind.SILENT, "it does not answer"))
    with capture_logs() as logs:
        async with shipping(
            journal, url, door=door, tally=tally, alarm_retry_seconds=30.0, seconds=0.1
        ):
            await until(lambda: len(tally.failures) > 1)
            door.failure = StoreFailureError(FailureKind.UNFIT, "lines 1 to 2: no")
            await until(lambda: FailureKind.UNFIT in tally.failures)
            await asyncio.sleep(0.5)

    failed = [entry for entry in logs if entry["event"] == "shipping_failed"]
    assert [(entry["log_level"], entry["kind"]) for entry in failed] == [
        ("warning", "silent"),
        ("error", "unfit"),
    ]
    assert tally.failures.count(FailureKind.UNFIT) < 6


async def test_without_a_store_nothing_happens(journal: JournalFiles) -> None:
    journal.append(*decisions(0, 5))
    async with shipping(journal, NO_STORE) as shipper:
        assert shipper.is_off
        assert shipper.status().off
        assert not [thread for thread in threading.enumerate() if thread.name == "shipper"]


def test_the_meter_knows_every_kind() -> None:
    meter = ShippingMeter()
    for kind in FailureKind:
        meter.failed(kind)
    for alarm in AlarmKind:
        meter.alarm(alarm, raised=True)

    samples = {
        (sample.name, sample.labels.get("kind")): sample.value
        for family in meter.collect()
        for sample in family.samples
    }

    assert all(samples["authz_shipping_failures_total", kind.value] == 1 for kind in FailureKind)
    assert all(samples["authz_shipping_alarms", kind.value] == 1 for kind in AlarmKind)
    assert len(samples) == 3 + len(FailureKind) + len(AlarmKind)

"""A segment is deleted once the store gives back all of it, and time has passed; never before."""

from __future__ import annotations

import shutil
from datetime import timedelta
from pathlib import Path

import orjson
import pytest

from authz_service.audit.directory import segment_numbers
from authz_service.audit.recovery import recover
from authz_service.audit.retired import retired_path
from authz_service.audit.store.failures import (
    AlarmKind,
    ShippingAlarmError,
    StoreFailureError,
)
from authz_service.audit.store.retention import Retention
from authz_service.audit.store.schema_version import migrate
from authz_service.audit.store.shipping import Shipping
from authz_service.audit.verify import verify_journal
from authz_service.pdp.errors import JournalUnavailableError
from tests.contract.shipping.journal_files import (
    JournalFiles,
    decisions,
    drained,
    query,
    ship_all,
    shipping,
)
from tests.marked import PASSWORD
from tests.unit.audit.audit_faults import NOON, FaultyFiles


def with_segments(journal: JournalFiles, count: int) -> None:
    """Write and close so many segments; another is left open."""
    for number in range(count):
        journal.append(*decisions(10 * number, 10))
        journal.rotate()
    journal.append(*decisions(10 * count, 1))


def retention_of(
    work: Shipping, url: str, hours: float = 0.0, files: FaultyFiles | None = None
) -> Retention:
    journal = work.source
    assert isinstance(journal, JournalFiles)
    return Retention(work, files or FaultyFiles(), url, journal.clock, hours)


def retired_all(retention: Retention) -> int:
    deleted = 0
    while (step := retention.advance()) is not None:
        deleted += step
    return deleted


def retire(journal: JournalFiles, url: str, hours: float = 0.0) -> int:
    """Ship all, and retire what is due; return how many segments went."""
    work = shipping(journal, url)
    drained(work)
    try:
        return retired_all(retention_of(work, url, hours))
    finally:
        work.leave()


def test_closed_segments_go_once_they_are_in_the_store(url: str, journal: JournalFiles) -> None:
    with_segments(journal, 3)
    sizes = [journal.path(number).stat().st_size for number in (1, 2, 3)]

    deleted = retire(journal, url)

    assert deleted == 3
    assert segment_numbers(journal.directory) == [4]
    assert journal.retired_bytes == sizes
    report = verify_journal(journal.directory)
    assert (report.fault, report.retired, report.records) == (None, 3, 1)


def test_each_is_accounted_for(url: str, journal: JournalFiles) -> None:
    with_segments(journal, 2)
    lines = journal.path(1).read_bytes().splitlines(keepends=True)

    retire(journal, url)

    first, second = map(orjson.loads, retired_path(journal.directory).read_bytes().splitlines())
    assert first == {
        "segment": 1,
        "first_sequence": 1,
        "last_sequence": 13,
        "previous": "0" * 64,
        "last_hash": lines[-1][-67:-3].decode(),
        "bytes": sum(map(len, lines)),
        "next_batch": 2,
        "lines": 13,
        "retired_at": "2020-06-09T12:00:00.250000Z",
        "store": first["store"],
    }
    assert first["store"].startswith(url.split(":", maxsplit=1)[0])
    assert second["previous"] == first["last_hash"]


def test_no_password_is_kept(journal: JournalFiles, tmp_path: Path) -> None:
    from authz_service.audit.store.engines import shown  # noqa: PLC0415  # for this claim alone

    assert PASSWORD not in shown(
        f"postgresql+psycopg://jo:{PASSWORD}@db/decisions?sslpassword={PASSWORD}"
    )


def test_nothing_goes_before_its_time(url: str, journal: JournalFiles) -> None:
    with_segments(journal, 1)
    journal.clock.instant = NOON + timedelta(hours=2)
    journal.rotate()

    assert retire(journal, url, hours=3) == 0
    journal.clock.instant = NOON + timedelta(hours=3)
    assert retire(journal, url, hours=3) == 1
    assert segment_numbers(journal.directory) == [2, 3]
    journal.clock.instant = NOON + timedelta(hours=5)
    assert retire(journal, url, hours=3) == 1


def test_nothing_goes_that_was_not_shipped(url: str, journal: JournalFiles) -> None:
    with_segments(journal, 1)
    work = shipping(journal, url)

    assert retired_all(retention_of(work, url)) == 0
    work._piece_bytes = 1
    work.step()
    assert retired_all(retention_of(work, url)) == 0
    work.leave()


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM journal_lines WHERE journal_id = :j AND sequence = 5",
        "UPDATE journal_lines SET line = substr(line, 2) WHERE journal_id = :j AND sequence = 5",
        "UPDATE journal_lines SET hash = 'x' WHERE journal_id = :j AND sequence = 13",
        "DELETE FROM decisions WHERE journal_id = :j AND sequence = 5",
    ],
    ids=["line-gone", "line-changed", "hash-changed", "decision-gone"],
)
def test_what_the_store_does_not_give_back_stays(
    url: str, journal: JournalFiles, statement: str
) -> None:
    with_segments(journal, 2)
    work = shipping(journal, url)
    drained(work)
    query(url, statement, j=journal.journal_id)

    with pytest.raises(ShippingAlarmError) as raised:
        retired_all(retention_of(work, url))
    work.leave()

    assert raised.value.kind is AlarmKind.UNVERIFIED
    assert segment_numbers(journal.directory) == [1, 2, 3]
    assert not retired_path(journal.directory).exists()


SET_BACK = "UPDATE journals SET sequence = 4 WHERE journal_id = :j"
LOST = (
    "DELETE FROM decisions WHERE journal_id = :j AND sequence < 5",
    "DELETE FROM journal_lines WHERE journal_id = :j AND sequence < 5",
)


def half_verified(
    url: str, journal: JournalFiles, monkeypatch: pytest.MonkeyPatch
) -> tuple[Shipping, Retention]:
    """Return what has read back more than half of the lines of a segment, one a slice."""
    monkeypatch.setattr("authz_service.audit.store.retention._SLICE_BYTES", 1)
    with_segments(journal, 1)
    work = shipping(journal, url)
    drained(work)
    retention = retention_of(work, url)
    assert [retention.advance() for _ in range(8)] == [0] * 8
    return work, retention


@pytest.mark.parametrize("left", [True, False], ids=["left", "looked"])
def test_what_was_read_back_before_the_store_was_another_one_does_not_count(
    url: str, journal: JournalFiles, monkeypatch: pytest.MonkeyPatch, *, left: bool
) -> None:
    work, retention = half_verified(url, journal, monkeypatch)
    for statement in LOST:
        query(url, statement, j=journal.journal_id)

    if left:
        work.leave()
    else:
        query(url, SET_BACK, j=journal.journal_id)
        work.look()
    with pytest.raises(ShippingAlarmError) as raised:
        retired_all(retention)
    work.leave()

    assert raised.value.kind is AlarmKind.UNVERIFIED
    assert segment_numbers(journal.directory) == [1, 2]


def test_a_store_that_was_set_back_meanwhile_is_asked_before_a_segment_goes(
    url: str, journal: JournalFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    work, retention = half_verified(url, journal, monkeypatch)
    assert [retention.advance() for _ in range(5)] == [0] * 5  # that is all 13 of them
    query(url, SET_BACK, j=journal.journal_id)

    assert retention.advance() == 0
    assert segment_numbers(journal.directory) == [1, 2]
    assert not retired_path(journal.directory).exists()
    work.leave()


def test_what_is_not_in_the_file_that_stands_there_is_kept(
    journal: JournalFiles, tmp_path: Path
) -> None:
    """The store's file is replaced by yesterday's copy while it is open."""
    path = tmp_path / "decisions.db"
    url = f"sqlite:///{path}"
    migrate(url)
    shutil.copy(path, tmp_path / "yesterday.db")
    with_segments(journal, 1)
    work = shipping(journal, url)
    drained(work)
    retention = retention_of(work, url)

    for ending in ("", "-wal", "-shm"):
        Path(f"{path}{ending}").unlink(missing_ok=True)
    (tmp_path / "yesterday.db").rename(path)
    with pytest.raises(StoreFailureError, match="its file was replaced"):
        retired_all(retention)
    work.leave()

    assert segment_numbers(journal.directory) == [1, 2]


def test_a_crash_between_account_and_deletion_is_made_good(url: str, journal: JournalFiles) -> None:
    with_segments(journal, 2)
    work = shipping(journal, url)
    drained(work)
    files = FaultyFiles(broken={"remove": 5})
    with pytest.raises(OSError):  # noqa: PT011  # any
        retired_all(retention_of(work, url, files=files))
    assert verify_journal(journal.directory).fault is None

    assert retired_all(retention_of(work, url)) == 2
    work.leave()

    account = retired_path(journal.directory).read_bytes().splitlines()
    assert [orjson.loads(line)["segment"] for line in account] == [1, 2]
    assert verify_journal(journal.directory).fault is None


def test_a_line_of_the_account_that_was_cut_is_written_anew(
    url: str, journal: JournalFiles
) -> None:
    with_segments(journal, 2)
    retired_path(journal.directory).write_bytes(b'{"segment":1,"first')

    assert retire(journal, url) == 2
    assert verify_journal(journal.directory).fault is None


def test_the_account_is_synced_before_a_segment_goes(url: str, journal: JournalFiles) -> None:
    with_segments(journal, 1)
    work = shipping(journal, url)
    drained(work)
    files = FaultyFiles(broken={"sync": 5})

    with pytest.raises(OSError):  # noqa: PT011  # any
        retired_all(retention_of(work, url, files=files))
    work.leave()

    assert segment_numbers(journal.directory) == [1, 2]


def test_a_store_set_back_before_what_is_gone_is_an_alarm(url: str, journal: JournalFiles) -> None:
    with_segments(journal, 2)
    retire(journal, url)
    for table in ("journals", "journal_lines", "decisions"):
        query(url, f"DELETE FROM {table} WHERE journal_id = :j", j=journal.journal_id)  # noqa: S608  # ours

    with pytest.raises(ShippingAlarmError) as raised:
        ship_all(journal, url)

    assert raised.value.kind is AlarmKind.GAP


def recovered(journal: JournalFiles) -> int:
    """Recover as a start does; return the number of the next line."""
    return recover(FaultyFiles(), journal.directory, journal.journal_id).at.sequence


def test_a_start_goes_on_behind_what_is_gone(url: str, journal: JournalFiles) -> None:
    """Even where nothing is left but the beginning of a segment."""
    journal.append(*decisions(0, 10))
    journal.rotate()
    retire(journal, url)

    assert segment_numbers(journal.directory) == [2]
    assert recovered(journal) == journal.position.sequence
    assert verify_journal(journal.directory).fault is None


@pytest.mark.parametrize("breaks", ["gone", "other-hash", "not-understood", "one-missing"])
def test_a_missing_segment_that_is_not_accounted_for_is_damage(
    url: str, journal: JournalFiles, breaks: str
) -> None:
    for first in (0, 10):
        journal.append(*decisions(first, 10))
        journal.rotate()
    retire(journal, url)
    account = retired_path(journal.directory)
    lines = account.read_bytes().splitlines(keepends=True)
    if breaks == "gone":
        account.unlink()
    elif breaks == "other-hash":
        last = orjson.loads(lines[1])
        account.write_bytes(lines[0] + orjson.dumps({**last, "last_hash": "0" * 64}) + b"\n")
    elif breaks == "not-understood":
        account.write_bytes(lines[0] + b"{}\n")
    else:
        account.write_bytes(lines[1])

    assert verify_journal(journal.directory).fault is not None
    with pytest.raises(JournalUnavailableError):
        recovered(journal)


def test_a_start_does_not_begin_anew_where_segments_were(url: str, journal: JournalFiles) -> None:
    with_segments(journal, 1)
    retire(journal, url)
    journal.path(2).unlink()

    with pytest.raises(JournalUnavailableError, match="the segment is missing"):
        recovered(journal)
    assert verify_journal(journal.directory).fault is not None

"""A journal that cannot write says so to everyone, loses nothing, and goes on by itself."""

from __future__ import annotations

import asyncio
import errno
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from authz_service.audit.directory import segment_numbers, segment_path
from authz_service.audit.journal import JournalOptions
from authz_service.audit.opening import open_journal
from authz_service.audit.verify import verify_journal
from authz_service.pdp.errors import JournalUnavailableError
from tests.unit.audit.audit_faults import ORIGIN, QUICK, FaultyFiles, decision_record
from tests.unit.audit.journal_under_test import (
    Gate,
    Tally,
    append_all,
    ids_in,
    journal_in,
    names_in,
    until_usable,
)


@pytest.mark.parametrize("nth", range(1, 6))
@pytest.mark.parametrize("operation", ["write", "sync", "create", "sync_directory", "truncate"])
@pytest.mark.parametrize("torn_bytes", [0, 700])
async def test_who_was_acknowledged_is_there_whatever_fails(
    tmp_path: Path, nth: int, operation: str, torn_bytes: int
) -> None:
    """And who was not was told so, and the journal goes on by itself."""
    files = FaultyFiles(torn_bytes=torn_bytes)
    options = replace(QUICK, segment_bytes=6_000)
    async with journal_in(tmp_path / "j", files, options) as journal:
        files.fail_at = {(operation, files.calls[operation] + nth): errno.EIO}
        if operation == "truncate":
            files.fail_at = {("sync", files.calls["sync"] + nth): errno.EIO}
            files.broken = {"truncate": errno.EIO}
        acknowledged: dict[int, bool] = {}
        for first in range(0, 40, 8):
            acknowledged |= await append_all(journal, range(first, first + 8))
            await until_usable(journal)

    kept = ids_in(tmp_path / "j")
    assert kept == [f"decision-{number}" for number, told in acknowledged.items() if told]
    assert verify_journal(tmp_path / "j").fault is None
    assert files.synced_after_failure == []
    async with journal_in(tmp_path / "j") as again:
        await again.append([decision_record(99)])


async def test_a_failed_sync_fails_who_wait_and_who_come(tmp_path: Path) -> None:
    files, tally = FaultyFiles(), Tally()
    async with journal_in(tmp_path / "j", files, metrics=tally) as journal:
        files.on_sync = gate = Gate()
        first = asyncio.ensure_future(journal.append([decision_record(0)]))
        await gate.until_reached()
        second = asyncio.ensure_future(journal.append([decision_record(1)]))
        await asyncio.sleep(0)
        files.on_sync = None
        files.broken = {"sync": errno.EIO}
        gate.open.set()
        for waiting in (first, second):
            with pytest.raises(JournalUnavailableError, match="input/output error"):
                await waiting

        assert not journal.usable
        with pytest.raises(JournalUnavailableError, match="input/output error"):
            await journal.append([decision_record(2)])
        files.broken = {}
        await until_usable(journal)
        await journal.append([decision_record(3)])
    assert tally.states == [True, False, True]
    assert set(tally.kinds) == {"io"}
    assert ids_in(tmp_path / "j") == ["decision-3"]


async def test_a_full_disk_is_told_and_overcome_without_traffic(tmp_path: Path) -> None:
    files, tally = FaultyFiles(torn_bytes=300), Tally()
    async with journal_in(tmp_path / "j", files, metrics=tally) as journal:
        await journal.append([decision_record(0)])
        files.space_bytes = 500
        with pytest.raises(JournalUnavailableError, match="no space left on device"):
            await journal.append([decision_record(1)])
        assert not journal.usable

        files.space_bytes = None
        await until_usable(journal)
        await journal.append([decision_record(2)])

    assert tally.kinds[0] == "full"
    assert ids_in(tmp_path / "j") == ["decision-0", "decision-2"]
    report = verify_journal(tmp_path / "j")
    assert (report.fault, report.abandoned) == (None, ())
    assert not [name for name in names_in(tmp_path / "j") if "torn" in name]


async def test_a_nearly_full_disk_is_not_tried_again_and_again(tmp_path: Path) -> None:
    """Room for a header alone is no room for answers."""
    files = FaultyFiles()
    options = replace(QUICK, reserve_bytes=100_000)
    async with journal_in(tmp_path / "j", files, options) as journal:
        files.space_bytes = 900
        with pytest.raises(JournalUnavailableError):
            await journal.append([decision_record(1)])
        await asyncio.sleep(0.1)

        assert not journal.usable
        assert segment_numbers(tmp_path / "j") == [1]
        files.space_bytes = 200_000
        await until_usable(journal)


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES])
async def test_a_directory_that_may_not_be_written_is_told(tmp_path: Path, number: int) -> None:
    files, tally = FaultyFiles(), Tally()
    async with journal_in(tmp_path / "j", files, metrics=tally) as journal:
        files.broken = {"write": number, "create": number, "truncate": number, "remove": number}
        with pytest.raises(JournalUnavailableError):
            await journal.append([decision_record(1)])
        files.broken = {}
        await until_usable(journal)
    assert tally.kinds[0] == "refused"


async def test_a_directory_moved_away_is_noticed_and_its_return_too(tmp_path: Path) -> None:
    tally = Tally()
    async with journal_in(tmp_path / "j", metrics=tally) as journal:
        await journal.append([decision_record(0)])
        (tmp_path / "j").rename(tmp_path / "away")
        with pytest.raises(JournalUnavailableError, match="gone from its directory"):
            await journal.append([decision_record(1)])
        assert not journal.usable
        assert not (tmp_path / "j").exists()

        (tmp_path / "away").rename(tmp_path / "j")
        await until_usable(journal)
        await journal.append([decision_record(2)])
    assert tally.kinds[0] == "lost"
    assert ids_in(tmp_path / "j") == ["decision-0", "decision-2"]


async def test_a_deleted_segment_stops_the_journal_until_it_is_put_back(tmp_path: Path) -> None:
    async with journal_in(tmp_path / "j") as journal:
        await journal.append([decision_record(0)])
        path = segment_path(tmp_path / "j", 1)
        shutil.copy(path, tmp_path / "copy")
        path.unlink()
        with pytest.raises(JournalUnavailableError):
            await journal.append([decision_record(1)])
        await asyncio.sleep(0.05)
        assert not journal.usable

        path.write_bytes(b"something else")
        await asyncio.sleep(0.05)
        assert not journal.usable
        shutil.copy(tmp_path / "copy", path)
        await until_usable(journal)
    assert verify_journal(tmp_path / "j").fault is None


async def test_a_directory_restored_from_a_copy_is_locked_again(tmp_path: Path) -> None:
    async with journal_in(tmp_path / "j") as journal:
        await journal.append([decision_record(0)])
        shutil.copytree(tmp_path / "j", tmp_path / "copy")
        (tmp_path / "j").rename(tmp_path / "away")
        (tmp_path / "copy").rename(tmp_path / "j")
        with pytest.raises(JournalUnavailableError):
            await journal.append([decision_record(1)])
        await until_usable(journal)

        with pytest.raises(JournalUnavailableError, match="another writer"):
            open_journal(tmp_path / "j", ORIGIN)


async def test_another_journal_in_the_directory_is_not_written(tmp_path: Path) -> None:
    async with journal_in(tmp_path / "j") as journal:
        shutil.rmtree(tmp_path / "j")
        await open_journal(tmp_path / "j", ORIGIN).close()
        with pytest.raises(JournalUnavailableError):
            await journal.append([decision_record(1)])
        await asyncio.sleep(0.05)

        assert not journal.usable
        assert journal.refusal is not None
        assert "holds another journal now" in journal.refusal


async def test_close_ends_a_journal_that_cannot_write(tmp_path: Path) -> None:
    files = FaultyFiles()
    journal = open_journal(tmp_path / "j", ORIGIN, options=JournalOptions(), files=files)
    files.broken = {"sync": errno.EIO}
    with pytest.raises(JournalUnavailableError):
        await journal.append([decision_record(1)])

    async with asyncio.timeout(1):
        await journal.close()

    async with journal_in(tmp_path / "j"):
        pass


async def test_a_bug_in_the_thread_fails_who_wait_and_is_overcome(tmp_path: Path) -> None:
    def burst() -> None:
        files.on_sync = None
        raise ZeroDivisionError

    files, tally = FaultyFiles(), Tally()
    async with journal_in(tmp_path / "j", files, metrics=tally) as journal:
        files.on_sync = burst
        with pytest.raises(JournalUnavailableError):
            await journal.append([decision_record(1)])
        await until_usable(journal)
        await journal.append([decision_record(2)])
    assert tally.kinds == ["bug"]
    assert ids_in(tmp_path / "j") == ["decision-2"]

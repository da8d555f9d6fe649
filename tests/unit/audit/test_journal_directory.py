"""Every name that leads to a journal is on the disk before the journal takes anything."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from authz_service.audit.opening import open_journal
from authz_service.pdp.errors import JournalUnavailableError
from tests.unit.audit.audit_faults import ORIGIN, FaultyFiles
from tests.unit.audit.simulated_disk import Disk


async def left_after_a_start(directory: Path, files: FaultyFiles) -> list[list[str]]:
    """Start and end; return which files each power cut would leave."""
    await open_journal(directory, ORIGIN, files=files).close()
    return [sorted(state) for state in files.left_behind()]


async def test_a_new_journal_is_not_lost_with_a_directory_above_it(tmp_path: Path) -> None:
    files = FaultyFiles(disk=Disk(tmp_path))

    left = await left_after_a_start(tmp_path / "a" / "b" / "j", files)

    assert left == [["a/b/j/journal.id", "a/b/j/segment-00000001.jsonl"]]
    assert (tmp_path / "a" / "b" / "j").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("nth", range(1, 6))
async def test_a_start_does_what_the_one_before_did_not_come_to(tmp_path: Path, nth: int) -> None:
    """A directory that is there need not be there after a power cut."""
    files = FaultyFiles(disk=Disk(tmp_path), fail_at={("sync_directory", nth): errno.EIO})
    with pytest.raises(JournalUnavailableError):
        open_journal(tmp_path / "a" / "j", ORIGIN, files=files)

    for left in await left_after_a_start(tmp_path / "a" / "j", files):
        assert "a/j/journal.id" in left
        assert "a/j/segment-00000001.jsonl" in left


async def test_a_directory_above_that_cannot_be_read_is_passed_over(tmp_path: Path) -> None:
    """It was not made here; one that was made must be synced."""
    (tmp_path / "j").mkdir()
    files = FaultyFiles(fail_at={("sync_directory", 1): errno.EACCES})
    await open_journal(tmp_path / "j", ORIGIN, files=files).close()

    files = FaultyFiles(fail_at={("sync_directory", 2): errno.EACCES})
    with pytest.raises(JournalUnavailableError, match="permission denied"):
        open_journal(tmp_path / "new", ORIGIN, files=files)

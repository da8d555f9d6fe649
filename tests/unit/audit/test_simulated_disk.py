"""The disk that crash tests rely on forgets what a real one may, and keeps what a real one must."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from tests.unit.audit.audit_faults import FaultyFiles
from tests.unit.audit.simulated_disk import Disk, lay_out
from tests.unit.audit.torn_writes import SECTOR_BYTES, brief_tears, every_sector_pattern, sectors_of


def a_file(root: Path, content: bytes = b"") -> tuple[FaultyFiles, int]:
    """Return files over *root*, and a new file there, its name on the disk."""
    files = FaultyFiles(disk=Disk(root))
    descriptor = files.create(root / "f")
    files.write(descriptor, content)
    files.sync(descriptor)
    files.sync_directory(root)
    return files, descriptor


def contents(files: FaultyFiles, name: str = "f") -> set[bytes | None]:
    """Return what the file may hold after a power cut; None where it may be missing."""
    return {state.get(name) for state in files.left_behind()}


def test_what_was_synced_is_all_there_is(tmp_path: Path) -> None:
    files, descriptor = a_file(tmp_path, b"synced")

    assert files.left_behind() == [{"f": b"synced"}]
    files.write(descriptor, b", and not")
    assert {b"synced", b"synced, and not", b"synced" + bytes(9), b"synced,"} <= contents(files)
    assert all(each and each.startswith(b"synced") for each in contents(files))
    files.sync(descriptor)
    assert contents(files) == {b"synced, and not"}


def test_a_name_is_there_for_certain_once_its_directory_was_synced(tmp_path: Path) -> None:
    files = FaultyFiles(disk=Disk(tmp_path))
    descriptor = files.create(tmp_path / "f")
    files.write(descriptor, b"x")
    files.sync(descriptor)

    assert contents(files) == {None, b"x"}
    files.sync_directory(tmp_path)
    files.rename(tmp_path / "f", tmp_path / "g")
    assert files.left_behind() == [{"f": b"x"}, {"g": b"x"}]
    files.sync_directory(tmp_path)
    files.remove(tmp_path / "g")
    assert files.left_behind() == [{"g": b"x"}, {}]


def test_names_change_in_any_order(tmp_path: Path) -> None:
    files, _ = a_file(tmp_path)
    files.rename(tmp_path / "f", tmp_path / "g")
    files.create(tmp_path / "h")

    assert {tuple(state) for state in files.left_behind()} == {
        ("f",),
        ("g",),
        ("f", "h"),
        ("g", "h"),
    }


def test_a_directory_is_lost_with_its_name(tmp_path: Path) -> None:
    files = FaultyFiles(disk=Disk(tmp_path))
    (tmp_path / "a" / "b").mkdir(parents=True)
    files.create(tmp_path / "a" / "b" / "f")
    files.sync_directory(tmp_path / "a" / "b")
    files.sync_directory(tmp_path / "a")

    assert files.left_behind() == [{"a/b/f": b""}, {}]
    files.sync_directory(tmp_path)
    assert files.left_behind() == [{"a/b/f": b""}]


def test_no_later_sync_brings_back_what_a_failed_one_dropped(tmp_path: Path) -> None:
    files, descriptor = a_file(tmp_path)
    files.write(descriptor, b"dropped")
    files.fail_at = {("sync", files.calls["sync"] + 1): errno.EIO}
    with pytest.raises(OSError, match="Input/output"):
        files.sync(descriptor)
    files.sync(descriptor)

    assert {b"", b"dropped", bytes(7)} <= contents(files)
    assert (tmp_path / "f").read_bytes() == b"dropped"
    again = files.reopen(tmp_path / "f")
    files.write_at(again, b"dropped", 0)
    files.sync(again)
    assert contents(files) == {b"dropped"}


def test_what_was_synced_survives_being_written_again(tmp_path: Path) -> None:
    files, _ = a_file(tmp_path, b"0123456789")
    again = files.reopen(tmp_path / "f")
    files.write_at(again, b"56789abc", 5)

    assert all(each and each.startswith(b"0123456789") for each in contents(files))
    assert {b"0123456789", b"0123456789abc", b"0123456789\0\0\0"} <= contents(files)


def test_a_cut_may_be_lost_until_it_is_synced(tmp_path: Path) -> None:
    files, descriptor = a_file(tmp_path, b"whole")
    files.truncate(tmp_path / "f", 2)

    assert contents(files) == {b"whole", b"wh"}
    files.sync(descriptor)
    assert contents(files) == {b"wh"}


def test_sectors_reach_the_disk_in_any_combination() -> None:
    base, new = b"b" * 100, b"n" * 1000
    found = set(every_sector_pattern(base, 100, new))

    assert [part.stop - part.start for part in sectors_of(100, new)] == [412, 512, 76]
    assert all(each.startswith(base) for each in found)
    assert base + new in found
    assert base + bytes(412) + b"n" * 512 + bytes(76) in found
    assert base + b"n" * 412 + bytes(512) + b"n" * 76 in found
    assert len(found) == 15  # 2 ** 3, with zeros and with garbage, but the whole only once


def test_the_brief_tears_are_of_every_kind() -> None:
    base, new = b"b" * 100, b"n" * (3 * SECTOR_BYTES)
    found = list(brief_tears(base, 100, new))

    assert any(len(each) < len(base + new) for each in found)
    assert any(each.endswith(bytes(SECTOR_BYTES)) for each in found)
    assert any(each[100:101] == b"\0" and each.endswith(b"n") for each in found)
    assert any(set(each) - set(b"bn\0") for each in found)


@pytest.mark.parametrize(("side", "is_done"), [("cut_before", False), ("cut_after", True)])
def test_nothing_is_done_after_the_power_went(tmp_path: Path, side: str, *, is_done: bool) -> None:
    files, descriptor = a_file(tmp_path)
    setattr(files, side, files.calls.total() + 1)

    with pytest.raises(OSError, match="Input/output"):
        files.write(descriptor, b"x")
    with pytest.raises(OSError, match="Input/output"):
        files.sync(descriptor)

    assert b"" in contents(files)
    assert (b"x" in contents(files)) is is_done
    assert files.is_off


def test_what_was_left_is_laid_out(tmp_path: Path) -> None:
    lay_out({"a/f": b"x"}, tmp_path)

    assert (tmp_path / "a" / "f").read_bytes() == b"x"
    assert Disk(tmp_path).states() == [{"a/f": b"x"}]

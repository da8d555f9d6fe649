"""The power goes, or an operation fails, at every operation there is: no answer is lost."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

import pytest

from authz_service.pdp.errors import JournalUnavailableError
from tests.unit.audit.audit_faults import FaultyFiles
from tests.unit.audit.crash_lives import Clients, live, start_after, start_in_each, told_where
from tests.unit.audit.simulated_disk import Disk
from tests.unit.audit.torn_writes import Torn, brief_tears, coarse_tears


@pytest.mark.slow
@pytest.mark.parametrize(
    ("cut", "torn", "least"),
    [("cut_before", brief_tears, 150), ("cut_after", coarse_tears, 60)],
    ids=["before", "after"],
)
async def test_no_power_cut_loses_an_answer(
    tmp_path: Path, cut: str, torn: Torn, least: int
) -> None:
    """From the first start of an empty directory, over batches and rotations, to the end."""
    operations = starts = 0
    is_off = True
    while is_off:
        operations += 1
        root, clients = _room(tmp_path / str(operations)), Clients()
        files = FaultyFiles(disk=Disk(root))
        setattr(files, cut, operations)
        await live(root / "new" / "j", files, clients)
        is_off = files.is_off
        with told_where(f"{cut} operation {operations}"):
            starts += await start_in_each(files.left_behind(torn), tmp_path / "after", clients)
        shutil.rmtree(root)

    assert operations > 30
    assert starts > least


@pytest.mark.slow
@pytest.mark.parametrize(
    ("operation", "is_done"),
    [
        ("create", False),
        ("create", True),
        ("write", False),
        ("sync", False),
        ("rename", False),
        ("rename", True),
        ("remove", False),
        ("truncate", False),
        ("sync_directory", False),
    ],
)
async def test_no_failure_loses_an_answer(tmp_path: Path, operation: str, *, is_done: bool) -> None:
    """Nor does it bring back what was refused: not in the next life, nor after a power cut."""
    failures = nth = 0
    while nth == failures:
        nth += 1
        root, clients = _room(tmp_path / str(nth)), Clients()
        files = FaultyFiles(disk=Disk(root), fails_late=is_done, torn_bytes=700 * (nth % 3))
        files.fail_at = {(operation, nth): errno.EIO}
        if operation == "truncate":  # which only follows a failure
            files.fail_at = {("sync", nth + 2): errno.EIO, ("truncate", 1): errno.EIO}
        for _ in range(2):
            if await live(root / "new" / "j", files, clients):
                break
        failures += files.calls[operation] >= (1 if operation == "truncate" else nth)
        files.fail_at = {}
        with told_where(f"{operation} {nth}"):
            states = files.left_behind(coarse_tears)
            await start_in_each(states, tmp_path / "after", clients)
            later = Clients(await start_after(root / "new" / "j", clients, files))
            states = files.left_behind(coarse_tears)
            await start_in_each(states, tmp_path / "later", later)
        shutil.rmtree(root)

    assert failures > 0


@pytest.mark.slow
async def test_a_disk_may_be_full_at_any_byte(tmp_path: Path) -> None:
    """And have space again: what was answered is there, and what was refused is not."""
    failures = 0
    for space_bytes in (0, 36, 37, 38, 380, *range(400, 14_000, 613)):
        root, clients = _room(tmp_path / str(space_bytes)), Clients()
        files = FaultyFiles(disk=Disk(root), space_bytes=space_bytes)
        for _ in range(2):
            if await live(root / "new" / "j", files, clients):
                break
        failures += files.failures > 0
        with told_where(f"full after {space_bytes} bytes"):
            assert len(clients.certain) >= 4
            await start_in_each(files.left_behind(coarse_tears), tmp_path / "after", clients)
            await start_after(root / "new" / "j", clients, files)
        shutil.rmtree(root)

    assert failures > 20


@pytest.mark.parametrize("lie", ["sync", "sync_directory"])
async def test_a_disk_that_lies_is_found_out(tmp_path: Path, lie: str) -> None:
    """Against a disk that says it synced and did not, no journal can keep its promise."""
    clients = Clients()
    files = FaultyFiles(disk=Disk(tmp_path), lies=frozenset({lie}))
    await live(tmp_path / "j", files, clients)

    with pytest.raises((AssertionError, JournalUnavailableError)):
        await start_in_each(files.left_behind(), tmp_path / "after", clients)


def _room(path: Path) -> Path:
    """Return an empty directory."""
    path.mkdir(parents=True)
    return path

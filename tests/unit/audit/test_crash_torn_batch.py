"""One batch of which the disk has only a part: every class of offset, every pattern of sectors."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from authz_service.audit.chain import TAIL_BYTES, chained_batch
from tests.unit.audit.crash_lives import Clients, start_in_each, told_where
from tests.unit.audit.journal_remains import Written, lines_of, written
from tests.unit.audit.simulated_disk import State
from tests.unit.audit.torn_writes import (
    PAGE_BYTES,
    SECTOR_BYTES,
    cut_at,
    every_sector_pattern,
    sectors_of,
)


def batch_after(journal: Written, appends: int) -> bytes:
    """Return what would be the third batch of *journal*."""
    return chained_batch(journal.ends[-1], lines_of(3, appends), appends).content


def offset_classes(batch: bytes) -> dict[str, int]:
    """Return how much of a batch of three lines is kept, by what the cut goes through."""
    header, first, second = (len(line) for line in batch.splitlines(keepends=True)[:3])
    last = len(batch)
    return {
        "nothing": 0,
        "first byte": 1,
        "first of a line's opening": len(b'{"sequence":'),
        "middle of the header": header // 2,
        "header's body, whole": header - TAIL_BYTES,
        "header's hash, half": header - TAIL_BYTES // 2,
        "header's hash, whole": header - len(b'"}\n'),
        "header's newline missing": header - 1,
        "header": header,
        "header and one byte": header + 1,
        "middle of the first record": header + first // 2,
        "first record's body": header + first - TAIL_BYTES,
        "first record's hash, half": header + first - TAIL_BYTES // 2,
        "first record's newline missing": header + first - 1,
        "between records": header + first,
        "between records and one byte": header + first + 1,
        "middle of the second record": header + first + second // 2,
        "second record's hash, whole": header + first + second - 3,
        "before the last record": header + first + second,
        "middle of the last record": (header + first + second + last) // 2,
        "last record's body": last - TAIL_BYTES,
        "last hash, half": last - TAIL_BYTES // 2,
        "last hash less one digit": last - 4,
        "last hash": last - 3,
        "last newline missing": last - 1,
    }


def states_of(journal: Written, contents: Iterable[bytes]) -> list[State]:
    """Return states of the disk, each with other *contents* of the one segment."""
    identity = (journal.directory / "journal.id").read_bytes()
    return [
        {"j/journal.id": identity, f"j/{journal.path.name}": content}
        for content in dict.fromkeys(contents)
    ]


@pytest.mark.slow
async def test_a_batch_may_be_torn_at_every_class_of_offset(tmp_path: Path) -> None:
    """With nothing after it, with zeros, with garbage: to the sector's end, or to its own."""
    journal = written(tmp_path / "j", [2, 1])
    before, batch = journal.path.read_bytes(), batch_after(journal, 3)
    clients = Clients(lines_of(0, 3), lines_of(3, 3))

    states = 0
    for name, kept in offset_classes(batch).items():
        with told_where(name):
            tails = cut_at(before, len(before), batch, kept)
            states += await start_in_each(states_of(journal, tails), tmp_path / "after", clients)

    assert states > 100


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sector_bytes", "appends", "sectors"),
    [(SECTOR_BYTES, 2, 5), (PAGE_BYTES, 18, 5)],
    ids=["512", "4096"],
)
async def test_a_batch_may_lack_any_of_its_sectors(
    tmp_path: Path, sector_bytes: int, appends: int, sectors: int
) -> None:
    """In every combination: the header may be lost and the records there."""
    journal = written(tmp_path / "j", [2, 1])
    before, batch = journal.path.read_bytes(), batch_after(journal, appends)
    assert len(sectors_of(len(before), batch, sector_bytes)) == sectors
    clients = Clients(lines_of(0, 3), lines_of(3, appends))

    tails = every_sector_pattern(before, len(before), batch, sector_bytes)
    states = await start_in_each(states_of(journal, tails), tmp_path / "after", clients)

    assert states == 2 * 2**sectors - 1


async def test_a_batch_may_have_become_length_and_nothing_else(tmp_path: Path) -> None:
    """And a file longer than any write, as some file systems allocate it."""
    journal = written(tmp_path / "j", [2, 1])
    before, batch = journal.path.read_bytes(), batch_after(journal, 2)
    clients = Clients(lines_of(0, 3), lines_of(3, 2))

    lengths = (1, TAIL_BYTES, len(batch), PAGE_BYTES, 16 * PAGE_BYTES)
    states = states_of(
        journal,
        [
            *(before + bytes(length) for length in lengths),
            before + batch,
            before + batch + bytes(99),
        ],
    )
    assert await start_in_each(states, tmp_path / "after", clients) == 7

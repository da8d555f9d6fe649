"""How far a journal is on stable storage, as those see it who read its files beside it."""

from __future__ import annotations

import asyncio
import contextlib
import errno
from pathlib import Path

from authz_service.audit.chain import Position
from authz_service.audit.directory import read_journal_id, segment_path
from authz_service.audit.journal import FileJournal
from authz_service.audit.scan import Fault, read_segment
from authz_service.pdp.errors import JournalUnavailableError
from tests.unit.audit.audit_faults import FaultyFiles, decision_record
from tests.unit.audit.journal_under_test import Gate, Tally, journal_in, until_usable


def end_in(directory: Path, segment: int) -> Position:
    """Return where a segment's sound lines end."""
    units = list(read_segment(segment_path(directory, segment)))
    last = units[-1]
    assert not isinstance(last, Fault)
    return last.end


async def append(journal: FileJournal, number: int) -> None:
    await journal.append([decision_record(number)])


async def test_it_moves_once_a_batch_is_synced(tmp_path: Path) -> None:
    files = FaultyFiles()
    async with journal_in(tmp_path / "j", files) as journal:
        begun = journal.position
        gate = files.on_sync = Gate()
        waiting = asyncio.ensure_future(append(journal, 1))
        await gate.until_reached()

        assert journal.position == begun
        gate.open.set()
        await waiting

        assert journal.position == end_in(tmp_path / "j", 1)
        assert journal.position.sequence == begun.sequence + 2
        assert (journal.directory, journal.journal_id) == (
            tmp_path / "j",
            read_journal_id(tmp_path / "j"),
        )


async def test_it_stays_where_a_batch_was_given_up(tmp_path: Path) -> None:
    files = FaultyFiles()
    async with journal_in(tmp_path / "j", files) as journal:
        await append(journal, 1)
        at = journal.position
        files.broken["sync"] = errno.EIO
        with contextlib.suppress(JournalUnavailableError):
            await append(journal, 2)

        assert journal.position == at
        del files.broken["sync"]
        await until_usable(journal)

        assert journal.position == end_in(tmp_path / "j", 2)
        assert journal.position.sequence == at.sequence + 1


async def test_it_holds_the_closing_line_in_the_end(tmp_path: Path) -> None:
    async with journal_in(tmp_path / "j") as journal:
        await append(journal, 1)

    assert journal.position == end_in(tmp_path / "j", 1)


async def test_what_was_retired_is_not_kept(tmp_path: Path) -> None:
    tally = Tally()
    async with journal_in(tmp_path / "j", metrics=tally) as journal:
        await append(journal, 1)
        size_bytes = tally.size_bytes

        journal.note_retired(100)

        assert (tally.segments, tally.size_bytes) == (0, size_bytes - 100)

"""Starts on segments that were begun, closed or given up when the crash came."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from authz_service.audit.chain import chained_batch, chained_closing
from authz_service.audit.directory import segment_path
from authz_service.audit.journal import JournalOptions
from authz_service.audit.opening import open_journal
from authz_service.audit.verify import verify_journal
from authz_service.pdp.errors import JournalUnavailableError
from tests.unit.audit.audit_faults import ORIGIN
from tests.unit.audit.journal_remains import (
    goes_on,
    lines_of,
    next_header,
    numbers_in,
    recovered,
    written,
)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
@pytest.mark.parametrize("filling", [b"", b"\0"], ids=["cut", "zeros"])
async def test_a_segment_torn_while_it_was_made_is_set_aside(
    tmp_path: Path, share: float, filling: bytes
) -> None:
    journal = written(tmp_path / "j", [2])
    closing = chained_closing(journal.ends[-1], 1, 2)
    with journal.path.open("ab") as stream:
        stream.write(closing.content)
    header = next_header(journal, closing.end)
    half = header[: int(share * len(header))]
    second = segment_path(journal.directory, 2)
    second.write_bytes(half + filling * (len(header) - len(half)))

    assert verify_journal(journal.directory).fault is None
    recovery = recovered(journal.directory)

    assert recovery.at == closing.end
    assert [torn.kept_as for torn in recovery.torn] == [f"{second.name}.torn"]
    await goes_on(journal.directory)


@pytest.mark.parametrize("length", [0, 1, 50, 150, -1])
@pytest.mark.parametrize("filling", [b"", b"\0", b"x"], ids=["cut", "zeros", "garbage"])
async def test_a_torn_closing_line_is_cut_off(tmp_path: Path, length: int, filling: bytes) -> None:
    """Also where its newline alone is missing: what is not whole is no witness against itself."""
    journal = written(tmp_path / "j", [2])
    closing = chained_closing(journal.ends[-1], 1, 2).content
    torn = closing[:length]
    with journal.path.open("ab") as stream:
        stream.write(torn + filling * (len(closing) - len(torn)))

    assert recovered(journal.directory).at == journal.ends[-1]
    await goes_on(journal.directory)


def test_damage_before_a_closing_line_is_no_torn_end(tmp_path: Path) -> None:
    """A journal closed in order says so, and its last batch is protected like the others."""
    journal = written(tmp_path / "j", [1])
    damaged = bytearray(journal.path.read_bytes() + chained_closing(journal.ends[-1], 1, 1).content)
    damaged[journal.ends[0].offset_bytes + 300] ^= 1
    journal.path.write_bytes(damaged)

    with pytest.raises(JournalUnavailableError, match="the hash does not match"):
        recovered(journal.directory)


@pytest.mark.parametrize("tail", [b"", b"\0" * 99, b"garbage\n", None], ids=str)
async def test_an_end_abandoned_by_a_running_writer_does_not_count(
    tmp_path: Path, tail: bytes | None
) -> None:
    """The header of the next segment says how far the one before was on the disk."""
    journal = written(tmp_path / "j", [2])
    if tail is None:
        tail = chained_batch(journal.ends[-1], lines_of(7, 1), 1).content
    with journal.path.open("ab") as stream:
        stream.write(tail)
    header = next_header(journal, journal.ends[-1])
    segment_path(journal.directory, 2).write_bytes(header)

    recovery = recovered(journal.directory)

    assert recovery.torn == ()
    assert numbers_in(journal.directory) == [0, 1]
    loose = [end.size_bytes for end in verify_journal(journal.directory).abandoned]
    assert loose == ([len(tail)] if tail else [])
    await goes_on(journal.directory)


def test_a_last_segment_without_batches_has_the_one_before_verified(tmp_path: Path) -> None:
    journal = written(tmp_path / "j", [1, 1])
    header = next_header(journal, journal.ends[-1])
    segment_path(journal.directory, 2).write_bytes(header)
    damaged = bytearray(journal.path.read_bytes())
    damaged[-200] ^= 1
    journal.path.write_bytes(damaged)

    with pytest.raises(JournalUnavailableError, match=r"segment-00000001\.jsonl"):
        recovered(journal.directory)


def test_segments_of_another_journal_are_refused(tmp_path: Path) -> None:
    journal = written(tmp_path / "j", [1])
    other = written(tmp_path / "other", [1])
    shutil.copy(other.path, journal.path)

    with pytest.raises(JournalUnavailableError, match="belongs to another journal"):
        recovered(journal.directory)


def test_segments_without_an_id_are_refused(tmp_path: Path) -> None:
    journal = written(tmp_path / "j", [1])
    (journal.directory / "journal.id").unlink()

    with pytest.raises(JournalUnavailableError, match=r"journal\.id is missing"):
        recovered(journal.directory)


async def test_verify_all_refuses_damage_in_any_segment(tmp_path: Path) -> None:
    journal = written(tmp_path / "j", [1, 1])
    await goes_on(journal.directory)
    damaged = bytearray(journal.path.read_bytes())
    damaged[journal.ends[1].offset_bytes - 300] ^= 1
    journal.path.write_bytes(damaged)

    with pytest.raises(JournalUnavailableError, match=r"segment-00000001\.jsonl"):
        open_journal(journal.directory, ORIGIN, options=JournalOptions(verify_all=True))
    await open_journal(journal.directory, ORIGIN).close()

"""What a crash may leave behind, in every byte, and what a start makes of it."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from authz_service.audit.chain import Position
from authz_service.audit.directory import journal_id
from authz_service.audit.opening import open_journal
from authz_service.audit.recovery import Recovery, recover
from authz_service.audit.segment import Segment
from authz_service.audit.verify import read_records, verify_journal
from authz_service.pdp.errors import JournalUnavailableError
from tests.unit.audit.audit_faults import NOON, ORIGIN, FaultyFiles
from tests.unit.audit.journal_remains import (
    lines_of,
    numbers_in,
    recovered,
    written,
)


def test_a_sound_journal_goes_on_where_it_stood(tmp_path: Path) -> None:
    journal = written(tmp_path / "j", [1, 3])

    recovery = recovered(journal.directory)

    assert recovery.at == journal.ends[-1]
    assert (recovery.torn, recovery.segments) == ((), 1)


def test_an_empty_directory_begins_a_journal(tmp_path: Path) -> None:
    (tmp_path / "j").mkdir()

    assert recovered(tmp_path / "j") == Recovery(Position(), (), 0, 0)


@pytest.mark.parametrize("filling", ["cut", "zeros", "garbage", "lines", "longer"])
def test_a_batch_torn_at_any_byte_is_cut_off(tmp_path: Path, filling: str) -> None:
    """Nobody was answered for it: its sync never returned."""
    journal = written(tmp_path / "j", [2, 1, 2])
    whole, (start, end) = journal.path.read_bytes(), (journal.ends[-2], journal.ends[-1])

    for offset in range(start.offset_bytes, end.offset_bytes, 7):
        left = end.offset_bytes - offset
        tail = {
            "cut": b"",
            "zeros": bytes(left),
            "garbage": b"\xfe" * left,
            "lines": (b'{"sequence":1,"batch":\n' * left)[:left],
            "longer": bytes(left + 4096),
        }[filling]
        journal.path.write_bytes(whole[:offset] + tail)
        recovery = recovered(journal.directory)

        assert recovery.at == start
        assert journal.path.read_bytes() == whole[: start.offset_bytes]
        assert numbers_in(journal.directory) == [0, 1, 2]
        kept = whole[start.offset_bytes : offset] + tail
        assert [torn.size_bytes for torn in recovery.torn] == ([len(kept)] if kept else [])
        for torn in recovery.torn:
            kept_path = journal.directory / torn.kept_as
            assert kept_path.read_bytes() == kept
            kept_path.unlink()


def test_a_lost_beginning_of_the_last_batch_is_torn_too(tmp_path: Path) -> None:
    """Pages reach the disk in any order: the header may be lost and the records there."""
    journal = written(tmp_path / "j", [2, 3])
    whole, start = journal.path.read_bytes(), journal.ends[-2].offset_bytes

    for lost in range(1, len(whole) - start, 11):
        journal.path.write_bytes(whole[:start] + bytes(lost) + whole[start + lost :])

        recovery = recovered(journal.directory)
        assert recovery.at == journal.ends[-2]
        (journal.directory / recovery.torn[0].kept_as).unlink()


def test_torn_ends_are_numbered(tmp_path: Path) -> None:
    journal = written(tmp_path / "j", [1])
    whole = journal.path.read_bytes()

    names = []
    for end in (b"one", b"two", b"three"):
        journal.path.write_bytes(whole + end)
        names.append(recovered(journal.directory).torn[0].kept_as)

    first = f"{journal.path.name}.torn"
    assert names == [first, f"{first}-2", f"{first}-3"]


async def test_a_torn_end_is_recorded(tmp_path: Path) -> None:
    journal = written(tmp_path / "j", [1])
    with journal.path.open("ab") as stream:
        stream.write(b"{half a header")

    opened = open_journal(journal.directory, ORIGIN)
    await opened.close()

    assert [torn.size_bytes for torn in opened.recovery.torn] == [14]
    event = list(read_records(journal.directory))[-1]
    assert event["kind"] == "JOURNAL_RECOVERED"
    assert event["details"] == {
        "segment": "segment-00000001.jsonl",
        "offset_bytes": journal.ends[-1].offset_bytes,
        "size_bytes": 14,
        "kept_as": "segment-00000001.jsonl.torn",
    }


def test_a_flipped_bit_before_the_last_batch_refuses_the_start(tmp_path: Path) -> None:
    """What was on the disk once is damage, and nothing is thrown away."""
    journal = written(tmp_path / "j", [1, 1, 2])
    whole = journal.path.read_bytes()

    for offset in range(0, journal.ends[-2].offset_bytes, 3):
        damaged = bytearray(whole)
        damaged[offset] ^= 1 << offset % 8
        journal.path.write_bytes(damaged)

        with pytest.raises(JournalUnavailableError, match=r"segment-00000001\.jsonl: line \d+"):
            recovered(journal.directory)
        assert journal.path.read_bytes() == damaged


def test_a_refusal_names_file_line_byte_and_what_to_do(tmp_path: Path) -> None:
    journal = written(tmp_path / "j", [1, 1])
    damaged = bytearray(journal.path.read_bytes())
    offset = damaged.index(b'{"sequence":3,"record":')
    damaged[offset + 50] ^= 1
    journal.path.write_bytes(damaged)

    with pytest.raises(JournalUnavailableError) as refusal:
        recovered(journal.directory)

    assert str(refusal.value) == (
        f"the journal is not usable: {journal.path}: line 3, byte {offset}: the hash does not "
        "match; this was on the disk once, so it is damage and no torn end: keep a copy of "
        f"{journal.directory}, restore the file, or start with an empty journal directory"
    )


def test_a_batch_missing_from_the_middle_refuses_the_start(tmp_path: Path) -> None:
    journal = written(tmp_path / "j", [1, 1, 1])
    whole = journal.path.read_bytes()
    _, first, second, _ = (end.offset_bytes for end in journal.ends)
    journal.path.write_bytes(whole[:first] + whole[second:])

    with pytest.raises(JournalUnavailableError, match="of the journal is missing"):
        recovered(journal.directory)


def test_the_end_is_written_once_more(tmp_path: Path) -> None:
    """A failed sync may have left it in the kernel's memory alone, marked as clean."""
    journal = written(tmp_path / "j", [1, 1])
    whole, files = journal.path.read_bytes(), FaultyFiles()

    recover(files, journal.directory, journal_id(files, journal.directory))

    assert (files.calls["write_at"], files.calls["sync"]) == (1, 1)
    assert journal.path.read_bytes() == whole


@st.composite
def torn_bytes(draw: st.DrawFn, batch: bytes) -> bytes:
    """Draw what may lie where *batch* was written but never synced."""
    pieces = []
    for start in range(0, len(batch), 512):
        piece = batch[start : start + 512]
        kind = draw(st.sampled_from(["kept", "zeros", "garbage"]))
        if kind == "zeros":
            piece = bytes(len(piece))
        elif kind == "garbage":
            piece = draw(st.binary(min_size=len(piece), max_size=len(piece)))
        pieces.append(piece)
    whole = b"".join(pieces) + draw(st.binary(max_size=64))
    return whole[: draw(st.integers(0, len(whole)))]


@settings(deadline=None, max_examples=150)
@given(st.data(), st.lists(st.integers(1, 4), min_size=1, max_size=5))
def test_a_start_finds_every_batch_that_was_synced(data: st.DataObject, sizes: list[int]) -> None:
    """And, beyond them, at most the whole of the one that was on its way."""
    with tempfile.TemporaryDirectory() as place:
        journal = written(Path(place) / "j", sizes)
        whole, synced = journal.path.read_bytes(), journal.ends[-2]
        tail = data.draw(torn_bytes(whole[synced.offset_bytes :]))
        journal.path.write_bytes(whole[: synced.offset_bytes] + tail)

        recovery = recovered(journal.directory)

        assert recovery.at in (synced, journal.ends[-1])
        in_batches = sum(sizes if recovery.at == journal.ends[-1] else sizes[:-1])
        assert numbers_in(journal.directory) == list(range(in_batches))
        segment = Segment.open_after(
            FaultyFiles(),
            journal.directory,
            recovery.at,
            (journal.directory / "journal.id").read_text().strip(),
            ORIGIN,
        )
        segment.append(lines_of(77, 1), 1)
        segment.finish()
        assert verify_journal(journal.directory).fault is None
        assert numbers_in(journal.directory) == [*range(in_batches), 77]


def test_the_clock_of_the_origin_dates_a_segment(tmp_path: Path) -> None:
    journal = written(tmp_path / "j", [])

    assert f'"opened_at":"{NOON.isoformat()[:-6]}Z"'.encode() in journal.path.read_bytes()

"""What a start cuts off is recorded, by the next start where that one was stopped before it."""

from __future__ import annotations

from pathlib import Path

import pytest

from authz_service.audit.directory import segment_numbers, segment_path
from authz_service.audit.opening import open_journal
from authz_service.audit.retired import Retired, append_retired
from authz_service.audit.store.tail import head_of
from authz_service.audit.verify import read_records
from tests.unit.audit.audit_faults import ORIGIN, FaultyFiles
from tests.unit.audit.journal_remains import Written, goes_on, next_header, recovered, written


@pytest.fixture
def torn(tmp_path: Path) -> Written:
    """A journal with a torn end."""
    journal = written(tmp_path / "j", [1])
    with journal.path.open("ab") as stream:
        stream.write(b"{half a header")
    return journal


async def told_of(directory: Path) -> list[object]:
    """Start once more; return what all starts have recorded."""
    await open_journal(directory, ORIGIN, files=FaultyFiles()).close()
    return [
        read["details"] for read in read_records(directory) if read["kind"] == "JOURNAL_RECOVERED"
    ]


async def test_what_a_start_did_not_come_to_record_the_next_one_does(torn: Written) -> None:
    recovered(torn.directory)

    told = [{"segment": torn.path.name, "size_bytes": 14, "kept_as": f"{torn.path.name}.torn"}]
    assert await told_of(torn.directory) == told
    assert await told_of(torn.directory) == told
    await goes_on(torn.directory)
    assert await told_of(torn.directory) == told


async def test_a_segment_begun_does_not_make_up_for_the_record(torn: Written) -> None:
    at = recovered(torn.directory).at
    segment_path(torn.directory, 2).write_bytes(next_header(torn, at))

    (told,) = await told_of(torn.directory)
    assert told == {
        "segment": torn.path.name,
        "size_bytes": 14,
        "kept_as": f"{torn.path.name}.torn",
    }


async def test_a_torn_end_whose_cut_was_lost_is_kept_once(torn: Written) -> None:
    before = torn.path.read_bytes()
    recovered(torn.directory)
    torn.path.write_bytes(before)

    (told,) = await told_of(torn.directory)
    assert told == {
        "segment": torn.path.name,
        "offset_bytes": torn.ends[-1].offset_bytes,
        "size_bytes": 14,
        "kept_as": f"{torn.path.name}.torn",
    }
    kept = [path.name for path in torn.directory.iterdir() if "torn" in path.name]
    assert kept == [f"{torn.path.name}.torn"]


async def test_a_copy_that_was_not_finished_does_not_count(torn: Written) -> None:
    (torn.directory / "torn.new").write_bytes(b"{ha")

    (told,) = await told_of(torn.directory)
    assert isinstance(told, dict)
    assert (torn.directory / told["kept_as"]).read_bytes() == b"{half a header"
    assert not (torn.directory / "torn.new").exists()


async def test_a_segment_set_aside_and_made_anew_is_recorded(tmp_path: Path) -> None:
    journal = written(tmp_path / "j", [1])
    second = segment_path(journal.directory, 2)
    second.write_bytes(bytes(99))
    at = recovered(journal.directory).at
    second.write_bytes(next_header(journal, at))

    (told,) = await told_of(journal.directory)
    assert told == {"segment": second.name, "size_bytes": 99, "kept_as": f"{second.name}.torn"}
    assert len(await told_of(journal.directory)) == 1


async def test_what_was_recorded_in_a_segment_that_is_retired_is_not_recorded_again(
    torn: Written,
) -> None:
    """Two starts, of which the second wrote nothing: the record is in the segment before it."""
    directory = torn.directory
    for _ in range(2):
        await open_journal(directory, ORIGIN, files=FaultyFiles()).close()
    assert segment_numbers(directory) == [1, 2, 3]
    for number in (1, 2):
        retire(directory, number)

    assert recovered(directory).torn == ()


def retire(directory: Path, number: int) -> None:
    """Delete a segment that is in the decision store, as retention does."""
    first = head_of(segment_path(directory, number)).previous
    end = head_of(segment_path(directory, number + 1)).previous
    entry = Retired(
        number,
        first.sequence,
        end.sequence - 1,
        first.hash.decode(),
        end.hash.decode(),
        end.offset_bytes,
        end.batch,
        end.sequence - first.sequence,
        "2020-06-09T14:00:00Z",
        "sqlite:///decisions.db",
    )
    append_retired(FaultyFiles(), directory, entry)
    segment_path(directory, number).unlink()

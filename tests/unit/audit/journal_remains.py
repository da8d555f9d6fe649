"""Journals as a crash may leave them: written batch by batch, without a thread."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from authz_service.audit.chain import Position, chained_header
from authz_service.audit.directory import journal_id, segment_path
from authz_service.audit.encoding import line_encoder
from authz_service.audit.opening import open_journal
from authz_service.audit.recovery import Recovery, recover
from authz_service.audit.segment import Segment
from authz_service.audit.verify import read_records, verify_journal
from tests.unit.audit.audit_faults import ORIGIN, FaultyFiles, decision_record

encoded = line_encoder("0.1.0")


@dataclass(frozen=True, slots=True)
class Written:
    """A journal of one segment, with where each batch ends; the first end is the header's."""

    directory: Path
    ends: tuple[Position, ...]

    @property
    def path(self) -> Path:
        return segment_path(self.directory, 1)


def lines_of(first: int, count: int) -> list[bytes]:
    return [encoded([decision_record(number)]) for number in range(first, first + count)]


def written(directory: Path, sizes: list[int]) -> Written:
    """Write batches of *sizes* appends, synced each."""
    directory.mkdir()
    files = FaultyFiles()
    identity = journal_id(files, directory)
    segment = Segment.open_after(files, directory, Position(), identity, ORIGIN)
    ends, number = [segment.at], 0
    for size in sizes:
        segment.append(lines_of(number, size), size)
        number += size
        ends.append(segment.at)
    segment.abandon()
    return Written(directory, tuple(ends))


def recovered(directory: Path) -> Recovery:
    files = FaultyFiles()
    return recover(files, directory, journal_id(files, directory))


def numbers_in(directory: Path) -> list[int]:
    return [
        int(str(read["decision_id"]).removeprefix("decision-"))
        for read in read_records(directory)
        if read["kind"] == "DECISION"
    ]


async def goes_on(directory: Path) -> None:
    """Start on what is there, append, and verify the whole."""
    before = numbers_in(directory)
    journal = open_journal(directory, ORIGIN, files=FaultyFiles())
    await journal.append([decision_record(999)])
    await journal.close()

    assert verify_journal(directory).fault is None
    assert verify_journal(directory).torn == ()
    assert numbers_in(directory) == [*before, 999]


def next_header(journal: Written, at: Position) -> bytes:
    identity = (journal.directory / "journal.id").read_text().strip()
    content: dict[str, object] = {"format": 1, "journal": identity}
    return chained_header(at, content).content

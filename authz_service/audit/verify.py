"""A whole journal verified, and read, without its writer.

May run beside the writer, too: the batch being written then looks like a torn end.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from authz_service.audit.chain import GENESIS, Position
from authz_service.audit.directory import segment_numbers, segment_path, torn_paths
from authz_service.audit.encoding import Plain, records_in
from authz_service.audit.scan import Batch, Fault, Header, Unit, later_lines_are_sound, read_segment
from authz_service.pdp.errors import JournalUnavailableError


@dataclass(frozen=True, slots=True)
class LooseEnd:
    """Bytes after the last line that counts.

    Attributes:
        segment: The file's name.
        offset_bytes: Where they begin.
        size_bytes: How many they are.
    """

    segment: str
    offset_bytes: int
    size_bytes: int


@dataclass(slots=True)
class Report:
    """What a journal holds, and whether it is what its writer wrote.

    Attributes:
        journal_id: The journal, as its segments name it; None where there are none.
        segments: How many segments were read.
        batches: How many sound batches.
        lines: How many appends in them.
        records: How many records in those.
        first_hash: The hash of the first line, in hex.
        last_hash: The hash of the last sound line, in hex.
        abandoned: Ends given up by a running writer after a failure.
        torn: What the next start will cut off: batches that nobody was answered for.
        kept_torn: The files in which starts kept what they cut off.
        fault: The first thing wrong, or None.
    """

    journal_id: str | None = None
    segments: int = 0
    batches: int = 0
    lines: int = 0
    records: int = 0
    first_hash: str = GENESIS.decode()
    last_hash: str = GENESIS.decode()
    abandoned: tuple[LooseEnd, ...] = ()
    torn: tuple[LooseEnd, ...] = ()
    kept_torn: tuple[str, ...] = ()
    fault: Fault | None = None


def verify_journal(directory: Path) -> Report:
    """Return a report on every line of the journal in *directory*.

    Raises:
        OSError: The directory or a file cannot be read.
    """
    report = Report(kept_torn=tuple(path.name for path in torn_paths(directory)))
    for unit in _units(directory, report):
        if isinstance(unit, Fault):
            report.fault = unit
            break
        report.last_hash = unit.end.hash.decode()
        if isinstance(unit, Header):
            report.segments += 1
            report.journal_id = unit.journal_id
            if report.segments == 1:
                report.first_hash = report.last_hash
        elif isinstance(unit, Batch):
            report.batches += 1
            report.lines += len(unit.lines)
            report.records += unit.records
    return report


def read_records(directory: Path) -> Iterator[Plain]:
    """Yield every record of every sound batch of the journal in *directory*, in order.

    Raises:
        JournalUnavailableError: Something is damaged; the records of the segments before it
            have been yielded.
        OSError: The directory or a file cannot be read.
    """
    for unit in _units(directory, Report()):
        if isinstance(unit, Fault):
            raise JournalUnavailableError(str(unit))
        if isinstance(unit, Batch):
            for line in unit.lines:
                yield from records_in(line)


def _units(directory: Path, report: Report) -> Iterator[Unit | Fault]:
    """Yield what the segments hold, loose ends left out, and at last the fault if there is one."""
    numbers = segment_numbers(directory)
    paths = [segment_path(directory, number) for number in numbers]
    heads = [_head(path) for path in paths]
    if heads and isinstance(heads[-1], Fault) and not later_lines_are_sound(paths[-1], 0, 0):
        heads.pop()
        report.torn = (_loose(paths.pop(), 0),)
    before = Position()
    for index, (path, head) in enumerate(zip(paths, heads, strict=True)):
        if isinstance(head, Fault):
            yield head
            return
        if head.number != index + 1 or path != segment_path(directory, index + 1):
            yield Fault(segment_path(directory, index + 1), 1, 0, "the segment is missing")
            return
        if head.previous != before or head.journal_id != _id_of(heads[0]):
            yield Fault(path, 1, 0, "the segment does not continue the one before it")
            return
        following = heads[index + 1] if index + 1 < len(heads) else None
        for unit in _segment_units(path, following, report):
            yield unit
            if isinstance(unit, Fault):
                return
            before = unit.end


def _segment_units(
    path: Path, following: Header | Fault | None, report: Report
) -> Iterator[Unit | Fault]:
    """Yield what one segment holds, up to where the *following* one takes over."""
    limit = following.previous.offset_bytes if isinstance(following, Header) else None
    end = Position()
    for unit in read_segment(path, limit):
        if isinstance(unit, Fault):
            if following is not None or later_lines_are_sound(path, end.offset_bytes, end.batch):
                yield unit
            else:
                report.torn = (_loose(path, end.offset_bytes), *report.torn)
            return
        end = unit.end
        yield unit
    if limit is not None and limit < path.stat().st_size:
        report.abandoned = (*report.abandoned, _loose(path, limit))


def _head(path: Path) -> Header | Fault:
    """Return the header of the segment at *path*."""
    with closing(read_segment(path)) as units:
        head = next(units)
    return head if isinstance(head, Header | Fault) else Fault(path, 1, 0, "there is no header")


def _id_of(head: Header | Fault) -> str | None:
    """Return the journal that a segment names."""
    return head.journal_id if isinstance(head, Header) else None


def _loose(path: Path, offset_bytes: int) -> LooseEnd:
    """Return the bytes of *path* from *offset_bytes* on."""
    return LooseEnd(path.name, offset_bytes, path.stat().st_size - offset_bytes)

"""A whole journal verified, and read, without its writer.

May run beside the writer, too: the batch being written then looks like a torn end.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from authz_service.audit.chain import GENESIS, Position
from authz_service.audit.directory import segment_numbers, segment_path, torn_paths
from authz_service.audit.encoding import records_in
from authz_service.audit.page_encoding import Plain
from authz_service.audit.retired import position_before, read_retired
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
        retired: How many were deleted before them, once the decision store had them.
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
    retired: int = 0
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
    before = _start(directory, numbers, report)
    if isinstance(before, Fault):
        yield before
        return
    for index, (path, head) in enumerate(zip(paths, heads, strict=True), before.segment + 1):
        fault = _misplaced(segment_path(directory, index), path, head, heads[0], before)
        if fault is not None:
            yield fault
            return
        later = index - numbers[0] + 1
        following = heads[later] if later < len(heads) else None
        for unit in _segment_units(path, following, report):
            yield unit
            if isinstance(unit, Fault):
                return
            before = unit.end


def _misplaced(
    expected: Path, path: Path, head: Header | Fault, first: Header | Fault, before: Position
) -> Fault | None:
    """Return what is wrong with the beginning of a segment, if something is."""
    if isinstance(head, Fault):
        return head
    if path != expected or segment_path(path.parent, head.number) != expected:
        return Fault(expected, 1, 0, "the segment is missing")
    if head.previous != before or head.journal_id != _id_of(first):
        return Fault(path, 1, 0, "the segment does not continue the one before it")
    return None


def _start(directory: Path, numbers: Sequence[int], report: Report) -> Position | Fault:
    """Return where the first segment that is there begins, as the account of the others says."""
    retired = read_retired(directory)
    if isinstance(retired, Fault):
        return retired
    report.retired = sum(1 for each in retired if not numbers or each.segment < numbers[0])
    if not numbers and not retired:
        return Position()
    start = position_before(retired, numbers[0]) if numbers else None
    if start is not None:
        return start
    missing = retired[-1].segment + 1 if retired else 1
    return Fault(segment_path(directory, missing), 1, 0, "the segment is missing")


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

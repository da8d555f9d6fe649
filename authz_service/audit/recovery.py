"""What a start finds in a journal's directory, and what it makes of it.

A batch is written once, and nothing is written after it until its sync has returned. So after a
crash at most the last batch may be missing, cut or garbage, in any of its bytes; nobody was ever
answered for it, and it is cut off. Whatever is wrong before that was on the disk once, so the
start is refused. What is sound at the very end is written once more: a failed sync may have left
it in the kernel's memory alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from authz_service.audit.chain import Position
from authz_service.audit.directory import segment_numbers, segment_path
from authz_service.audit.files import Files
from authz_service.audit.retired import position_before, read_retired
from authz_service.audit.scan import Batch, Fault, Header, later_lines_are_sound, read_segment
from authz_service.audit.torn import TornEnd, cut_off, set_aside, unrecorded
from authz_service.pdp.errors import JournalUnavailableError


@dataclass(frozen=True, slots=True)
class Recovery:
    """How a journal stands at its start.

    Attributes:
        at: Where it goes on.
        torn: What was cut off, in the order of the files; last, what earlier starts cut off and
            were stopped before they recorded it.
        kept_bytes: How long its segments are together.
        segments: How many there are.
    """

    at: Position
    torn: tuple[TornEnd, ...]
    kept_bytes: int
    segments: int


@dataclass(slots=True)
class _Last:
    """The last segment, as far as it is sound."""

    header: Header | None = None
    end: Position | None = None
    has_batch: bool = False
    unit_offset_bytes: int = 0
    fault: Fault | None = None


def recover(files: Files, directory: Path, journal_id: str) -> Recovery:
    """Return where the journal in *directory* goes on, once its torn end is cut off and kept.

    Raises:
        JournalUnavailableError: Something is damaged that was on the disk once.
        OSError: A file cannot be read or written.
    """
    numbers = segment_numbers(directory)
    torn: list[TornEnd] = []
    last = _read(directory, numbers)
    if last.fault is not None and last.header is None:
        _refuse_where_later_lines_are_sound(last.fault, 0, 0)
        torn.append(set_aside(files, last.fault.path))
        last = _read(directory, numbers := numbers[:-1])
    if last.header is None or last.end is None:
        if last.fault is not None:
            raise _damaged(last.fault)
        _refuse_where_some_were_retired(directory)
        torn += unrecorded(directory, torn)
        return Recovery(Position(), tuple(torn), 0, 0)
    _check_identity(last.header, directory, numbers[-1], journal_id)
    if not last.has_batch:
        _check_earlier(directory, last.header)
    if last.fault is not None:
        _refuse_where_later_lines_are_sound(last.fault, last.end.offset_bytes, last.end.batch)
        torn.insert(0, cut_off(files, last.fault.path, last.end.offset_bytes))
    path = segment_path(directory, numbers[-1])
    _write_again(files, path, last.unit_offset_bytes, last.end.offset_bytes)
    files.sync_directory(directory)
    torn += unrecorded(directory, torn)
    kept = sum(segment_path(directory, number).stat().st_size for number in numbers)
    return Recovery(last.end, tuple(torn), kept, len(numbers))


def _read(directory: Path, numbers: list[int]) -> _Last:
    """Return the last of the segments *numbers*, as far as it is sound."""
    last = _Last()
    if not numbers:
        return last
    for unit in read_segment(segment_path(directory, numbers[-1])):
        if isinstance(unit, Fault):
            last.fault = unit
            break
        last.unit_offset_bytes = last.end.offset_bytes if last.end else 0
        last.end = unit.end
        last.has_batch = last.has_batch or isinstance(unit, Batch)
        if isinstance(unit, Header):
            last.header = unit
    return last


def _check_identity(header: Header, directory: Path, number: int, journal_id: str) -> None:
    """Refuse a segment of another journal, or under another one's name."""
    path = segment_path(directory, number)
    if header.number != number:
        raise _damaged(Fault(path, 1, 0, f"the file holds segment {header.number}"))
    if header.journal_id != journal_id:
        raise _damaged(Fault(path, 1, 0, "the segment belongs to another journal"))


def _check_earlier(directory: Path, header: Header) -> None:
    """Refuse a journal whose last batch, in an earlier segment than the last, is not sound.

    What was retired was verified in the decision store before.
    """
    while header.previous.segment:
        path = segment_path(directory, header.previous.segment)
        if not path.exists():
            _refuse_unless_retired(directory, header.previous)
            return
        end, has_batch, earlier = None, False, header
        for unit in read_segment(path, header.previous.offset_bytes):
            if isinstance(unit, Fault):
                raise _damaged(unit)
            end = unit.end
            has_batch = has_batch or isinstance(unit, Batch)
            earlier = unit if isinstance(unit, Header) else earlier
        if end != header.previous:
            raise _damaged(Fault(path, 1, 0, "the next segment does not continue this one"))
        if has_batch:
            return
        header = earlier


def _refuse_unless_retired(directory: Path, end: Position) -> None:
    """Refuse a journal that lacks a segment, which ended at *end*, without an account of it."""
    retired = read_retired(directory)
    if isinstance(retired, Fault):
        raise _damaged(retired)
    if position_before(retired, end.segment + 1) != end:
        path = segment_path(directory, end.segment)
        raise _damaged(Fault(path, 1, 0, "the segment is missing"))


def _refuse_where_some_were_retired(directory: Path) -> None:
    """Refuse to begin anew where there were segments once: the last is never deleted."""
    retired = read_retired(directory)
    if isinstance(retired, Fault):
        raise _damaged(retired)
    if retired:
        path = segment_path(directory, retired[-1].segment + 1)
        raise _damaged(Fault(path, 1, 0, "the segment is missing"))


def _refuse_where_later_lines_are_sound(fault: Fault, offset_bytes: int, batch: int) -> None:
    """Refuse a fault after which something sound was written: it is no torn end."""
    if later_lines_are_sound(fault.path, offset_bytes, batch):
        raise _damaged(fault)


def _write_again(files: Files, path: Path, start_bytes: int, end_bytes: int) -> None:
    """Bring the last of a segment to the disk, whether it is there already or not."""
    with path.open("rb") as stream:
        stream.seek(start_bytes)
        content = stream.read(end_bytes - start_bytes)
    descriptor = files.reopen(path)
    try:
        files.write_at(descriptor, content, start_bytes)
        files.sync(descriptor)
    finally:
        files.close(descriptor)


def _damaged(fault: Fault) -> JournalUnavailableError:
    """Return the refusal to go on after *fault*."""
    return JournalUnavailableError(
        f"{fault}; this was on the disk once, so it is damage and no torn end: keep a copy of "
        f"{fault.path.parent}, restore the file, or start with an empty journal directory"
    )

"""Torn ends: cut off, kept beside the segment, and recorded, however often a start is cut short.

A torn end is kept before it is cut, and cut before it is recorded. A start that is stopped in
between leaves one that is kept and not recorded, and the next start finds it: what a start records
stands in the first batch that is written after it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from authz_service.audit.directory import (
    free_torn_path,
    segment_numbers,
    segment_path,
    torn_paths,
)
from authz_service.audit.encoding import records_in
from authz_service.audit.files import Files
from authz_service.audit.retired import read_retired
from authz_service.audit.scan import Batch, Fault, Header, read_segment

EVENT = "journal_recovered"
"""The event that records a torn end."""

_MARK = b'"kind":"JOURNAL_RECOVERED"'


@dataclass(frozen=True, slots=True)
class TornEnd:
    """What was cut off at a start.

    Attributes:
        segment: The file's name.
        offset_bytes: Where the torn end began; None where an earlier start cut it off.
        size_bytes: How long it was.
        kept_as: The name of the file that holds it now.
    """

    segment: str
    offset_bytes: int | None
    size_bytes: int
    kept_as: str


def set_aside(files: Files, path: Path) -> TornEnd:
    """Rename a segment that was never begun.

    Raises:
        OSError: It cannot be renamed.
    """
    kept_as, size = free_torn_path(path), path.stat().st_size
    files.rename(path, kept_as)
    files.sync_directory(path.parent)
    return TornEnd(path.name, 0, size, kept_as.name)


def cut_off(files: Files, path: Path, offset_bytes: int) -> TornEnd:
    """Copy the end of a segment to a file of its own, then cut it off.

    Raises:
        OSError: It cannot be copied or cut.
    """
    with path.open("rb") as stream:
        stream.seek(offset_bytes)
        tail = stream.read()
    kept_as = _kept_already(path, tail) or _kept(files, path, tail)
    files.truncate(path, offset_bytes)
    return TornEnd(path.name, offset_bytes, len(tail), kept_as.name)


def unrecorded(directory: Path, found: Sequence[TornEnd]) -> list[TornEnd]:
    """Return what earlier starts cut off and did not come to record, that of *found* left out.

    Raises:
        OSError: A file cannot be read.
    """
    kept = torn_paths(directory)
    if not kept:
        return []
    since, named = _last_recorded(directory)
    named |= {each.kept_as for each in found}
    return [
        TornEnd(_segment_of(path).name, None, path.stat().st_size, path.name)
        for path in kept
        if _segment_of(path) >= since and path.name not in named
    ]


def _kept(files: Files, path: Path, tail: bytes) -> Path:
    """Bring *tail*, the end of *path*, to the disk under a name that only a whole one has."""
    draft, kept_as = path.with_name("torn.new"), free_torn_path(path)
    files.remove(draft)
    descriptor = files.create(draft)
    try:
        files.write(descriptor, tail)
        files.sync(descriptor)
    finally:
        files.close(descriptor)
    files.rename(draft, kept_as)
    files.sync_directory(path.parent)
    return kept_as


def _kept_already(path: Path, tail: bytes) -> Path | None:
    """Return where a start kept *tail* that was stopped before the cut was on the disk."""
    for kept in torn_paths(path.parent):
        if _segment_of(kept) == path and kept.read_bytes() == tail:
            return kept
    return None


def _segment_of(kept: Path) -> Path:
    """Return the segment that a torn end was cut off."""
    return kept.with_name(kept.name.partition(".torn")[0])


def _last_recorded(directory: Path) -> tuple[Path, set[str]]:
    """Return the last segment that holds a batch, and the torn ends that it tells of."""
    limit: int | None = None
    for number in reversed(segment_numbers(directory)):
        path, named, has_batch = segment_path(directory, number), set[str](), False
        for unit in read_segment(path, limit):
            if isinstance(unit, Header):
                limit = unit.previous.offset_bytes
            elif isinstance(unit, Batch):
                has_batch = True
                named.update(name for line in unit.lines for name in _named_in(line))
        if has_batch:
            return path, named
    return segment_path(directory, _last_retired(directory) + 1), set()


def _last_retired(directory: Path) -> int:
    """Return the last segment that was deleted; what it told of is in the decision store."""
    retired = read_retired(directory)
    return 0 if isinstance(retired, Fault) or not retired else retired[-1].segment


def _named_in(line: bytes) -> list[str]:
    """Return the torn ends that a line tells of."""
    if _MARK not in line:
        return []
    told = [read["details"] for read in records_in(line) if read["kind"] == EVENT.upper()]
    return [str(details["kept_as"]) for details in told if isinstance(details, dict)]

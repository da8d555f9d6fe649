"""A journal that nobody goes on with, and all of which is in the decision store: it says so itself.

`authz decisions ship` leaves the file `shipped` beside the segments. It holds for as long as nobody
writes the journal again: a writer begins another segment, and a torn end changes the last one.
"""

from __future__ import annotations

from pathlib import Path

import orjson

from authz_service.audit.chain import Position
from authz_service.audit.directory import read_journal_id, segment_numbers, segment_path
from authz_service.audit.files import Files

_NAME = "shipped"
_DRAFT = "shipped.new"


def mark_shipped(files: Files, directory: Path, at: Position, store: str) -> None:
    """Note on the disk that the journal in *directory* is in *store* to its end, *at*.

    Its lock has to be held.

    Raises:
        OSError: It is not known to be on the disk.
    """
    said = {
        **_end_of(directory),
        "last_sequence": at.sequence - 1,
        "last_hash": at.hash.decode(),
        "store": store,
    }
    draft = directory / _DRAFT
    files.remove(draft)
    descriptor = files.create(draft)
    try:
        files.write(descriptor, orjson.dumps(said) + b"\n")
        files.sync(descriptor)
    finally:
        files.close(descriptor)
    files.rename(draft, directory / _NAME)
    files.sync_directory(directory)


def is_shipped(directory: Path) -> bool:
    """Whether all of the journal in *directory* is known to be in a decision store."""
    try:
        said = orjson.loads((directory / _NAME).read_bytes())
        end = _end_of(directory)
    except (OSError, ValueError):
        return False
    return isinstance(said, dict) and {name: said.get(name) for name in end} == end


def _end_of(directory: Path) -> dict[str, object]:
    """Return what changes as soon as somebody writes the journal."""
    last = max(segment_numbers(directory), default=0)
    size = segment_path(directory, last).stat().st_size if last else 0
    return {"journal_id": read_journal_id(directory), "segment": last, "bytes": size}

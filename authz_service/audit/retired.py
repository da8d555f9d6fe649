"""Segments that were deleted once the decision store had them: `retired.jsonl` accounts for each.

One line for each, synced before the segment is deleted. It says where the segment stood in the
chain, so that the first one still there can be held against the last one that is not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import orjson

from authz_service.audit.chain import Position
from authz_service.audit.files import Files
from authz_service.audit.scan import Fault

_NAME = "retired.jsonl"


@dataclass(frozen=True, slots=True)
class Retired:
    """One deleted segment.

    Attributes:
        segment: Its number.
        first_sequence: The number of its first line.
        last_sequence: The number of its last line.
        previous: The hash of the line before its first, in hex.
        last_hash: The hash of its last line, in hex.
        bytes: How long it was, as far as it counted.
        next_batch: The number of the batch that came next.
        lines: How many lines it held.
        retired_at: When it was deleted, by the service's clock (RFC 3339, UTC).
        store: The URL of the store that has it, without a password.
    """

    segment: int
    first_sequence: int
    last_sequence: int
    previous: str
    last_hash: str
    bytes: int
    next_batch: int
    lines: int
    retired_at: str
    store: str

    @property
    def end(self) -> Position:
        """Where the journal stood after it."""
        return Position(
            self.segment,
            self.bytes,
            self.last_sequence + 1,
            self.next_batch,
            self.last_hash.encode(),
        )


_FIELDS = {each.name: {"int": int, "str": str}[str(each.type)] for each in fields(Retired)}


def retired_path(directory: Path) -> Path:
    """Return where the account of deleted segments lies."""
    return directory / _NAME


def read_retired(directory: Path) -> Sequence[Retired] | Fault:
    """Return the deleted segments of the journal in *directory*, in order; or what is wrong there.

    A last line without an end is passed over: its segment is still there.

    Raises:
        OSError: The account cannot be read.
    """
    path = retired_path(directory)
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return ()
    entries: list[Retired] = []
    offset = 0
    for number, line in enumerate(content.split(b"\n")[:-1], 1):
        entry = _entry(line)
        if entry is None:
            return Fault(path, number, offset, "the line is not understood")
        before = entries[-1].end if entries else Position()
        stated = (entry.segment - 1, entry.first_sequence, entry.previous.encode())
        if stated != (before.segment, before.sequence, before.hash):
            return Fault(path, number, offset, "the line does not continue the one before it")
        entries.append(entry)
        offset += len(line) + 1
    return entries


def position_before(entries: Sequence[Retired], segment: int) -> Position | None:
    """Return where the journal stood before *segment*; None where that is not accounted for."""
    if segment == 1:
        return Position()
    return next((each.end for each in entries if each.segment == segment - 1), None)


def append_retired(files: Files, directory: Path, entry: Retired) -> None:
    """Bring *entry* to the disk, after those that are there.

    Raises:
        OSError: It is not known to be there.
    """
    path = retired_path(directory)
    line = orjson.dumps(asdict(entry)) + b"\n"
    is_new = not path.exists()
    kept = 0 if is_new else path.read_bytes().rfind(b"\n") + 1
    descriptor = files.create(path) if is_new else files.reopen(path)
    try:
        files.write_at(descriptor, line, kept)
        files.sync(descriptor)
    finally:
        files.close(descriptor)
    if is_new:
        files.sync_directory(directory)


def _entry(line: bytes) -> Retired | None:
    """Return what one line says; None where it is no such line."""
    try:
        said: dict[str, Any] = orjson.loads(line)
        if {name: type(value) for name, value in said.items()} != _FIELDS:
            return None
        return Retired(**said)
    except (ValueError, AttributeError):
        return None

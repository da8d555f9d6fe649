"""Segments read back and checked, line by line: trusts nothing that a hash does not cover."""

from __future__ import annotations

import io
import re
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import orjson

from authz_service.audit.chain import (
    AFTER_HASH,
    BEFORE_HASH,
    GENESIS,
    TAIL_BYTES,
    Position,
    bears_witness,
    digest,
)

_START = re.compile(rb'\{"sequence":(\d+),"(segment|batch|record|closed)":')


@dataclass(frozen=True, slots=True)
class Fault:
    """The first place at which a segment is not what its writer wrote.

    Attributes:
        path: The file.
        line: The line, from 1.
        offset_bytes: Where that line begins.
        why: What is wrong with it.
    """

    path: Path
    line: int
    offset_bytes: int
    why: str

    def __str__(self) -> str:
        return f"{self.path}: line {self.line}, byte {self.offset_bytes}: {self.why}"


@dataclass(frozen=True, slots=True)
class Header:
    """The first line of a segment.

    Attributes:
        journal_id: The journal that the segment belongs to.
        number: The segment's number.
        previous: Where the journal stood when the segment was opened.
        end: Where it stands after this line.
    """

    journal_id: str
    number: int
    previous: Position
    end: Position


@dataclass(frozen=True, slots=True)
class Batch:
    """One batch, whole and sound.

    Attributes:
        offset_bytes: Where it begins.
        lines: What was appended: one JSON object each.
        records: How many records they hold.
        end: Where the journal stands after it.
    """

    offset_bytes: int
    lines: tuple[bytes, ...]
    records: int
    end: Position


@dataclass(frozen=True, slots=True)
class Closing:
    """The last line of a segment that was finished in order."""

    end: Position


Unit: TypeAlias = Header | Batch | Closing
"""What is written at once, and so is there whole or not at all."""


class _BrokenError(Exception):
    """A line is not what it should be."""


@dataclass(slots=True)
class _Reader:
    """Reads the lines of one segment and holds how far they are sound."""

    stream: io.BufferedReader
    limit_bytes: int | None
    at: Position = field(default_factory=Position)
    line: int = 1
    closed: bool = False

    def next_body(self) -> tuple[bytes, bytes]:
        """Return the form and the body of the next line, checked; go past it."""
        left = -1 if self.limit_bytes is None else self.limit_bytes - self.at.offset_bytes
        raw = self.stream.readline(left)
        if not raw.endswith(AFTER_HASH) or raw[-TAIL_BYTES : -TAIL_BYTES + 9] != BEFORE_HASH:
            raise _BrokenError("the line is cut or overwritten")
        body, stated = raw[:-TAIL_BYTES], raw[-len(AFTER_HASH) - 64 : -len(AFTER_HASH)]
        start = _START.match(body)
        if start is None:
            raise _BrokenError("the line does not begin as lines of a journal do")
        sequence, form = int(start[1]), start[2]
        if form == b"segment" and self.line == 1:
            self.at = _stated_place(body[start.end() :], sequence)
        if sequence != self.at.sequence:
            raise _BrokenError(f"line {self.at.sequence} of the journal is missing")
        if digest(self.at.hash, body) != stated:
            raise _BrokenError("the hash does not match")
        end = self.at.offset_bytes + len(raw)
        self.at = self.at._replace(offset_bytes=end, sequence=sequence + 1, hash=stated)
        self.line += 1
        return form, body[start.end() :]

    def at_end(self) -> bool:
        """Whether nothing follows."""
        if self.limit_bytes is not None and self.at.offset_bytes >= self.limit_bytes:
            return True
        return not self.stream.peek(1)


def read_segment(path: Path, limit_bytes: int | None = None) -> Generator[Unit | Fault, None, None]:
    """Yield what a segment holds, as far as it is sound, and then the fault where there is one.

    The header's place in the chain is taken from the header itself; whether it continues the
    segment before is for the caller to see.

    Args:
        path: The segment.
        limit_bytes: Read no further: what follows was given up by its writer.

    Raises:
        OSError: The file cannot be read.
    """
    with path.open("rb") as stream:
        reader = _Reader(stream, limit_bytes)
        try:
            yield _header(reader)
            while not reader.at_end():
                yield _batch_or_closing(reader)
        except _BrokenError as broken:
            yield Fault(path, reader.line, reader.at.offset_bytes, str(broken))
        except (ValueError, TypeError, LookupError):
            yield Fault(path, reader.line, reader.at.offset_bytes, "the line is not understood")


def later_lines_are_sound(path: Path, offset_bytes: int, batch: int) -> bool:
    """Whether *path* from *offset_bytes* on shows that *batch*, which begins there, was synced.

    Then what is wrong there is damage; otherwise it is a torn end, and no answer rests on it.

    Raises:
        OSError: The file cannot be read.
    """
    with path.open("rb") as stream:
        stream.seek(offset_bytes)
        return bears_witness(stream.read(), batch)


def _header(reader: _Reader) -> Header:
    """Return the first line of a segment."""
    form, content = reader.next_body()
    if form != b"segment":
        raise _BrokenError("the segment does not begin with its header")
    said = orjson.loads(content)
    previous = Position(
        said["previous_segment"],
        said["previous_bytes"],
        reader.at.sequence - 1,
        said["next_batch"],
        said["previous"].encode(),
    )
    return Header(said["journal"], said["number"], previous, reader.at)


def _batch_or_closing(reader: _Reader) -> Unit:
    """Return what follows in a segment."""
    if reader.closed:
        raise _BrokenError("something follows the line that closes the segment")
    start, previous = reader.at.offset_bytes, reader.at.hash
    form, content = reader.next_body()
    if form not in (b"batch", b"closed"):
        raise _BrokenError(f"a line of the form {form.decode()} stands where a batch should begin")
    said = orjson.loads(content)
    if said["previous"].encode() != previous:
        raise _BrokenError("the line names another line before it")
    if form == b"closed":
        reader.closed = True
        return Closing(reader.at)
    if said["number"] != reader.at.batch:
        raise _BrokenError(f"batch {reader.at.batch} is missing")
    lines_start = reader.at.offset_bytes
    lines = tuple(_record(reader) for _ in range(said["lines"]))
    if reader.at.offset_bytes - lines_start != said["bytes"]:
        raise _BrokenError("the batch is not as long as it says")
    reader.at = reader.at._replace(batch=reader.at.batch + 1)
    return Batch(start, lines, said["records"], reader.at)


def _record(reader: _Reader) -> bytes:
    """Return the next append of a batch."""
    form, content = reader.next_body()
    if form != b"record":
        raise _BrokenError("a record of the batch is missing")
    return content


def _stated_place(content: bytes, sequence: int) -> Position:
    """Return where a segment's header says that the journal stood; its hash is checked next."""
    try:
        said = orjson.loads(content)
        stated = str(said["previous"]).encode()
        return Position(int(said["number"]), 0, sequence, int(said["next_batch"]), stated)
    except (ValueError, TypeError, LookupError):
        return Position(sequence=sequence, hash=GENESIS)

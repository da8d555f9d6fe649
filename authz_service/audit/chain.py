r"""The bytes of a journal: every line is JSON, numbered, and carries the hash of all before it.

A line is ``{"sequence":N,"<form>":<content>,"hash":"<H>"}\n``, written without any space. Its body
is everything before ``,"hash":"``, and ``H = SHA-256(previous H || body)``, both hashes as 64
lower-case hex digits; the first line of a journal stands on 64 zeros. Four forms exist: `segment`
opens a file, `batch` announces the lines that follow it to the disk in one write, `record` holds
one append, `closed` ends a file. All but `record` repeat the previous hash, so that each can be
checked without its neighbours.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import NamedTuple

import orjson

GENESIS = b"0" * 64
"""The hash before the first line."""

BEFORE_HASH = b',"hash":"'
AFTER_HASH = b'"}\n'
TAIL_BYTES = len(BEFORE_HASH) + 64 + len(AFTER_HASH)
"""What a line adds to its body."""

_BATCH = b'{"sequence":%d,"batch":{"number":%d,"lines":%d,"records":%d,"bytes":%d,"previous":"%b"}'
_CLOSED = (
    b'{"sequence":%d,"closed":{"segment":%d,"batches":%d,"lines":%d,"bytes":%d,"previous":"%b"}'
)
_WITNESS = re.compile(
    rb'(\{"sequence":\d+,"(batch|closed)":\{[^{}\n]*"previous":"([0-9a-f]{64})"\})'
    rb',"hash":"([0-9a-f]{64})"\}'
)
_BATCH_NUMBER = re.compile(rb'"batch":\{"number":(\d+),')


class Position(NamedTuple):
    """How far a journal has come: all that the next line depends on.

    Attributes:
        segment: The number of the file; 0 before the first.
        offset_bytes: The length of that file up to here.
        sequence: The number of the next line.
        batch: The number of the next batch.
        hash: The hash of the last line, in hex.
    """

    segment: int = 0
    offset_bytes: int = 0
    sequence: int = 1
    batch: int = 1
    hash: bytes = GENESIS


@dataclass(frozen=True, slots=True)
class Chained:
    """Bytes ready to be written, and where the journal stands once they are on the disk."""

    content: bytes
    end: Position


def digest(previous: bytes, body: bytes) -> bytes:
    """Return the hash, in hex, of a line with *body* after the line with the hash *previous*."""
    return sha256(previous + body).hexdigest().encode()


def chained_batch(at: Position, lines: Sequence[bytes], records: int) -> Chained:
    """Return *lines* as the next batch: its header, then a line for each.

    Args:
        at: Where the journal stands.
        lines: One JSON object for each append, without newlines.
        records: How many records they hold together.
    """
    first = at.sequence + 1
    bodies = [
        b'{"sequence":%d,"record":%b' % (number, line) for number, line in enumerate(lines, first)
    ]
    size = sum(map(len, bodies)) + TAIL_BYTES * len(bodies)
    opened = _BATCH % (at.sequence, at.batch, len(lines), records, size, at.hash)
    return _chained(at, (opened, *bodies), next_batch=at.batch + 1)


def chained_header(at: Position, content: dict[str, object]) -> Chained:
    """Return the first line of the segment after *at*.

    Args:
        at: Where the journal stands: the previous segment, as far as it is on the disk.
        content: What the header says beside where it stands.
    """
    place = {
        **content,
        "number": at.segment + 1,
        "next_batch": at.batch,
        "previous_segment": at.segment,
        "previous_bytes": at.offset_bytes,
        "previous": at.hash.decode(),
    }
    opened = b'{"sequence":%d,"segment":%b' % (at.sequence, orjson.dumps(place))
    start = at._replace(segment=at.segment + 1, offset_bytes=0)
    return _chained(start, (opened,), next_batch=at.batch)


def chained_closing(at: Position, batches: int, lines: int) -> Chained:
    """Return the last line of a segment that holds *batches* with *lines* appends."""
    body = _CLOSED % (at.sequence, at.segment, batches, lines, at.offset_bytes, at.hash)
    return _chained(at, (body,), next_batch=at.batch)


def bears_witness(tail: bytes, batch: int) -> bool:
    """Whether *tail* holds a sound line that was written after *batch* was on the disk.

    Such a line is a closing, or the header of a later batch: neither is written before the sync
    of what stands before it has returned. A closing at the very beginning of *tail* has nothing
    before it to bear witness to: it is itself what was torn, if only by its newline.
    """
    for found in _WITNESS.finditer(tail):
        body, form, previous, stated = found.groups()
        if digest(previous, body) != stated:
            continue
        number = _BATCH_NUMBER.search(body)
        closes = form == b"closed" and found.start() > 0
        if closes or (number is not None and int(number[1]) > batch):
            return True
    return False


def _chained(at: Position, bodies: Iterable[bytes], *, next_batch: int) -> Chained:
    """Return *bodies* as lines, each standing on the one before it."""
    previous, sequence = at.hash, at.sequence
    parts: list[bytes] = []
    for body in bodies:
        previous = sha256(previous + body).hexdigest().encode()
        sequence += 1
        parts += (body, BEFORE_HASH, previous, AFTER_HASH)
    content = b"".join(parts)
    end = at.offset_bytes + len(content)
    return Chained(content, Position(at.segment, end, sequence, next_batch, previous))

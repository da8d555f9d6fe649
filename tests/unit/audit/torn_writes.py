"""What becomes of one write of which only a part reached the disk."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise, product

SECTOR_BYTES = 512
PAGE_BYTES = 4096

Torn = Callable[[bytes, int, bytes], Iterable[bytes]]
"""From a file's content, an offset and what was written there, to what may be in the file."""


def overwritten(content: bytes, offset: int, new: bytes) -> bytes:
    """Return *content* with *new* at *offset*, and zeros before it where it was shorter."""
    return content[:offset].ljust(offset, b"\0") + new + content[offset + len(new) :]


def garbage(size_bytes: int, seed: int = 0) -> bytes:
    """Return bytes that stood on the disk before; some of them are newlines and braces."""
    alphabet = b'\0\xff{}"\n:,0123456789abcdef'
    return bytes(random.Random(seed).choices(alphabet, k=size_bytes))


def _missing(content: bytes, offset: int, filling: bytes) -> bytes:
    """Return what is there where a write of the length of *filling* did not get through.

    That is what was there before; beyond the end of *content* it is *filling*.
    """
    before = content[offset : offset + len(filling)]
    return before + filling[len(before) :]


def cut_at(content: bytes, offset: int, new: bytes, kept: int) -> Iterator[bytes]:
    """Yield the states in which the first *kept* bytes of *new* are there and the rest is not.

    The file ends there; or it goes on to the end of the sector, or of the write, in zeros or in
    garbage.
    """
    reached = offset + kept
    sector_end = min(-(-reached // SECTOR_BYTES) * SECTOR_BYTES, offset + len(new))
    for length in dict.fromkeys((kept, sector_end - offset, len(new))):
        missing = length - kept
        for filling in (bytes(missing), garbage(missing, kept))[: 1 + (missing > 0)]:
            rest = _missing(content, reached, filling)
            yield overwritten(content, offset, new[:kept] + rest)


def sectors_of(offset: int, new: bytes, sector_bytes: int = SECTOR_BYTES) -> list[slice]:
    """Return the parts of *new* that lie in one sector each, as slices of it."""
    first = -offset % sector_bytes
    marks = sorted({0, *range(first, len(new), sector_bytes), len(new)})
    return [slice(start, end) for start, end in pairwise(marks)]


def with_sectors(
    content: bytes, offset: int, new: bytes, kept: Iterable[bool], sector_bytes: int = SECTOR_BYTES
) -> Iterator[bytes]:
    """Yield the states in which some sectors of *new* are there: zeros in the others, garbage."""
    parts = list(zip(sectors_of(offset, new, sector_bytes), kept, strict=True))
    for filling in (bytes(len(new)), garbage(len(new), offset)):
        rest = _missing(content, offset, filling)
        pieces = [(new if is_kept else rest)[part] for part, is_kept in parts]
        yield overwritten(content, offset, b"".join(pieces))


def coarse_tears(content: bytes, offset: int, new: bytes) -> Iterator[bytes]:
    """Yield the least that tells a reader who trusts a tail from one who does not."""
    half = len(new) // 2
    yield overwritten(content, offset, new[:half])
    yield overwritten(content, offset, _missing(content, offset, bytes(half)) + new[half:])
    yield from cut_at(content, offset, new, len(new) - 1)


def brief_tears(content: bytes, offset: int, new: bytes) -> Iterator[bytes]:
    """Yield a few states of every kind."""
    for kept in sorted({0, 1, len(new) // 2, len(new) - 1}):
        yield from cut_at(content, offset, new, kept)
    count = len(sectors_of(offset, new))
    for lost in sorted({0, count // 2, count - 1}):
        yield from with_sectors(content, offset, new, [each != lost for each in range(count)])


def every_sector_pattern(
    content: bytes, offset: int, new: bytes, sector_bytes: int = SECTOR_BYTES
) -> Iterator[bytes]:
    """Yield the states of every combination of sectors."""
    count = len(sectors_of(offset, new, sector_bytes))
    for kept in product([False, True], repeat=count):
        yield from with_sectors(content, offset, new, kept, sector_bytes)

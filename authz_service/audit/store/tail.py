"""A journal's files read behind its writer: never past what is synced, never what was given up."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import NamedTuple, Protocol

from authz_service.audit.chain import AFTER_HASH, BEFORE_HASH, TAIL_BYTES, Position
from authz_service.audit.directory import segment_numbers, segment_path
from authz_service.audit.scan import Header, read_segment
from authz_service.audit.store.failures import (
    AlarmKind,
    FailureKind,
    ShippingAlarmError,
    StoreFailureError,
)
from authz_service.audit.store.shipment import Progress


class JournalSource(Protocol):
    """The journal that is shipped, as its writer knows it. Thread-safe."""

    @property
    def directory(self) -> Path:
        """Where its files lie."""
        ...

    @property
    def journal_id(self) -> str:
        """Its id."""
        ...

    @property
    def position(self) -> Position:
        """How far it is on stable storage; cheap."""
        ...

    def note_retired(self, size_bytes: int) -> None:
        """Hear that a segment was deleted. Called by one thread."""
        ...


class Piece(NamedTuple):
    """Whole lines, as they lie in one file.

    Attributes:
        segment: The file.
        start_bytes: Where they begin.
        content: Their bytes.
    """

    segment: int
    start_bytes: int
    content: bytes


class Tail:
    """Reads what the store does not have yet. Used by one thread.

    Every method raises `ShippingAlarmError` where files and store contradict each other, and
    `StoreFailureError` of the kind ``journal`` where a file cannot be read.
    """

    def __init__(self, source: JournalSource) -> None:
        """Read the files of *source*."""
        self._source = source
        self._last_head: tuple[int, Header] | None = None

    def read(self, after: Progress, max_bytes: int) -> Piece | None:
        """Return the lines after *after*, of one file, or None where all are in the store.

        Args:
            after: How far the store is.
            max_bytes: How much at most, but one line at least.
        """
        until = self._source.position
        if after.sequence + 1 >= until.sequence:
            return None
        segment, offset = after.segment, after.offset_bytes
        try:
            while offset >= (limit := self._limit(segment, until)):
                segment, offset = segment + 1, 0
            content = whole_lines(self._path(segment), offset, limit, max_bytes)
        except OSError as error:
            raise _unreadable(error) from error
        if not content:
            raise ShippingAlarmError(
                AlarmKind.DAMAGE, f"{self._path(segment)} lacks what was written to it"
            )
        return Piece(segment, offset, content)

    def located(self, progress: Progress) -> Progress:
        """Return *progress*, which another program may have noted, as it stands in these files."""
        until = self._source.position
        if progress.sequence >= until.sequence:
            raise ShippingAlarmError(
                AlarmKind.AHEAD,
                f"the store holds {progress.sequence} lines of journal "
                f"{self._source.journal_id}, which has {until.sequence - 1}: it was set back, or "
                "another one bears its id",
            )
        try:
            place = self._place_of(progress, until)
        except OSError as error:
            raise _unreadable(error) from error
        if place.hash != progress.hash:
            raise ShippingAlarmError(
                AlarmKind.CONFLICT,
                f"line {progress.sequence} of journal {self._source.journal_id} has another hash "
                "in the store than in the journal",
            )
        return place

    def _place_of(self, progress: Progress, until: Position) -> Progress:
        """Return the journal's own line of that number: at the place noted, or looked for."""
        path = self._path(progress.segment)
        if path.exists() and _hash_before(path, progress.offset_bytes) == progress.hash.encode():
            return progress
        numbers = segment_numbers(self._source.directory)
        if not numbers:
            raise StoreFailureError(FailureKind.JOURNAL, "the journal's segments are gone")
        first = self._head(numbers[0]).previous
        if progress.sequence < first.sequence - 1:
            raise ShippingAlarmError(
                AlarmKind.GAP,
                f"the store lacks lines {progress.sequence + 1} to {first.sequence - 1} of "
                f"journal {self._source.journal_id}, whose segments were retired: restore a later "
                "copy of the store",
            )
        if progress.sequence == first.sequence - 1:
            return standing_at(first, progress.at)
        following = zip(numbers, [*numbers[1:], None], strict=True)
        for number, after in following:
            end = self._head(after).previous if after else until
            if progress.sequence < end.sequence:
                return _line_in(self._path(number), self._head(number), progress)
        raise AssertionError  # pragma: no cover  # the last segment ends where the journal stands

    def _limit(self, segment: int, until: Position) -> int:
        """Return how much of a segment counts: what follows was given up by its writer."""
        if segment < until.segment:
            return self._head(segment + 1).previous.offset_bytes
        return until.offset_bytes

    def _head(self, segment: int) -> Header:
        """Return the first line of a segment, which says where the one before it ends."""
        if self._last_head is None or self._last_head[0] != segment:
            self._last_head = (segment, head_of(self._path(segment)))
        return self._last_head[1]

    def _path(self, segment: int) -> Path:
        """Return where a segment lies."""
        return segment_path(self._source.directory, segment)


def whole_lines(path: Path, offset: int, limit: int, max_bytes: int) -> bytes:
    """Return whole lines of a file from *offset* on; nothing where there is not even one.

    Args:
        path: The file.
        offset: Where a line begins.
        limit: Where to stop at the latest.
        max_bytes: How much at most, but one line at least.

    Raises:
        OSError: The file cannot be read.
    """
    with path.open("rb", buffering=0) as stream:
        stream.seek(offset)
        content = stream.read(min(max_bytes, limit - offset))
        while (end := content.rfind(b"\n")) < 0 and offset + len(content) < limit:
            more = stream.read(min(max_bytes, limit - offset - len(content)))
            if not more:
                break
            content += more
    return content[: end + 1]


def standing_at(position: Position, at: int) -> Progress:
    """Return *position*, where the next line begins, as the line before it."""
    return Progress(
        position.sequence - 1, position.hash.decode(), position.segment, position.offset_bytes, at
    )


def head_of(path: Path) -> Header:
    """Return the first line of a segment.

    Raises:
        ShippingAlarmError: It is damaged.
        OSError: The file cannot be read.
    """
    with closing(read_segment(path)) as units:
        head = next(units)
    if not isinstance(head, Header):
        raise ShippingAlarmError(AlarmKind.DAMAGE, str(head))
    return head


def _hash_before(path: Path, offset: int) -> bytes | None:
    """Return the hash of the line that ends at *offset*; None where none does."""
    if offset < TAIL_BYTES:
        return None
    with path.open("rb") as stream:
        stream.seek(offset - TAIL_BYTES)
        tail = stream.read(TAIL_BYTES)
    return _stated_hash(tail)


def _stated_hash(line: bytes) -> bytes | None:
    """Return the hash at the end of a line; None where it does not end as lines do."""
    start = len(line) - TAIL_BYTES
    if not line.endswith(AFTER_HASH) or not line.startswith(BEFORE_HASH, start):
        return None
    return line[start + len(BEFORE_HASH) : -len(AFTER_HASH)]


def _line_in(path: Path, head: Header, wanted: Progress) -> Progress:
    """Return the line of the number that is *wanted* in the segment that begins with *head*."""
    offset = 0
    with path.open("rb") as stream:
        for sequence, line in enumerate(stream, head.previous.sequence):
            offset += len(line)
            if sequence == wanted.sequence:
                stated = (_stated_hash(line) or b"").decode()
                return wanted._replace(hash=stated, segment=head.number, offset_bytes=offset)
    raise ShippingAlarmError(AlarmKind.DAMAGE, f"{path} lacks what was written to it")


def _unreadable(error: OSError) -> StoreFailureError:
    """Return the failure to read a file of the journal."""
    why = f"{error.filename or 'the journal'}: {(error.strerror or 'cannot be read').lower()}"
    return StoreFailureError(FailureKind.JOURNAL, why)

"""A journal's files as its thread sees them: append, rotate, and begin anew after a failure.

Whatever fails, a descriptor whose write or sync failed is never synced again: the kernel may have
dropped the pages that it could not write, and a second sync would report success without them
(fsync(2), ERRORS). The segment is cut to what is known to be on the disk, and another is begun.
"""

from __future__ import annotations

import errno
from contextlib import suppress
from pathlib import Path

import structlog

from authz_service.audit.chain import AFTER_HASH, BEFORE_HASH, TAIL_BYTES, Position
from authz_service.audit.directory import WriterLock, read_journal_id, segment_path
from authz_service.audit.files import Files
from authz_service.audit.recovery import Recovery
from authz_service.audit.segment import Origin, Segment
from authz_service.pdp.errors import JournalUnavailableError

log = structlog.get_logger(__name__)

_KINDS = {
    errno.ENOSPC: "full",
    errno.EDQUOT: "full",
    errno.EFBIG: "full",
    errno.ENOENT: "lost",
    errno.ENOTDIR: "lost",
    errno.ESTALE: "lost",
    errno.EROFS: "refused",
    errno.EACCES: "refused",
    errno.EPERM: "refused",
}


def failure_kind(error: BaseException) -> str:
    """Return what kind of failure *error* is, in the words of `JournalMetrics.failed`."""
    if isinstance(error, OSError):
        return _KINDS.get(error.errno or 0, "io")
    return "lost" if isinstance(error, JournalUnavailableError) else "bug"


def failure_text(error: BaseException) -> str:
    """Return *error* in words for people, without a stack trace."""
    if isinstance(error, OSError) and error.strerror:
        place = f"{error.filename}: " if error.filename else ""
        return f"{place}{error.strerror[:1].lower()}{error.strerror[1:]}"
    return str(error)


class Writer:
    """Writes one journal, and owns its lock. Used by one thread at a time."""

    def __init__(
        self, files: Files, directory: Path, journal_id: str, origin: Origin, lock: WriterLock
    ) -> None:
        """Write nothing yet; `begin` opens the first segment."""
        self._files = files
        self._directory = directory
        self._journal_id = journal_id
        self._origin = origin
        self._lock = lock
        self._segment: Segment | None = None
        self._at = Position()
        self._earlier_bytes = 0
        self._segments = 0
        self._retired_bytes = 0
        self._retired_segments = 0
        self.directory = directory
        self.journal_id = journal_id

    @property
    def segments(self) -> int:
        """How many segments there are."""
        return self._segments - self._retired_segments

    @property
    def kept_bytes(self) -> int:
        """How long the segments are together."""
        current = self._segment.at.offset_bytes if self._segment else 0
        return self._earlier_bytes + current - self._retired_bytes

    @property
    def position(self) -> Position:
        """How far the journal is on stable storage. Any thread may ask."""
        segment = self._segment
        return self._at if segment is None else segment.at

    @property
    def segment_bytes(self) -> int:
        """How long the segment being written is."""
        return self._segment.at.offset_bytes if self._segment else 0

    def note_retired(self, size_bytes: int) -> None:
        """Hear that a segment was deleted. One thread may tell, which need not be the writer's."""
        self._retired_segments += 1
        self._retired_bytes += size_bytes

    def begin(self, recovery: Recovery) -> None:
        """Open the first segment of this writer.

        Raises:
            OSError: It cannot be made.
        """
        self._at = recovery.at
        self._earlier_bytes = recovery.kept_bytes
        self._segments = recovery.segments
        self._open()

    def append(self, lines: list[bytes], records: int) -> int:
        """Bring *lines* to the disk as one batch; return its bytes.

        Raises:
            OSError: It is not known to be there; `give_up`, then `begin_again`.
        """
        if self._segment is None:
            raise OSError(errno.EIO, "no segment is open")
        return self._segment.append(lines, records)

    def rotate(self) -> None:
        """Close the segment in order and open the next.

        Raises:
            OSError: Either failed; `give_up`, then `begin_again`.
        """
        if self._segment is not None:
            self._segment.finish()
            self._leave(self._segment)
        self._open()

    def give_up(self) -> None:
        """Leave the segment as it is, never to be synced again."""
        if self._segment is not None:
            self._segment.abandon()
            self._leave(self._segment)

    def begin_again(self, reserve_bytes: int) -> None:
        """Open a new segment after a failure, if all that was written before is still there.

        Args:
            reserve_bytes: How much space must be free, lest the next batch fails again.

        Raises:
            JournalUnavailableError: The directory is another one, or a segment is gone.
            OSError: The new segment cannot be made.
        """
        self._check_still_ours()
        if self._files.free_bytes(self._directory) < reserve_bytes:
            raise OSError(errno.ENOSPC, "no space left on device", str(self._directory))
        self._cut_to_what_is_known()
        self._files.remove(segment_path(self._directory, self._at.segment + 1))
        self._open()

    def end(self) -> None:
        """Close the segment in order, as far as that goes, and let the next writer in."""
        self.finish()
        with suppress(OSError):
            self._lock.release()

    def finish(self) -> None:
        """Close the segment in order, as far as that goes; the lock stays taken."""
        if self._segment is not None:
            try:
                self._segment.finish()
            except OSError as error:
                self._segment.abandon()
                log.warning("journal_close_failed", error=failure_text(error))
            self._leave(self._segment)

    def _open(self) -> None:
        """Open the segment after where the journal stands."""
        self._segment = Segment.open_after(
            self._files, self._directory, self._at, self._journal_id, self._origin
        )
        self._segments += 1

    def _leave(self, segment: Segment) -> None:
        """Stand where *segment* ends."""
        self._at = segment.at
        self._earlier_bytes += segment.at.offset_bytes
        self._segment = None

    def _check_still_ours(self) -> None:
        """Refuse to go on in a directory that is not the one that was written so far."""
        if read_journal_id(self._directory) != self._journal_id:
            raise JournalUnavailableError(f"{self._directory} holds another journal now")
        if not self._lock.still_holds():
            taken = WriterLock.take(self._directory)
            self._lock.release()
            self._lock = taken
        if self._at.segment == 0:
            return
        path = segment_path(self._directory, self._at.segment)
        with path.open("rb") as stream:
            stream.seek(max(0, self._at.offset_bytes - TAIL_BYTES))
            if stream.read(TAIL_BYTES) != BEFORE_HASH + self._at.hash + AFTER_HASH:
                raise JournalUnavailableError(f"{path} lacks what was written to it; restore it")

    def _cut_to_what_is_known(self) -> None:
        """Cut the last segment to what is on the disk; the next header says so in any case."""
        if self._at.segment == 0:
            return
        path = segment_path(self._directory, self._at.segment)
        try:
            self._files.truncate(path, self._at.offset_bytes)
        except OSError as error:
            log.warning("journal_end_abandoned", error=failure_text(error))

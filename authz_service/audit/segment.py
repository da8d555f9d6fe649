"""The file that a journal is writing: whole batches, each on the disk before anyone hears of it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from authz_service.audit.chain import Position, chained_batch, chained_closing, chained_header
from authz_service.audit.directory import segment_path
from authz_service.audit.files import Files
from authz_service.operations.ports import Clock

_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Origin:
    """Who writes a journal.

    Attributes:
        clock: Tells when a segment was opened.
        software: The service's version.
    """

    clock: Clock
    software: str


class SegmentLostError(OSError):
    """The file being written is no longer the one in the directory."""


class Segment:
    """One open segment. Used by one thread; of no more use once a method has raised."""

    def __init__(self, files: Files, path: Path, descriptor: int, at: Position) -> None:
        """Go on at *at*; made by `open_after`."""
        self._files = files
        self._descriptor = descriptor
        self._batches = 0
        self._lines = 0
        self.path = path
        self.at = at

    @classmethod
    def open_after(
        cls, files: Files, directory: Path, at: Position, journal_id: str, origin: Origin
    ) -> Self:
        """Return the segment that follows *at*, its header and its name on the disk.

        Raises:
            OSError: It could not be made; a file of its name may be left, which holds no record.
        """
        path = segment_path(directory, at.segment + 1)
        opened_at = origin.clock.now().isoformat().replace("+00:00", "Z")
        header = chained_header(
            at,
            {
                "format": _FORMAT,
                "journal": journal_id,
                "opened_at": opened_at,
                "software": origin.software,
            },
        )
        descriptor = files.create(path)
        try:
            files.write(descriptor, header.content)
            files.sync(descriptor)
            files.sync_directory(directory)
        except OSError:
            files.close(descriptor)
            with suppress(OSError):
                files.remove(path)
            raise
        return cls(files, path, descriptor, header.end)

    def append(self, lines: Sequence[bytes], records: int) -> int:
        """Bring *lines* to the disk as one batch of *records*; return its bytes.

        Raises:
            OSError: It could not be written or synced, or the file is gone from its directory;
                then `at` still tells how far the segment is on the disk.
        """
        batch = chained_batch(self.at, lines, records)
        self._write(batch.content)
        self.at = batch.end
        self._batches += 1
        self._lines += len(lines)
        return len(batch.content)

    def finish(self) -> None:
        """Write the line that closes the segment, and close the file.

        Raises:
            OSError: It could not be written or synced.
        """
        closing = chained_closing(self.at, self._batches, self._lines)
        self._write(closing.content)
        self.at = closing.end
        self._files.close(self._descriptor)

    def abandon(self) -> None:
        """Close the file as it is, without another sync."""
        self._files.close(self._descriptor)

    def _write(self, content: bytes) -> None:
        """Write *content* and sync it: one write, one sync."""
        self._files.write(self._descriptor, content)
        self._files.sync(self._descriptor)
        if not self._files.is_at(self._descriptor, self.path):
            raise SegmentLostError(2, "the file is gone from its directory", str(self.path))

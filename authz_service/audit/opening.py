"""How a journal is opened: lock, identity, recovery, and the first segment of this writer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import structlog

from authz_service.audit.chain import Position
from authz_service.audit.directory import (
    WriterLock,
    journal_id,
    make_directory,
    read_journal_id,
)
from authz_service.audit.encoding import line_encoder
from authz_service.audit.files import Files, LocalFiles
from authz_service.audit.journal import FileJournal, JournalOptions, OnWritten
from authz_service.audit.observing import JournalMetrics, Unmeasured
from authz_service.audit.recovery import Recovery, recover
from authz_service.audit.segment import Origin
from authz_service.audit.torn import EVENT, TornEnd
from authz_service.audit.verify import verify_journal
from authz_service.audit.writer import Writer, failure_text
from authz_service.operations.records import EventRecord
from authz_service.pdp.errors import JournalUnavailableError

log = structlog.get_logger(__name__)


def open_journal(
    directory: Path,
    origin: Origin,
    *,
    options: JournalOptions | None = None,
    metrics: JournalMetrics | None = None,
    on_written: OnWritten | None = None,
    files: Files | None = None,
) -> FileJournal:
    """Return the journal in *directory*, made where there is none; its end is mended if torn.

    Blocks: reads the last segment. What was cut off is recorded as ``journal_recovered``.

    Raises:
        JournalUnavailableError: Somebody else writes it, something is damaged that was on the
            disk once, or the directory cannot be written.
    """
    chosen, local = options or JournalOptions(), files or LocalFiles()
    try:
        make_directory(local, directory)
        lock = WriterLock.take(directory)
    except OSError as error:
        raise JournalUnavailableError(failure_text(error)) from error
    try:
        identity = journal_id(local, directory)
        recovery = recover(local, directory, identity)
        if chosen.verify_all:
            _refuse_damage(directory)
        writer = Writer(local, directory, identity, origin, lock)
        writer.begin(recovery)
        _record_torn_ends(writer, recovery, origin)
    except (OSError, JournalUnavailableError) as error:
        lock.release()
        if isinstance(error, OSError):
            raise JournalUnavailableError(failure_text(error)) from error
        raise
    encoded = line_encoder(origin.software)
    return FileJournal(writer, encoded, recovery, chosen, metrics or Unmeasured(), on_written)


@dataclass(frozen=True, slots=True)
class Orphan:
    """A journal that nobody writes, its lock held so that nobody begins to.

    Attributes:
        directory: Where its files lie.
        journal_id: Its id.
        position: How far it is on stable storage.
        torn: What was cut off its end.
        lock: The right to write it; `release` it in the end.
    """

    directory: Path
    journal_id: str
    position: Position
    torn: tuple[TornEnd, ...]
    lock: WriterLock

    def note_retired(self, size_bytes: int) -> None:
        """Nothing of an orphan is counted."""


def take_orphan(directory: Path, origin: Origin, *, files: Files | None = None) -> Orphan:
    """Return the journal in *directory*, its end mended and recorded as a start does.

    Where nothing was torn nothing is written.

    Raises:
        JournalUnavailableError: There is no journal, a service writes it, or it is damaged.
    """
    local = files or LocalFiles()
    try:
        identity = read_journal_id(directory)
        lock = WriterLock.take(directory)
    except OSError as error:
        raise JournalUnavailableError(f"{directory} holds none: {failure_text(error)}") from error
    try:
        recovery = recover(local, directory, identity)
        position = recovery.at
        if recovery.torn:
            writer = Writer(local, directory, identity, origin, lock)
            writer.begin(recovery)
            _record_torn_ends(writer, recovery, origin)
            writer.finish()
            position = writer.position
    except (OSError, JournalUnavailableError) as error:
        lock.release()
        if isinstance(error, OSError):
            raise JournalUnavailableError(failure_text(error)) from error
        raise
    return Orphan(directory, identity, position, recovery.torn, lock)


def _refuse_damage(directory: Path) -> None:
    """Refuse to go on where any segment is not as it was written."""
    fault = verify_journal(directory).fault
    if fault is not None:
        raise JournalUnavailableError(f"{fault}; restore the file from a copy")


def _record_torn_ends(writer: Writer, recovery: Recovery, origin: Origin) -> None:
    """Record what was cut off, before anything else is, in one batch."""
    if not recovery.torn:
        return
    encoded = line_encoder(origin.software)
    lines = [encoded([_recovered(torn, origin)]) for torn in recovery.torn]
    writer.append(lines, len(lines))
    for torn in recovery.torn:
        log.warning(
            EVENT,
            segment=torn.segment,
            offset_bytes=torn.offset_bytes,
            size_bytes=torn.size_bytes,
            kept_as=torn.kept_as,
        )


def _recovered(torn: TornEnd, origin: Origin) -> EventRecord:
    """Return the event that tells of a torn end."""
    details: tuple[tuple[str, str | int], ...] = (
        ("segment", torn.segment),
        ("size_bytes", torn.size_bytes),
        ("kept_as", torn.kept_as),
    )
    if torn.offset_bytes is not None:
        details = (details[0], ("offset_bytes", torn.offset_bytes), *details[1:])
    return EventRecord(EVENT, origin.clock.now(), None, None, details)

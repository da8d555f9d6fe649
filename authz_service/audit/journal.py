"""The durable journal: an append resolves only when its line is on stable storage.

One thread takes whatever has gathered, chains it, writes it with one write and one fdatasync, and
wakes the event loop once for the whole batch. No lingering: while one batch is on its way to the
disk the next gathers. After a failure nothing is taken until a new segment is on the disk, which
the thread tries by itself, traffic or none.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from time import monotonic

import structlog

from authz_service.audit.chain import Position
from authz_service.audit.gathering import Gathered, Gathering
from authz_service.audit.observing import JournalMetrics
from authz_service.audit.recovery import Recovery
from authz_service.audit.writer import Writer, failure_kind, failure_text
from authz_service.operations.records import Record
from authz_service.pdp.errors import JournalUnavailableError

log = structlog.get_logger(__name__)

OnWritten = Callable[[Sequence[Record]], None]
"""Told of records that are on the disk, after those who wait for them; on the journal's thread."""


@dataclass(frozen=True, slots=True)
class JournalOptions:
    """How much a journal holds, and how long it waits.

    Attributes:
        segment_bytes: From which length on a segment is closed and the next begun.
        max_pending_lines: How many appends may wait for the disk.
        max_pending_bytes: How long they may be together.
        first_retry_seconds: How long after a failure the first new attempt comes.
        last_retry_seconds: How long the pauses between attempts become; each doubles.
        reserve_bytes: How much space must be free for an attempt after a failure.
        verify_all: Whether a start verifies every segment, not only the last.
    """

    segment_bytes: int = 64 * 1024 * 1024
    max_pending_lines: int = 10_000
    max_pending_bytes: int = 64 * 1024 * 1024
    first_retry_seconds: float = 0.25
    last_retry_seconds: float = 5.0
    reserve_bytes: int = 4 * 1024 * 1024
    verify_all: bool = False


class FileJournal:
    """Implements `operations.ports.Journal` on files; made by `opening.open_journal`.

    Attributes:
        recovery: What the start found.
    """

    def __init__(
        self,
        writer: Writer,
        encoded: Callable[[Sequence[Record]], bytes],
        recovery: Recovery,
        options: JournalOptions,
        metrics: JournalMetrics,
        on_written: OnWritten | None,
    ) -> None:
        """Start the journal's thread; *writer* is used by nobody else from now on."""
        self.recovery = recovery
        self._writer = writer
        self._encoded = encoded
        self._options = options
        self._metrics = metrics
        self._on_written = on_written
        self._told_of_observer = False
        self._gathering = Gathering(options.max_pending_lines, options.max_pending_bytes)
        self._stopping = Event()
        self._pause_seconds = 0.0
        self._thread = Thread(target=self._run, name="journal", daemon=True)
        self._thread.start()

    @property
    def usable(self) -> bool:
        """Whether appends are taken."""
        return self._gathering.refusal is None

    @property
    def refusal(self) -> str | None:
        """Why appends are not taken, or None."""
        return self._gathering.refusal

    @property
    def directory(self) -> Path:
        """Where its files lie."""
        return self._writer.directory

    @property
    def journal_id(self) -> str:
        """Its id."""
        return self._writer.journal_id

    @property
    def position(self) -> Position:
        """How far it is on stable storage; cheap, and any thread may ask."""
        return self._writer.position

    def note_retired(self, size_bytes: int) -> None:
        """Hear that a segment was deleted; one thread may tell."""
        self._writer.note_retired(size_bytes)
        self._metrics.kept(self._writer.segments, self._writer.kept_bytes)

    def require_usable(self) -> None:
        if self._gathering.refusal is not None:
            raise JournalUnavailableError(self._gathering.refusal)

    def append(self, records: Sequence[Record]) -> Awaitable[None]:
        refusal = self._gathering.refusal
        if refusal is not None:
            raise JournalUnavailableError(refusal)
        return self._gathering.add(self._encoded(records), records)

    async def close(self) -> None:
        """Write what was appended so far, close the segment, and let the next writer in."""
        if not self._stopping.is_set():
            self._gathering.close("it is closed")
            self._stopping.set()
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        """Write until closed. The thread's top: whatever ends it, no append waits for ever."""
        try:
            self._metrics.usable_changed(usable=True)
            self._metrics.kept(self._writer.segments, self._writer.kept_bytes)
            while (batch := self._gathering.take()) is not None:
                if not self._write(batch) and not self._began_again():
                    break
        finally:
            self._gathering.refuse("its thread has ended")
            self._writer.end()

    def _write(self, batch: Gathered) -> bool:
        """Write *batch* and let its appends go on; whether the journal can write another."""
        records = [record for appended in batch.appended for record in appended]
        started = monotonic()
        try:
            self._metrics.pending(self._gathering.lines)
            if self._writer.segment_bytes >= self._options.segment_bytes:
                self._writer.rotate()
            size_bytes = self._writer.append(batch.lines, len(records))
        except Exception as error:  # noqa: BLE001  # a thread's top: who waits must hear of it all
            self._fail(batch, error)
            return False
        seconds = monotonic() - started
        self._gathering.settle(batch)
        self._pause_seconds = 0.0
        self._report(records, size_bytes, seconds)
        return True

    def _fail(self, batch: Gathered, error: Exception) -> None:
        """Give up the segment, and fail all who wait."""
        why = failure_text(error)
        self._gathering.refuse(why)
        self._gathering.settle(batch, why)
        self._writer.give_up()
        self._metrics.usable_changed(usable=False)
        self._metrics.failed(failure_kind(error))
        log.error("journal_failed", error=why, error_type=type(error).__name__)

    def _began_again(self) -> bool:
        """Try until a new segment is on the disk; False where the journal was closed before."""
        first, last = self._options.first_retry_seconds, self._options.last_retry_seconds
        while True:
            self._pause_seconds = min(max(first, 2 * self._pause_seconds), last)
            if self._stopping.wait(self._pause_seconds):
                return False
            try:
                self._writer.begin_again(self._options.reserve_bytes)
            except Exception as error:  # noqa: BLE001  # a thread's top: it must go on trying
                self._metrics.failed(failure_kind(error))
                self._gathering.refuse(failure_text(error))
                continue
            self._gathering.admit()
            self._metrics.usable_changed(usable=True)
            log.warning("journal_resumed")
            return True

    def _report(self, records: Sequence[Record], size_bytes: int, seconds: float) -> None:
        """Tell who wants to know of a batch; nothing that they do hurts the journal."""
        try:
            self._metrics.pending(self._gathering.lines)
            self._metrics.batch_written(len(records), size_bytes, seconds)
            self._metrics.kept(self._writer.segments, self._writer.kept_bytes)
            if self._on_written is not None:
                self._on_written(records)
        except Exception as error:  # a thread's top: observers are not the journal
            if not self._told_of_observer:
                log.exception("journal_observer_failed", error_type=type(error).__name__)
            self._told_of_observer = True

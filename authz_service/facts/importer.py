"""Imports JSON Lines: strict, a thousand facts a transaction, going on where it was stopped."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Final

from authz_service.facts.database import Access, Database
from authz_service.facts.import_lines import Line, blocks_of, lines_in
from authz_service.facts.sessions import Session
from authz_service.facts.writing import Leave, Written, write_facts
from authz_service.operations.ports import Clock
from authz_service.pdp.errors import InvalidRequestError, StateError

_LOCK_SECONDS: Final = 10.0
_PROGRESS: Final = (
    "SELECT lines_done, finished, written, skipped, unchanged FROM facts_imports"
    " WHERE sha256 = :sha256"
)
_KEEP_PROGRESS: Final = (
    "INSERT INTO facts_imports (sha256, lines_done, finished, written, skipped, unchanged)"
    " VALUES (:sha256, :lines_done, :finished, :written, :skipped, :unchanged)"
    " ON CONFLICT (sha256) DO UPDATE SET lines_done = excluded.lines_done,"
    " finished = excluded.finished, written = excluded.written, skipped = excluded.skipped,"
    " unchanged = excluded.unchanged"
)


@dataclass(frozen=True, slots=True)
class ImportSummary:
    """What became of an import, those before it of the same file included.

    Attributes:
        name: The file, as it was named.
        lines: How many lines are done.
        written: How many facts were written.
        skipped: How many were left out because a later observation is stored.
        unchanged: How many were stored already, word for word.
        resumed_after: The last line that an earlier import of the same file had done; 0 for none.
        written_before: How many of `written` an earlier import of the same file wrote.
        finished: Whether all lines are done.
        problem: What stopped it, as ``file:line: field: text``; None where nothing did.
    """

    name: str
    lines: int = 0
    written: int = 0
    skipped: int = 0
    unchanged: int = 0
    resumed_after: int = 0
    written_before: int = 0
    finished: bool = False
    problem: str | None = None


Progress = Callable[[ImportSummary], None]
"""Hears what is committed, after every transaction."""


class FactsImporter:
    """Writes files of facts to a registry. Blocks; for one thread."""

    def __init__(self, url: str, clock: Clock) -> None:
        """Describe the registry; nothing is opened yet.

        Args:
            url: ``sqlite:///path`` or ``postgresql+psycopg://…``.
            clock: Tells when a write is recorded.

        Raises:
            FactsUnavailableError: The URL names no database that this service can use.
        """
        self._database = Database(url, lock_seconds=_LOCK_SECONDS, pool=1)
        self._clock = clock

    def import_file(self, path: Path, *, actor: str, progress: Progress) -> ImportSummary:
        """Import the file at *path*; what an earlier import of the same bytes did is not repeated.

        The first malformed line stops the import; what was committed before it stays and is said.

        Raises:
            FactsUnavailableError: The registry is silent, locked, read-only or gone.
            OSError: The file cannot be read.
        """
        name = str(path)
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            file.seek(0)
            summary = self._progress_of(digest, name)
            if summary.finished:
                return summary
            remaining = islice(lines_in(file), summary.lines, None)
            return self._import(remaining, summary, digest, actor=actor, progress=progress)

    def import_lines(
        self, lines: Iterable[bytes], name: str, *, actor: str, progress: Progress
    ) -> ImportSummary:
        """Import *lines* of which nothing is known before they come, as those of a pipe.

        Raises:
            FactsUnavailableError: The registry is silent, locked, read-only or gone.
        """
        return self._import(lines, ImportSummary(name), None, actor=actor, progress=progress)

    def close(self) -> None:
        """Close the connection."""
        self._database.close()

    def _import(
        self,
        lines: Iterable[bytes],
        summary: ImportSummary,
        digest: str | None,
        *,
        actor: str,
        progress: Progress,
    ) -> ImportSummary:
        """Import *lines*, block by block, onto what *summary* says is done."""
        try:
            for block in blocks_of(lines, summary.name, summary.lines):
                summary = self._import_block(block, summary, digest, actor)
                progress(summary)
        except (InvalidRequestError, StateError) as error:
            return replace(summary, problem=str(error))
        finished = replace(summary, finished=True)
        if digest is not None:
            with self._database.transaction(Access.WRITE) as session:
                _keep(session, digest, finished)
        return finished

    def _import_block(
        self, block: Sequence[Line], summary: ImportSummary, digest: str | None, actor: str
    ) -> ImportSummary:
        """Write one block in one transaction, with how far the file is now."""
        with self._database.transaction(Access.WRITE) as session:
            if digest is not None:
                _check_alone(session, digest, summary)
            written = write_facts(
                session,
                [line.fact for line in block],
                actor=actor,
                now=self._clock.now(),
                leave=Leave(replays=True),
                naming=lambda index: f"{summary.name}:{block[index].number}: ",
            )
            after = _added(summary, block[-1].number, written)
            if digest is not None:
                _keep(session, digest, after)
        return after

    def _progress_of(self, digest: str, name: str) -> ImportSummary:
        """Return how far earlier imports of the same bytes came."""
        with self._database.transaction(Access.READ) as session:
            return _progress(session, digest, name)


def _progress(session: Session, digest: str, name: str) -> ImportSummary:
    """Return how far the file of *digest* is."""
    row = session.one(_PROGRESS, {"sha256": digest})
    if row is None:
        return ImportSummary(name)
    lines, finished, written, skipped, unchanged = row
    return ImportSummary(name, lines, written, skipped, unchanged, lines, written, bool(finished))


def _check_alone(session: Session, digest: str, summary: ImportSummary) -> None:
    """Refuse to go on where somebody else imports the same file at the same time.

    Raises:
        StateError: They do.
    """
    if _progress(session, digest, summary.name).lines != summary.lines:
        raise StateError(summary.name, "another process is importing this file")


def _keep(session: Session, digest: str, summary: ImportSummary) -> None:
    """Keep how far the file of *digest* is."""
    session.run(
        _KEEP_PROGRESS,
        {
            "sha256": digest,
            "lines_done": summary.lines,
            "finished": summary.finished,
            "written": summary.written,
            "skipped": summary.skipped,
            "unchanged": summary.unchanged,
        },
    )


def _added(summary: ImportSummary, line: int, written: Written) -> ImportSummary:
    """Return *summary* with one transaction more, up to *line*."""
    return replace(
        summary,
        lines=line,
        written=summary.written + written.written,
        skipped=summary.skipped + written.skipped,
        unchanged=summary.unchanged + written.unchanged,
    )

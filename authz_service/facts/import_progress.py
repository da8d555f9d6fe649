"""How far each imported file is, kept with the facts: by the SHA-256 of its bytes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from authz_service.facts.import_blocks import Done
from authz_service.facts.sessions import Session
from authz_service.pdp.errors import StateError

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


def progress_of(session: Session, digest: str, name: str) -> ImportSummary:
    """Return how far the file of *digest* is."""
    row = session.one(_PROGRESS, {"sha256": digest})
    if row is None:
        return ImportSummary(name)
    lines, finished, written, skipped, unchanged = row
    return ImportSummary(name, lines, written, skipped, unchanged, lines, written, bool(finished))


def check_alone(session: Session, digest: str, summary: ImportSummary) -> None:
    """Refuse to go on where somebody else imports the same file at the same time.

    Raises:
        StateError: They do.
    """
    if progress_of(session, digest, summary.name).lines != summary.lines:
        raise StateError(summary.name, "another process is importing this file")


def keep_progress(session: Session, digest: str, summary: ImportSummary) -> None:
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


def added(summary: ImportSummary, done: Done) -> ImportSummary:
    """Return *summary* with one transaction more."""
    return replace(
        summary,
        lines=max(summary.lines, done.last),
        written=summary.written + done.written,
        skipped=summary.skipped + done.skipped,
        unchanged=summary.unchanged + done.unchanged,
    )

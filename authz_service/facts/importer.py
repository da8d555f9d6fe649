"""Imports JSON Lines: strict, as fast as the database takes them, going on where it was stopped."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from time import perf_counter
from typing import Final

from authz_service.facts.database import Access, Database
from authz_service.facts.import_blocks import Done, Origin, Prepared, write_block, write_lines
from authz_service.facts.import_commits import Commits
from authz_service.facts.import_crew import prepared
from authz_service.facts.import_lines import Chunk, Line, blocks_of, chunks_of, lines_in
from authz_service.facts.import_progress import (
    ImportSummary,
    added,
    check_alone,
    keep_progress,
    progress_of,
)
from authz_service.facts.sessions import Session
from authz_service.operations.ports import Clock
from authz_service.pdp.errors import InvalidRequestError, StateError

_LOCK_SECONDS: Final = 10.0
_SECONDS_AT_ONCE: Final = 0.4
"""How long a transaction may take, and whoever else writes wait for it."""
_CHUNKS_AT_ONCE: Final = 9
"""Fewer facts than a cache follows one by one: with more it would drop all that it holds."""

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
        self._database = Database(url, lock_seconds=_LOCK_SECONDS, pool=1, by_index=True)
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
        """Import *lines* onto what *summary* says is done."""
        commits = Commits(self._database)
        run = _Run(commits, self._clock, summary, digest, actor=actor, progress=progress)
        try:
            run.write(chunks_of(lines, summary.lines))
        except (InvalidRequestError, StateError) as error:
            return replace(run.summary, problem=str(error))
        finished = replace(run.summary, finished=True)
        if digest is not None:
            commits.made(lambda session: keep_progress(session, digest, finished))
        return finished

    def _progress_of(self, digest: str, name: str) -> ImportSummary:
        """Return how far earlier imports of the same bytes came."""
        with self._database.transaction(Access.READ) as session:
            return progress_of(session, digest, name)


class _Run:
    """One import on its way.

    Attributes:
        summary: What is committed.
    """

    def __init__(
        self,
        commits: Commits,
        clock: Clock,
        summary: ImportSummary,
        digest: str | None,
        *,
        actor: str,
        progress: Progress,
    ) -> None:
        self.summary = summary
        self._commits = commits
        self._clock = clock
        self._digest = digest
        self._actor = actor
        self._progress = progress
        self._chunks_at_once = 1

    def write(self, chunks: Iterable[Chunk]) -> None:
        """Write all *chunks*.

        Raises:
            InvalidRequestError: A fact is malformed; what precedes it is written.
            StateError: A fact contradicts what is stored, or may not be written over it.
        """
        if self._commits.is_sqlite:
            for chunk in chunks:
                self._write_by_lines(chunk)
            return
        with closing(prepared(chunks)) as coming:
            while block := list(islice(coming, self._chunks_at_once)):
                self._write_at_once(block)

    def _write_at_once(self, block: Sequence[Prepared]) -> None:
        """Write *block* in one transaction; chunk by chunk where that is refused.

        So what is stored, and what is said, does not depend on how much was tried at once.
        """
        begun, ended = perf_counter(), self._commits.ended
        try:
            self._commit(lambda session, origin: write_block(session, block, origin))
        except (InvalidRequestError, StateError):
            for chunk, _grain in block:
                self._write_by_lines(chunk)
        if self._commits.ended > ended:
            self._chunks_at_once = 1
        else:
            self._pace(len(block), perf_counter() - begun)

    def _write_by_lines(self, chunk: Chunk) -> None:
        """Write *chunk* by the one writer of changes, in one transaction or a few."""
        for lines in blocks_of(chunk.lines, self.summary.name, chunk.before):
            self._commit(partial(_write_lines, lines))

    def _commit(self, write: Callable[[Session, Origin], Done]) -> None:
        """Commit what *write* writes, with how far the file is then."""
        origin = Origin(self.summary.name, self._actor, self._clock.now())

        def work(session: Session) -> ImportSummary:
            if self._digest is not None:
                check_alone(session, self._digest, self.summary)
            after = added(self.summary, write(session, origin))
            if self._digest is not None:
                keep_progress(session, self._digest, after)
            return after

        self.summary = self._commits.made(work)
        self._progress(self.summary)

    def _pace(self, chunks: int, seconds: float) -> None:
        """Take as much at once from now on as others who write may wait for."""
        fitting = round(chunks * _SECONDS_AT_ONCE / max(seconds, 0.001))
        self._chunks_at_once = min(max(fitting, 1), self._chunks_at_once * 2, _CHUNKS_AT_ONCE)


def _write_lines(lines: Sequence[Line], session: Session, origin: Origin) -> Done:
    """Write *lines*, which are given before all else."""
    return write_lines(session, lines, origin)

"""The registry as the cache reads it: looks, changes and snapshot loads, on SQL."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Collection
from datetime import timedelta
from threading import Lock
from typing import Final

from authz_service.facts.candidates import read_candidates
from authz_service.facts.compatibility import VERSIONS, check_version
from authz_service.facts.database import Access, Database
from authz_service.facts.decoding import from_microseconds
from authz_service.facts.key_text import EVERYTHING, keys_from_text
from authz_service.facts.loading import load_values
from authz_service.facts.questions import keys_of, questions_about
from authz_service.facts.reader import Candidates, Changes, Key, Load, Look, PageQuestion
from authz_service.facts.revisions import state
from authz_service.facts.sessions import Session
from authz_service.facts.subject_candidates import (
    SubjectCandidates,
    SubjectsPart,
    questions_of_subjects,
    read_subjects,
)
from authz_service.operations.ports import Clock
from authz_service.pdp.errors import FactsUnavailableError

MAX_CHANGES: Final = 10_000
"""How many changed facts are told one by one; where there are more, everything has changed."""

_MAX_SKEW: Final = timedelta(seconds=1)
_PROBE_SECONDS: Final = 1.0
_LOCK_SECONDS: Final = 0.05

_LOOK_POSTGRESQL: Final = (
    f"SELECT revision, nonce, {VERSIONS},"  # noqa: S608  # names of ours
    " (extract(epoch FROM clock_timestamp()) * 1000000)::bigint,"
    " pg_is_in_recovery() OR current_setting('transaction_read_only')::boolean"
    " FROM facts_revision"
)
_NONCE_AT: Final = (
    "SELECT nonce FROM facts_writes WHERE revision = :after"
    " AND revision >= (SELECT history_from FROM facts_revision)"
)
"""Of states before that the changes are not all there."""
_CHANGES: Final = (
    "SELECT revision, keys FROM fact_changes WHERE revision > :after"  # noqa: S608  # a number of ours
    f" ORDER BY revision LIMIT {MAX_CHANGES + 1}"
)

_CHANGE_NOTHING: Final = "UPDATE facts_revision SET revision = revision WHERE one = 0"
"""Changes no row, and needs a file that can be written to: `BEGIN IMMEDIATE` alone does not."""


def _nothing() -> None:
    """Do nothing between the halves of a load."""


class SqlReader:
    """Facts read from a database. Thread-safe; nothing is opened before the first call."""

    def __init__(
        self,
        url: str,
        clock: Clock,
        *,
        connections: int = 5,
        statement_seconds: float = 2.0,
        between: Callable[[], object] = _nothing,
    ) -> None:
        """Describe the registry.

        Args:
            url: ``sqlite:///path`` or ``postgresql+psycopg://…``.
            clock: This machine's own time, with which a PostgreSQL server's is compared. Never a
                fixed one.
            connections: How many threads may read at once.
            statement_seconds: How long one statement may take (PostgreSQL).
            between: Called between the two halves of a load; a test holds the load there.

        Raises:
            FactsUnavailableError: The URL names no database that this service can use.
        """
        self._database = Database(
            url,
            lock_seconds=_LOCK_SECONDS,
            statement_seconds=statement_seconds,
            pool=connections,
            by_index=True,
        )
        self._clock = clock
        self._between = between
        self._probe = _Probe()

    @property
    def is_local(self) -> bool:
        """Whether the database runs in this process, and answers in microseconds."""
        return self._database.is_sqlite

    def look(self) -> Look:
        with self._database.connection() as session:
            if session.is_sqlite:
                return self._look_sqlite(session)
            return self._look_postgresql(session)

    def changes(self, after: int, after_nonce: str) -> Changes:
        sent_at = time.monotonic()
        with self._database.transaction(Access.READ) as session:
            revision, nonce = state(session)
            rows = None
            if session.one(_NONCE_AT, {"after": after}) == (after_nonce,):
                rows = session.rows(_CHANGES, {"after": after})
        if rows is None or len(rows) > MAX_CHANGES:
            return Changes(revision, nonce, (), complete=False, sent_at=sent_at)
        touched: dict[int, set[Key]] = {}
        for at, keys in rows:
            touched.setdefault(at, set()).update(keys_from_text(keys))
        if any(EVERYTHING in keys for keys in touched.values()):
            return Changes(revision, nonce, (), complete=False, sent_at=sent_at)
        ascending = tuple((at, frozenset(keys)) for at, keys in touched.items())
        return Changes(revision, nonce, ascending, complete=True, sent_at=sent_at)

    def load(self, keys: Collection[Key]) -> Load:
        sent_at = time.monotonic()
        with self._database.transaction(Access.READ) as session:
            return load_values(session, keys, sent_at, self._between)

    def candidates(self, question: PageQuestion) -> Candidates:
        sent_at = time.monotonic()
        with self._database.connection() as session:
            return read_candidates(session, question, sent_at)

    def candidates_with_facts(self, question: PageQuestion) -> tuple[Candidates, Load]:
        sent_at = time.monotonic()
        with self._database.transaction(Access.READ) as session:
            found = read_candidates(session, question, sent_at)
            keys = keys_of(questions_about(question, found))
            return found, load_values(session, keys, sent_at, self._between)

    def subjects_with_facts(self, part: SubjectsPart) -> tuple[SubjectCandidates, Load]:
        sent_at = time.monotonic()
        with self._database.transaction(Access.READ) as session:
            found = read_subjects(session, part, sent_at)
            keys = keys_of(questions_of_subjects(part, found))
            return found, load_values(session, keys, sent_at, self._between)

    def close(self) -> None:
        """Close all connections."""
        self._database.close()

    def _look_sqlite(self, session: Session) -> Look:
        """Look at a SQLite file, whose clock is this machine's."""
        self._probe.check(session)
        sent_at = time.monotonic()
        revision, nonce = state(session)
        return Look(revision, nonce, sent_at)

    def _look_postgresql(self, session: Session) -> Look:
        """Look at a PostgreSQL database, whose clock is its own."""
        sent_at, earliest = time.monotonic(), self._clock.now() - _MAX_SKEW
        row = session.one(_LOOK_POSTGRESQL)
        latest = self._clock.now() + _MAX_SKEW
        revision, nonce, versions, database_time, is_read_only = row or (0, "", None, 0, False)
        check_version(versions)
        if is_read_only:
            raise FactsUnavailableError("it is read-only, and may be behind")
        if not earliest <= from_microseconds(database_time) <= latest:
            raise FactsUnavailableError("its clock is more than a second off")
        return Look(revision, nonce, sent_at)


class _Probe:
    """Tries at most once a second whether a SQLite file can be written to. Thread-safe."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._next_at = 0.0

    def check(self, session: Session) -> None:
        """Begin a write and end it; somebody else's write shows as well that there can be one.

        Raises:
            sqlite3.OperationalError: The file cannot be written to.
        """
        with self._lock:
            if time.monotonic() < self._next_at:
                return
            self._next_at = 0.0
            _try_to_write(session)
            self._next_at = time.monotonic() + _PROBE_SECONDS


def _try_to_write(session: Session) -> None:
    """Take and give back the write lock, if nobody holds it.

    Raises:
        sqlite3.OperationalError: The file cannot be written to.
    """
    session.run("PRAGMA busy_timeout = 0")
    try:
        session.run("BEGIN IMMEDIATE")
        try:
            session.run(_CHANGE_NOTHING)
        finally:
            session.run("ROLLBACK")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
            raise
    finally:
        session.run(f"PRAGMA busy_timeout = {round(_LOCK_SECONDS * 1000)}")

"""The log of decisions, read from the store on threads of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from authz_service.audit.store.failures import FailureKind, StoreFailureError
from authz_service.audit.store.questions import (
    Lead,
    is_impossible,
    leads_of,
    lengths_of,
    one_of,
    page_of,
)
from authz_service.audit.store.reading import Readings, Row, Session
from authz_service.audit.store.shipper import NO_STORE
from authz_service.operations.decision_log import DecisionKey, DecisionsQuestion, StoredRecord
from authz_service.operations.page_tokens import instant_at
from authz_service.operations.read_decisions import NoDecisionLog
from authz_service.pdp.errors import NotFoundError

_THREADS: Final = 4
_MOST_WAITING: Final = 64

Answer = TypeVar("Answer")


def decision_log_at(url: str) -> SqlDecisionLog | NoDecisionLog:
    """Return the log of the store at *url*, which is a URL or ``none``.

    Raises:
        DecisionsUnavailableError: The URL names no database that can hold a store.
    """
    return NoDecisionLog() if url == NO_STORE else SqlDecisionLog(url)


_NOT_THERE: Final = (
    "is not in the decision store; what is decided comes there within a second, while shipping "
    "is not behind (see: authz status)"
)


class SqlDecisionLog:
    """Implements `operations.ports.DecisionLog`. Auditors' reading never stands before a check."""

    def __init__(self, url: str, *, statement_seconds: float = 5.0) -> None:
        """Describe the store; nothing is opened before the first reading.

        Args:
            url: ``sqlite:///path`` or ``postgresql+psycopg://…``.
            statement_seconds: How long one statement may take.

        Raises:
            DecisionsUnavailableError: The URL names no database that can hold a store.
        """
        self._readings = Readings(url, statement_seconds=statement_seconds, connections=_THREADS)
        self._threads = ThreadPoolExecutor(_THREADS, "decisions")
        self._under_way = 0

    async def get(self, decision_id: str) -> StoredRecord:
        rows = await self._read(lambda session: session.rows(one_of(decision_id)))
        if not rows:
            raise NotFoundError(f"decision {decision_id}", _NOT_THERE)
        return _record(rows[0])

    async def list(
        self, question: DecisionsQuestion, *, after: DecisionKey | None, limit: int
    ) -> Sequence[StoredRecord]:
        if is_impossible(question):
            return ()
        return await self._read(lambda session: _page(session, question, after, limit))

    def close(self) -> None:
        """Take no more readings, and close all connections; those under way go on to their end."""
        self._threads.shutdown(wait=True, cancel_futures=True)
        self._readings.close()

    async def _read(self, reading: Callable[[Session], Answer]) -> Answer:
        """Return what *reading* returns; it is done on another thread.

        Raises:
            DecisionsUnavailableError: The store cannot be read, or too many wait to.
        """
        if self._under_way >= _MOST_WAITING:
            raise StoreFailureError(FailureKind.SLOW, "too many readings wait for it")
        self._under_way += 1
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._threads, self._done, reading)
        finally:
            self._under_way -= 1

    def _done(self, reading: Callable[[Session], Answer]) -> Answer:
        """Do *reading*, on the thread that this is called on."""
        with self._readings.session() as session:
            return reading(session)


def _page(
    session: Session, question: DecisionsQuestion, after: DecisionKey | None, limit: int
) -> list[StoredRecord]:
    """Return the records of a page, found along the index that fits the question best."""
    lead = _lead(session, question, after)
    return [_record(row) for row in session.rows(page_of(lead, question, after, limit))]


def _lead(session: Session, question: DecisionsQuestion, after: DecisionKey | None) -> Lead:
    """Return the shortest of the indexes that serve *question*; where all are long, the likely."""
    leads = leads_of(question)
    if len(leads) == 1:
        return leads[0]
    (counts,) = session.rows(lengths_of(leads, question, after))
    return leads[counts.index(min(counts))]


def _record(row: Row) -> StoredRecord:
    """Return one row as a record.

    Raises:
        DecisionsUnavailableError: The line that it is a slice of is gone.
    """
    evaluated_at, decision_id, journal_id, sequence, line_hash, content = row
    if content is None:
        raise StoreFailureError(
            FailureKind.SCHEMA, f"line {sequence} of journal {journal_id} is not in it any more"
        )
    key = DecisionKey(instant_at(evaluated_at), decision_id)
    return StoredRecord(key, bytes(content), journal_id, sequence, line_hash)

"""An import's transactions: one that is ended from outside is done again, and none twice.

A containment ends whoever keeps it waiting (`giving_way`), a restart or a failover everybody.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic, sleep
from typing import Final, Generic, NamedTuple, TypeVar

import psycopg

from authz_service.facts.database import Access, Database
from authz_service.facts.sessions import Session
from authz_service.pdp.errors import FactsUnavailableError

_PATIENCE_SECONDS: Final = 30.0
"""So long one transaction is tried again."""
_PAUSE_SECONDS: Final = 0.1
_ENDED: Final = ("57P", "08")
"""Classes of SQLSTATE that say that the server or its administrator ended the connection."""
_OURSELVES: Final = "SELECT txid_current()"
_FATE: Final = "SELECT txid_status(:number)"

Outcome = TypeVar("Outcome")


class _Doubt(NamedTuple, Generic[Outcome]):
    """A transaction that was about to be committed when its connection ended.

    Attributes:
        number: What PostgreSQL calls it.
        outcome: What it did, if it was committed.
    """

    number: int
    outcome: Outcome


class Commits:
    """Commits what one thread writes.

    Attributes:
        is_sqlite: Whether that is a SQLite file, on which nobody ends a transaction from outside.
        ended: How many transactions were ended from outside.
    """

    def __init__(self, database: Database) -> None:
        """Write to *database*."""
        self.is_sqlite = database.is_sqlite
        self.ended = 0
        self._database = database

    def made(self, work: Callable[[Session], Outcome]) -> Outcome:
        """Return what *work* did in one transaction that was committed, once.

        Raises:
            FactsUnavailableError: The registry is silent, locked, read-only or gone, or for too
                long nothing could be committed.
        """
        until = monotonic() + _PATIENCE_SECONDS
        doubts: list[_Doubt[Outcome]] = []
        while True:
            try:
                return self._tried(work, doubts)
            except FactsUnavailableError as error:
                if not _was_ended(error) or monotonic() > until:
                    raise
                self.ended += 1
                sleep(_PAUSE_SECONDS)

    def _tried(self, work: Callable[[Session], Outcome], doubts: list[_Doubt[Outcome]]) -> Outcome:
        """Do *work* and commit it, unless one of *doubts* was committed after all.

        Nobody else writes when their fate is asked, so each has one.
        """
        with self._database.transaction(Access.WRITE) as session:
            for doubt in doubts:
                if session.one(_FATE, {"number": doubt.number}) == ("committed",):
                    session.discard()
                    return doubt.outcome
            outcome = work(session)
            if not session.is_sqlite and not session.discarded:
                (number,) = session.one(_OURSELVES) or (0,)
                doubts.append(_Doubt(number, outcome))
        return outcome


def _was_ended(error: FactsUnavailableError) -> bool:
    """Whether *error* is that a connection to PostgreSQL ended, or that none was to be had."""
    cause = error.__cause__
    if not isinstance(cause, psycopg.OperationalError):
        return False
    return cause.sqlstate is None or cause.sqlstate.startswith(_ENDED)

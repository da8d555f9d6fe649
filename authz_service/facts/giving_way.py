"""Writers give way to the brake: those that wait, at once; the one that is at it, after a while.

A database lets writers in one at a time, for as long as a thousand facts take. SQLite has no order
among those who wait, so a stream of writes can keep out one of them for good; PostgreSQL has one,
so the last waits for all before it. Ordinary writers therefore begin only while nobody urgent
waits, and on PostgreSQL they stand in a line of their own before the row that every write changes:
at most one of all replicas is there. That one, too, is stopped where it takes too long: within a
process at its next statement, on PostgreSQL wherever it is, and even if it hangs.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition
from time import monotonic
from typing import Final

from authz_service.pdp.errors import FactsUnavailableError

PATIENCE_SECONDS: Final = 0.15
"""So long the brake waits for a write that has begun."""
JOIN_LINE: Final = "SELECT pg_advisory_xact_lock(7310, 1)"
"""Waits for the ordinary writers that came before, until this transaction ends (PostgreSQL)."""
WHO_AM_I: Final = "SELECT pg_backend_pid()"
STOP_BLOCKERS: Final = (
    "SELECT count(pg_terminate_backend(held.pid)) FROM pg_locks held"
    " WHERE held.locktype = 'advisory' AND held.classid = 7310 AND held.objid = 1 AND held.granted"
    " AND held.pid = ANY(pg_blocking_pids(:pid))"
)
"""Ends the connection of the ordinary writer for which that one waits; what it wrote is undone."""


class GivingWay:
    """Whether somebody urgent is at it, within this process. Thread-safe."""

    def __init__(self) -> None:
        """Begin with nobody."""
        self._changed = Condition()
        self._urgent = 0
        self._since = float("inf")

    def give_way(self, seconds: float) -> None:
        """Wait until nobody urgent waits or writes, for *seconds* at most."""
        with self._changed:
            self._changed.wait_for(lambda: not self._urgent, seconds)

    def require_way(self) -> None:
        """End a write for which somebody urgent has waited long enough.

        Raises:
            FactsUnavailableError: Somebody has.
        """
        if monotonic() - self._since > PATIENCE_SECONDS:
            raise FactsUnavailableError("a containment went before this write; send it again")

    @contextmanager
    def urgently(self) -> Iterator[None]:
        """Have others give way."""
        with self._changed:
            self._urgent += 1
            self._since = min(self._since, monotonic())
        try:
            yield
        finally:
            with self._changed:
                self._urgent -= 1
                if not self._urgent:
                    self._since = float("inf")
                self._changed.notify_all()

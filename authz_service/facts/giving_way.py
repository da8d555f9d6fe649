"""Writers give way to the brake: within a process by a condition, between processes by a line.

A database lets writers in one at a time. SQLite has no order among those who wait, so a stream of
writes can keep out one of them for good; PostgreSQL has one, so the last waits for all before it.
Ordinary writers therefore begin only while nobody urgent waits, and on PostgreSQL they stand in a
line of their own before the row that every write changes: at most one of all replicas is there.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition
from typing import Final

_LINE_NUMBER: Final = 7_310_420_619
JOIN_LINE: Final = f"SELECT pg_advisory_xact_lock({_LINE_NUMBER})"
"""Waits for the ordinary writers that came before, until this transaction ends (PostgreSQL)."""


class GivingWay:
    """Whether somebody urgent is at it, within this process. Thread-safe."""

    def __init__(self) -> None:
        """Begin with nobody."""
        self._changed = Condition()
        self._urgent = 0

    def give_way(self, seconds: float) -> None:
        """Wait until nobody urgent waits or writes, for *seconds* at most."""
        with self._changed:
            self._changed.wait_for(lambda: not self._urgent, seconds)

    @contextmanager
    def urgently(self) -> Iterator[None]:
        """Have others give way."""
        with self._changed:
            self._urgent += 1
        try:
            yield
        finally:
            with self._changed:
                self._urgent -= 1
                self._changed.notify_all()

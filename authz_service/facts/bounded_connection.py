"""Connections to PostgreSQL that wait for an answer so long and no longer, and are known when dead.

A server's own timeouts end nothing where the server is paused, or where something between here
and there still holds the connection and passes nothing on: TCP is content, and nobody answers.
"""

from __future__ import annotations

import select
from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen
from sqlalchemy import Engine, event
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

_INTERVAL_SECONDS = 0.1
Answer = TypeVar("Answer")


class BoundedConnection(psycopg.Connection[tuple[Any, ...]]):
    """A connection that is given up when the server leaves it without an answer for too long."""

    silence_seconds: float | None = None

    def wait(
        self,
        gen: PQGen[Answer],
        interval: float = _INTERVAL_SECONDS,
        timeout: float | None = None,
    ) -> Answer:
        """Return what the exchange *gen* ends with.

        Raises:
            psycopg.OperationalError: The server was silent for too long; the connection is closed.
        """
        bound = self.silence_seconds if timeout is None else timeout
        try:
            return super().wait(gen, interval, bound)
        except psycopg.OperationalError as error:
            if timeout is None and not error.sqlstate and not self.closed:
                self.pgconn.finish()  # what it answers later is an answer to nobody
            raise


class LiveConnections:
    """Keeps dead connections from being lent. Thread-safe."""

    def __init__(self, engine: Engine, silence_seconds: float) -> None:
        """Watch over the connections of *engine*, a PostgreSQL one.

        Args:
            engine: Opens the connections; by this they are bounded.
            silence_seconds: How long to wait for an answer to anything.
        """
        self._is_suspect = False

        @event.listens_for(engine, "do_connect")
        def connect(
            _dialect: object, _entry: object, words: Any, named: Any
        ) -> psycopg.Connection[Any]:
            opened = BoundedConnection.connect(*words, **named)
            opened.silence_seconds = silence_seconds
            return opened

        @event.listens_for(engine, "checkout")
        def look(lent: Any, _entry: ConnectionPoolEntry, _fairy: PoolProxiedConnection) -> None:
            if self._is_suspect or _has_ended(lent):
                self._is_suspect = False
                raise InvalidatePoolError("the server ended it, or another one at the same time")

    def suspect(self) -> None:
        """Have all that are open now be replaced: what has cut one off has cut off the others."""
        self._is_suspect = True


def _has_ended(connection: psycopg.Connection[Any]) -> bool:
    """Whether the server has said something to a connection that asked nothing: its end."""
    if connection.closed:
        return True
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))

"""The HTTP edge: metrics for Prometheus and a plain word on health."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import structlog

from authz_service.console.exchange import Answer, Asked, exchange
from authz_service.console.guard import Guard, GuardFiles
from authz_service.console.listener import Bounds, Connection, Listener, Place
from authz_service.console.seldom import Seldom

log = structlog.get_logger(__name__)

SETTING = "AUTHZ_HTTP_LISTEN"
BOUNDS = Bounds(connections=128, seconds=10.0)
"""Many more than scrapers need, so that it takes a flood to make one of them wait."""

_REALM = 'Bearer realm="authz"'
_NOT_THERE = Answer(404)
_NOT_DONE = Answer(405, headers=(("Allow", "GET, HEAD"),))

HealthReading = Callable[[], Mapping[str, str]]
"""What stands in the way of serving, by part; empty where nothing does."""
DetailsReading = Callable[[], Mapping[str, object]]
"""What else is worth knowing, by name, as JSON has it; it does not make a service unhealthy."""


class Console:
    """Serves ``GET /metrics`` and ``GET /healthz`` on the service's own event loop.

    Attributes:
        refused: How many requests did not show a valid token.
    """

    def __init__(  # noqa: PLR0913  # every word it has
        self,
        address: str,
        *,
        metrics: Callable[[], bytes],
        content_type: str,
        health: HealthReading,
        details: DetailsReading = dict,
        serving: Callable[[], bool] | None = None,
        pages: Mapping[str, Callable[[], Any]] | None = None,
        guard: Guard | None = None,
    ) -> None:
        """Serve at *address*, an IP address and a port.

        Args:
            address: Where.
            metrics: What ``/metrics`` shows.
            content_type: The form that it has.
            health: What ``/healthz`` shows.
            details: What ``/healthz`` shows beside it.
            serving: Whether it serves; by default where nothing stands in the way.
            pages: What else is shown as JSON, by path.
            guard: What protects it, made for this address; by default nothing, on loopback only.
        """
        self._health = health
        self._details = details
        self._is_serving = serving or (lambda: not health())
        self._pages: dict[str, Callable[[], Answer]] = {
            "/metrics": lambda: Answer(200, metrics(), content_type),
            "/healthz": self._health_page,
            **{path: _json_page(read) for path, read in (pages or {}).items()},
        }
        self._guard = guard or Guard(address, GuardFiles())
        self._said_refused = Seldom()
        self._listener = Listener(
            Place(address, SETTING), self._attend, bounds=BOUNDS, tls=lambda: self._guard.tls
        )
        self.refused = 0

    @property
    def dropped(self) -> int:
        """How many connections were cut, because they took too long or to make room."""
        return self._listener.dropped

    async def start(self) -> int:
        """Serve; return the port.

        Raises:
            ConsoleAddressError: The address is taken or cannot be used.
        """
        port = await self._listener.start()
        self._guard.start()
        return port

    async def close(self) -> None:
        """Stop serving."""
        await self._guard.close()
        await self._listener.close()

    async def _attend(self, connection: Connection) -> None:
        """Answer the request of one connection."""
        await exchange(connection, self._answer)

    def _answer(self, asked: Asked) -> Answer:
        """Answer; who shows no valid token is told nothing, whatever was asked for."""
        tokens = self._guard.tokens
        if tokens is not None and not tokens.accept(asked.authorization):
            return self._refusal(asked)
        if asked.method not in {"GET", "HEAD"}:
            return _NOT_DONE
        page = self._pages.get(asked.path)
        return _NOT_THERE if page is None else page()

    def _refusal(self, asked: Asked) -> Answer:
        """Refuse, as RFC 6750, section 3, has it; count it, and log it once a minute at most."""
        self.refused += 1
        why = "not a valid token" if asked.authorization else "no token"
        if self._said_refused.may_say():
            log.warning("http_refused", why=why, peer=asked.peer, refused=self.refused)
        challenge = f'{_REALM}, error="invalid_token"' if asked.authorization else _REALM
        return Answer(401, headers=(("WWW-Authenticate", challenge),))

    def _health_page(self) -> Answer:
        """Answer 200 where questions can be answered, 503 with what stands in the way."""
        reasons, is_serving = dict(self._health()), self._is_serving()
        status = "SERVING" if is_serving else "NOT_SERVING"
        said = {"status": status, "reasons": reasons, **self._details()}
        return _json(said, 200 if is_serving else 503)


def _json_page(read: Callable[[], Any]) -> Callable[[], Answer]:
    """Return what answers with what is *read* at each request."""
    return lambda: _json(read(), 200)


def _json(said: Any, status: int) -> Answer:
    """Return *said* as an answer."""
    text = json.dumps(said, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Answer(status, text.encode(), "application/json")

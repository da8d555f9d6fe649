"""The HTTP edge: metrics for Prometheus and a plain word on health."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from starlette.responses import JSONResponse, Response

from authz_service.console.application import Page, application_of
from authz_service.console.bearer import BearerCheck
from authz_service.console.exchange import exchange
from authz_service.console.guard import Guard, GuardFiles
from authz_service.console.listener import Bounds, Connection, Listener, Place

SETTING = "AUTHZ_HTTP_LISTEN"
BOUNDS = Bounds(connections=128, seconds=10.0)
"""Many more than scrapers need, so that it takes a flood to make one of them wait."""

HealthReading = Callable[[], Mapping[str, str]]
"""What stands in the way of serving, by part; empty where nothing does."""
DetailsReading = Callable[[], Mapping[str, object]]
"""What else is worth knowing, by name, as JSON has it; it does not make a service unhealthy."""


class Console:
    """Serves ``GET /metrics`` and ``GET /healthz`` on the service's own event loop."""

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
        self._guard = guard or Guard(address, GuardFiles())
        shown: dict[str, Page] = {
            "/metrics": lambda: Response(metrics(), headers={"Content-Type": content_type}),
            "/healthz": self._health_page,
            **{path: _json_page(read) for path, read in (pages or {}).items()},
        }
        self._door = BearerCheck(application_of(shown), lambda: self._guard.tokens)
        self._listener = Listener(
            Place(address, SETTING), self._attend, bounds=BOUNDS, tls=lambda: self._guard.tls
        )

    @property
    def refused(self) -> int:
        """How many requests did not show a valid token."""
        return self._door.refused

    @property
    def dropped(self) -> int:
        """How many connections were cut, because they took too long or to make room."""
        return self._listener.dropped

    def files_taken(self) -> dict[str, float]:
        """Return 1 for each file that protects the address and counts as it is now, else 0."""
        return {file: float(not why) for file, why in self._guard.refused().items()}

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
        self._door.finish()

    async def _attend(self, connection: Connection) -> None:
        """Answer the request of one connection."""
        await exchange(connection, self._door)

    def _health_page(self) -> Response:
        """Answer 200 where questions can be answered, 503 with what stands in the way."""
        reasons, is_serving = dict(self._health()), self._is_serving()
        status = "SERVING" if is_serving else "NOT_SERVING"
        http = {"refused": self._guard.refused()}
        said = {"status": status, "reasons": reasons, **self._details(), "http": http}
        return JSONResponse(said, 200 if is_serving else 503)


def _json_page(read: Callable[[], Any]) -> Page:
    """Return what answers with what is *read* at each request."""
    return lambda: JSONResponse(read())

"""The HTTP edge: metrics for Prometheus and a plain word on health."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

HealthReading = Callable[[], Mapping[str, str]]
"""What stands in the way of serving, by part; empty where nothing does."""
DetailsReading = Callable[[], Mapping[str, object]]
"""What else is worth knowing, by name, as JSON has it; it does not make a service unhealthy."""


class _QuietServer(uvicorn.Server):
    """A uvicorn that leaves signals to the service around it."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


class ConsoleAddressError(Exception):
    """The address cannot be served; the message names it and says why."""


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
    ) -> None:
        """Serve at *address*, a loopback address and a port.

        Args:
            address: Where.
            metrics: What ``/metrics`` shows.
            content_type: The form that it has.
            health: What ``/healthz`` shows.
            details: What ``/healthz`` shows beside it.
            serving: Whether it serves; by default where nothing stands in the way.
            pages: What else is shown as JSON, by path.
        """
        self._metrics = metrics
        self._content_type = content_type
        self._health = health
        self._details = details
        self._is_serving = serving or (lambda: not health())
        host, _, port = address.rpartition(":")
        self._address = (host.strip("[]"), int(port))
        routes = [
            Route("/metrics", self._serve_metrics, methods=["GET"]),
            Route("/healthz", self._serve_health, methods=["GET"]),
            *(
                Route(path, _json_page(read), methods=["GET"])
                for path, read in (pages or {}).items()
            ),
        ]
        self._server = _QuietServer(
            uvicorn.Config(
                Starlette(routes=routes),
                host=self._address[0],
                port=self._address[1],
                log_config=None,
                access_log=False,
                server_header=False,
                lifespan="off",
                timeout_graceful_shutdown=1,
                limit_concurrency=100,
            )
        )
        self._serving: asyncio.Task[None] | None = None

    async def start(self) -> int:
        """Serve; return the port.

        Raises:
            ConsoleAddressError: The address is taken or cannot be used.
        """
        try:
            sock = _bound(self._address)
        except OSError as error:
            host, port = self._address
            raise ConsoleAddressError(
                f"AUTHZ_HTTP_LISTEN={host}:{port} cannot be used: {error.strerror}"
            ) from error
        self._serving = asyncio.create_task(self._server.serve(sockets=[sock]))
        return int(sock.getsockname()[1])

    async def close(self) -> None:
        """Stop serving."""
        self._server.should_exit = True
        if self._serving is not None:
            await self._serving

    async def _serve_metrics(self, _request: Request) -> Response:
        """Answer with every metric."""
        return Response(self._metrics(), media_type=self._content_type)

    async def _serve_health(self, _request: Request) -> Response:
        """Answer 200 where questions can be answered, 503 with what stands in the way."""
        reasons, is_serving = dict(self._health()), self._is_serving()
        status = "SERVING" if is_serving else "NOT_SERVING"
        said = {"status": status, "reasons": reasons, **self._details()}
        return JSONResponse(said, status_code=200 if is_serving else 503)


def _json_page(read: Callable[[], Any]) -> Callable[[Request], Response]:
    """Return what answers with what is *read* at each request."""
    return lambda _request: JSONResponse(read())


def _bound(address: tuple[str, int]) -> socket.socket:
    """Return a socket that listens at *address*."""
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        sock.listen(128)
    except OSError:
        sock.close()
        raise
    return sock

"""The addresses beside gRPC's own, HTTP and health, opened as the settings say."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from typing import Protocol

import structlog

from authz_service.console.guard import Guard, GuardError, GuardFiles
from authz_service.console.health_address import HealthAddress
from authz_service.console.http import Console
from authz_service.console.listener import ConsoleAddressError
from authz_service.server.health import HealthServicer
from authz_service.server.probe_server import ProbeServer
from authz_service.settings import Settings

log = structlog.get_logger(__name__)

ADDRESS_ERRORS = (ConsoleAddressError, GuardError)
"""Why one of them cannot be served."""


class Watching(Protocol):
    """Metrics to which more can be added."""

    def watch(
        self,
        name: str,
        documentation: str,
        read: Callable[[], float | Mapping[str, float]],
        label: str = "",
    ) -> None:
        """Add a value, or values by *label*, that are read at each scrape."""
        ...


def guard_of(settings: Settings) -> Guard:
    """Return what protects the HTTP address.

    Raises:
        GuardError: Something is missing or wrong.
    """
    files = GuardFiles(settings.http_token_file, settings.tls_cert, settings.tls_key)
    return Guard(settings.http_listen, files)


async def open_health(
    settings: Settings,
    servicer: HealthServicer,
    is_ready: Callable[[], bool],
    closing: AsyncExitStack,
) -> HealthAddress | None:
    """Serve the health address where there is one, until *closing* is closed; return it.

    Raises:
        ConsoleAddressError: The address is taken or cannot be used.
        ListenError: There is no place for a socket.
    """
    if settings.health_listen is None:
        return None
    server = ProbeServer(servicer)
    closing.push_async_callback(server.stop)
    path = await server.start()
    address = HealthAddress(settings.health_listen, is_ready=is_ready, grpc_path=path)
    closing.push_async_callback(address.close)
    await address.start()
    log.info("health_served", port=address.port)
    return address


def watch_addresses(metrics: Watching, console: Console, health: HealthAddress | None) -> None:
    """Show what the addresses refuse."""
    metrics.watch(
        "authz_http_refused_total",
        "Requests to the HTTP address that did not show a valid token.",
        lambda: console.refused,
    )
    metrics.watch(
        "authz_http_last_load_successful",
        "1 where the token file, or the certificate, of the HTTP address counts as it is now.",
        console.files_taken,
        "file",
    )
    metrics.watch(
        "authz_connections_dropped_total",
        "Connections cut because they took too long, or to make room, by address.",
        lambda: {"http": console.dropped, "health": health.dropped if health else 0},
        "address",
    )

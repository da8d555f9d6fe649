"""The health address: whether the service lives and serves, for probes that have no certificate.

HTTP/1.1 and gRPC's own health protocol stand at one address. The first bytes tell them apart: what
begins as HTTP/2 does is passed on, byte by byte, to a gRPC server of health and nothing else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from starlette.responses import PlainTextResponse, Response

from authz_service.console.application import application_of
from authz_service.console.exchange import exchange
from authz_service.console.listener import Bounds, Connection, Listener, Place

SETTING = "AUTHZ_HEALTH_LISTEN"
BOUNDS = Bounds(connections=64, seconds=5.0)
HTTP2_SECONDS = 600.0
"""How long a connection that speaks HTTP/2 may last; clients connect again by themselves."""

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
"""How a client begins that knows that it speaks HTTP/2 (RFC 9113, section 3.4)."""
_LAST_SECONDS = 0.2
_CHUNK_BYTES = 16 << 10


class HealthAddress:
    """Serves ``/livez``, ``/readyz`` and gRPC health in plaintext. For one event loop.

    Attributes:
        port: Where, once started.
    """

    def __init__(self, address: str, *, is_ready: Callable[[], bool], grpc_path: str) -> None:
        """Serve at *address*, an IP address and a port.

        Args:
            address: Where.
            is_ready: Whether questions can be answered.
            grpc_path: The socket of the server that HTTP/2 is passed on to.
        """
        self._grpc_path = grpc_path
        self._application = application_of(
            {"/livez": lambda: _answer(yes=True), "/readyz": lambda: _answer(yes=is_ready())}
        )
        self._listener = Listener(Place(address, SETTING), self._attend, bounds=BOUNDS)
        self.port = 0

    @property
    def dropped(self) -> int:
        """How many connections were cut, because they took too long or to make room."""
        return self._listener.dropped

    async def start(self) -> None:
        """Serve.

        Raises:
            ConsoleAddressError: The address is taken or cannot be used.
        """
        self.port = await self._listener.start()

    async def close(self) -> None:
        """Stop serving."""
        await self._listener.close(_LAST_SECONDS)

    async def _attend(self, connection: Connection) -> None:
        """Speak what the peer speaks."""
        begun = await _beginning(connection.reader)
        if begun.startswith(_PREFACE):
            connection.may_last(HTTP2_SECONDS)
            await self._pass_on(connection, begun)
        elif begun:
            await exchange(connection, self._application, begun)

    async def _pass_on(self, connection: Connection, begun: bytes) -> None:
        """Pass bytes on in both directions until one side has ended."""
        reader, writer = await asyncio.open_unix_connection(self._grpc_path)
        writer.write(begun)
        pumps = (
            asyncio.create_task(_pump(connection.reader, writer)),
            asyncio.create_task(_pump(reader, connection.writer)),
        )
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            writer.transport.abort()
            await asyncio.gather(*pumps, return_exceptions=True)


def _answer(*, yes: bool) -> Response:
    """Say whether the service lives, which it does if it says so, or serves; no reasons."""
    return PlainTextResponse("SERVING\n" if yes else "NOT_SERVING\n", 200 if yes else 503)


async def _beginning(reader: asyncio.StreamReader) -> bytes:
    """Return the first bytes, as many as it takes to tell HTTP/2 from HTTP/1.1."""
    begun = b""
    while _PREFACE.startswith(begun) and begun != _PREFACE:
        more = await reader.read(_CHUNK_BYTES)
        if not more:
            break
        begun += more
    return begun


async def _pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    """Pass on what comes from *source*, no faster than *target* takes it."""
    while more := await source.read(_CHUNK_BYTES):
        target.write(more)
        await target.drain()

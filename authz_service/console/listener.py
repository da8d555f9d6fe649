"""Accepts connections: so many at once and each for so long; the oldest makes room for the newest.

What bounds them stands around what is spoken on them, TLS included. So a peer that sends a byte a
second, or nothing at all, costs one place for a few seconds and never the place of somebody else.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable
from typing import NamedTuple

import structlog

from authz_service.telemetry.seldom import Seldom

log = structlog.get_logger(__name__)

_BACKLOG = 1024
_BUFFER_BYTES = 1 << 14
_PAUSE_SECONDS = 0.1


class ConsoleAddressError(Exception):
    """The address cannot be served; the message names it and says why."""


class Place(NamedTuple):
    """Where is listened.

    Attributes:
        address: An IP address and a port; port 0 for a free one.
        setting: The setting that says so.
    """

    address: str
    setting: str


class Bounds(NamedTuple):
    """What a listener's connections may take.

    Attributes:
        connections: Most connections at once.
        seconds: How long each may last, from its first packet to its last.
    """

    connections: int
    seconds: float


class Connection:
    """One connection that was accepted; with TLS, after the handshake."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, limit: asyncio.Timeout
    ) -> None:
        """Read and write within *limit*."""
        self.reader = reader
        self.writer = writer
        self._limit = limit

    @property
    def client(self) -> tuple[str, int] | None:
        """The address and port of who connected; None where it has gone."""
        name = self.writer.get_extra_info("peername")
        return (str(name[0]), int(name[1])) if name else None

    @property
    def is_encrypted(self) -> bool:
        """Whether it is one with TLS."""
        return self.writer.get_extra_info("sslcontext") is not None

    def may_last(self, seconds: float) -> None:
        """Let it last for *seconds* from now on."""
        self._limit.reschedule(asyncio.get_running_loop().time() + seconds)


Serve = Callable[[Connection], Awaitable[None]]
"""Speaks on one connection; the listener closes it."""


class Listener:
    """Serves one address. For one event loop.

    Attributes:
        dropped: How many connections were cut, because they took too long or to make room.
    """

    def __init__(
        self,
        place: Place,
        serve: Serve,
        *,
        bounds: Bounds,
        tls: Callable[[], ssl.SSLContext | None] = lambda: None,
    ) -> None:
        """Serve at *place*; nothing is opened before `start`.

        Args:
            place: Where.
            serve: What is done with each connection.
            bounds: What they may take.
            tls: The context for a new connection; None for plaintext.
        """
        self._place = place
        self._serve = serve
        self._bounds = bounds
        self._tls = tls
        self._open: dict[asyncio.Task[None], socket.socket | None] = {}
        self._accepting: asyncio.Task[None] | None = None
        self._listening: socket.socket | None = None
        self._said = Seldom()
        self.dropped = 0

    async def start(self) -> int:
        """Listen; return the port.

        Raises:
            ConsoleAddressError: The address is taken or cannot be used.
        """
        address, setting = self._place
        try:
            self._listening = _bound(address)
        except OSError as error:
            why = f"{setting}={address} cannot be used: {error.strerror}"
            raise ConsoleAddressError(why) from error
        self._accepting = asyncio.create_task(self._accept(self._listening), name="accepting")
        return int(self._listening.getsockname()[1])

    async def close(self, grace_seconds: float = 1.0) -> None:
        """Accept no more; let the open connections end, for *grace_seconds*."""
        if self._accepting is None or self._listening is None:
            return
        self._accepting.cancel()
        await asyncio.wait({self._accepting})
        self._listening.close()
        if not self._open:
            return
        _, late = await asyncio.wait(self._open, timeout=grace_seconds)
        for attending in late:
            attending.cancel()
        if late:
            await asyncio.wait(late)

    async def _accept(self, listening: socket.socket) -> None:
        """Take every connection that comes, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                sock, _ = await loop.sock_accept(listening)
            except OSError as error:  # no descriptors left, or a peer that has gone
                if self._said.due("full") is not None:
                    log.warning("connection_not_accepted", why=error.strerror)
                await asyncio.sleep(_PAUSE_SECONDS)
                continue
            self._admit(sock)
            await asyncio.sleep(0)  # a flood takes turns with everything else

    def _admit(self, sock: socket.socket) -> None:
        """Attend to *sock*, in the place of the oldest where there is none left."""
        if len(self._open) >= self._bounds.connections:
            oldest = next(iter(self._open))
            self._forget(oldest)
            oldest.cancel()
            self._drop("no room")
        attending = asyncio.create_task(self._attend(sock))
        self._open[attending] = sock
        attending.add_done_callback(self._ended)

    async def _attend(self, sock: socket.socket) -> None:
        """Speak on *sock* for as long as it may last."""
        writer: asyncio.StreamWriter | None = None
        try:
            async with asyncio.timeout(self._bounds.seconds) as limit:
                reader, writer = await self._streams(sock)
                await self._serve(Connection(reader, writer, limit))
                writer.close()
                await writer.wait_closed()
        except TimeoutError:
            self._drop("too slow")
        except (OSError, EOFError):  # it has gone, or what it spoke was no TLS
            pass
        finally:
            if writer is not None:
                writer.transport.abort()

    async def _streams(
        self, sock: socket.socket
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Return what reads from and writes to *sock*, after the handshake where there is one."""
        loop, tls = asyncio.get_running_loop(), self._tls()
        reader = asyncio.StreamReader(limit=_BUFFER_BYTES)
        protocol = asyncio.StreamReaderProtocol(reader)
        self._open[_this_task()] = None  # from here on it is the transport's to close
        transport, _ = await loop.connect_accepted_socket(lambda: protocol, sock, ssl=tls)
        return reader, asyncio.StreamWriter(transport, protocol, reader, loop)

    def _forget(self, attending: asyncio.Task[None]) -> None:
        """Hold no place for *attending*; close its socket if it never came to that."""
        sock = self._open.pop(attending, None)
        if sock is not None:
            sock.close()

    def _ended(self, attending: asyncio.Task[None]) -> None:
        """Take note that a connection has ended, and why if nobody foresaw it."""
        self._forget(attending)
        error = None if attending.cancelled() else attending.exception()
        if error is not None:
            log.error("connection_failed", error_type=type(error).__name__, exc_info=error)

    def _drop(self, why: str) -> None:
        """Count a connection that was cut."""
        self.dropped += 1
        if self._said.due("dropped") is not None:
            log.warning(
                "connections_dropped", setting=self._place.setting, why=why, dropped=self.dropped
            )


def _this_task() -> asyncio.Task[None]:
    """Return the task that asks."""
    task = asyncio.current_task()
    if task is None:
        raise RuntimeError
    return task


def _bound(address: str) -> socket.socket:
    """Return a socket that listens at *address*."""
    host, _, port = address.rpartition(":")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.settimeout(0)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host.strip("[]"), int(port)))
        sock.listen(_BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock

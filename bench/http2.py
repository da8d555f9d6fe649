"""Just enough HTTP/2 (RFC 9113) to keep gRPC calls in flight on one connection."""

from __future__ import annotations

import socket
import ssl
import struct
from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

Address = tuple[str, int]


class Peer(NamedTuple):
    """Who is asked.

    Attributes:
        address: Where.
        tls: How, and with which certificate; None for plaintext.
    """

    address: Address
    tls: ssl.SSLContext | None = None


_TIMEOUT_SECONDS = 10
_CHUNK_BYTES = 1 << 18
_DATA, _HEADERS, _RST, _SETTINGS, _PING, _GOAWAY, _WINDOW = 0, 1, 3, 4, 6, 7, 8
_END_STREAM, _END_HEADERS, _ACK = 1, 4, 1
_BIG_WINDOW = (1 << 31) - 1 - 65535
_FRAME_HEAD_BYTES = 9
_MESSAGE_HEAD_BYTES = 5


class LoadError(Exception):
    """The server did not answer as a gRPC server does."""


class Question(NamedTuple):
    """What is asked, and what its check needs to know of it."""

    message: bytes
    known: object


@dataclass(slots=True)
class Waiting:
    """A call in flight."""

    asked_at: float
    question: Question
    received: bytearray = field(default_factory=bytearray)

    @property
    def answer(self) -> bytes | None:
        """The one message that came; None where none came, or not whole."""
        received = self.received
        if len(received) < _MESSAGE_HEAD_BYTES or received[0]:
            return None
        size = int.from_bytes(received[1:_MESSAGE_HEAD_BYTES])
        whole = size == len(received) - _MESSAGE_HEAD_BYTES
        return bytes(received[_MESSAGE_HEAD_BYTES:]) if whole else None


class Connection:
    """One HTTP/2 connection with calls in flight."""

    def __init__(self, peer: Peer, path: str) -> None:
        """Connect to *peer*, for calls of *path*."""
        address, tls = peer
        self.sock = socket.create_connection(address)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls is not None:
            self.sock = tls.wrap_socket(self.sock, server_hostname=address[0])
        self.waiting: dict[int, Waiting] = {}
        self._backlog: deque[Waiting] = deque()
        scheme = "http" if tls is None else "https"
        self._headers = _header_block(path, f"{address[0]}:{address[1]}", scheme)
        self._next_stream = 1
        self._window = 65535
        self._inbound = bytearray()
        self._outbound = bytearray()
        self._unacknowledged = 0
        settings = struct.pack(">HIHI", 4, _BIG_WINDOW, 2, 0)
        self.sock.sendall(
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
            + _frame(_SETTINGS, 0, 0, settings)
            + _frame(_WINDOW, 0, 0, struct.pack(">I", _BIG_WINDOW))
        )

    @property
    def idle(self) -> bool:
        """Whether no call is in flight."""
        return not self.waiting and not self._backlog

    def ask(self, question: Question, now: float) -> None:
        """Put one question on the way, as soon as the server's window has room for it."""
        self._backlog.append(Waiting(now, question))

    def flush(self) -> None:
        """Send what has gathered and finds room."""
        backlog = self._backlog
        while backlog:
            message = backlog[0].question.message
            size = len(message) + _MESSAGE_HEAD_BYTES
            if size > self._window:
                break
            self._window -= size
            stream, self._next_stream = self._next_stream, self._next_stream + 2
            self.waiting[stream] = backlog.popleft()
            self._outbound += _frame(_HEADERS, _END_HEADERS, stream, self._headers) + _frame(
                _DATA, _END_STREAM, stream, struct.pack(">BI", 0, len(message)) + message
            )
        if self._outbound:
            self.sock.sendall(self._outbound)
            self._outbound.clear()

    def receive(self) -> list[Waiting]:
        """Read what has come; return the calls that have ended."""
        if isinstance(self.sock, ssl.SSLSocket):
            self._inbound += _decrypted(self.sock)
        else:
            self._inbound += _received(self.sock)
        ended, offset, inbound = [], 0, self._inbound
        while len(inbound) - offset >= _FRAME_HEAD_BYTES:
            start = offset + _FRAME_HEAD_BYTES
            size = int.from_bytes(inbound[offset : offset + 3])
            if len(inbound) < start + size:
                break
            kind, flags = inbound[offset + 3], inbound[offset + 4]
            stream = int.from_bytes(inbound[offset + 5 : start]) & 0x7FFFFFFF
            offset = start + size
            done = self._take(kind, flags, stream, inbound[start:offset])
            if done is not None:
                ended.append(done)
        del inbound[:offset]
        self._credit()
        return ended

    def _take(self, kind: int, flags: int, stream: int, payload: bytearray) -> Waiting | None:
        """Take one frame; return the call that it ends, if it ends one."""
        if kind == _DATA:
            self.waiting[stream].received += payload
            self._unacknowledged += len(payload)
        elif kind == _GOAWAY:
            raise LoadError("the server sent GOAWAY")
        elif stream == 0:
            self._take_control(kind, flags, payload)
        ends = kind == _RST or (kind in (_DATA, _HEADERS) and flags & _END_STREAM)
        return self.waiting.pop(stream, None) if ends else None

    def _take_control(self, kind: int, flags: int, payload: bytearray) -> None:
        """Take a frame about the connection itself."""
        if kind == _WINDOW:
            self._window += int.from_bytes(payload)
        elif kind == _SETTINGS and not flags & _ACK:
            self._outbound += _frame(_SETTINGS, _ACK, 0, b"")
        elif kind == _PING and not flags & _ACK:
            self._outbound += _frame(_PING, _ACK, 0, bytes(payload))

    def _credit(self) -> None:
        """Give back the window that answers have used."""
        if self._unacknowledged > 1 << 20:
            self._outbound += _frame(_WINDOW, 0, 0, struct.pack(">I", self._unacknowledged))
            self._unacknowledged = 0


def _received(sock: socket.socket) -> bytes:
    """Return what has come over *sock*; waits for it.

    Raises:
        LoadError: The other side hung up.
    """
    chunk = sock.recv(_CHUNK_BYTES)
    if not chunk:
        raise LoadError("the server closed the connection")
    return chunk


def _decrypted(sock: ssl.SSLSocket) -> bytes:
    """Return all that has come over *sock*; nothing where that was no more than TLS's own.

    What stays within the socket's buffer would not be seen by a selector.

    Raises:
        LoadError: The other side hung up.
    """
    found = bytearray()
    sock.setblocking(False)  # noqa: FBT003  # the socket's own signature
    try:
        while True:
            found += _received(sock)
    except ssl.SSLWantReadError:
        return bytes(found)
    finally:
        sock.setblocking(True)  # noqa: FBT003  # the socket's own signature


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """Return one frame (RFC 9113, section 4.1)."""
    head = struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream)
    return head + payload


def _header_block(path: str, authority: str, scheme: str) -> bytes:
    """Return the headers of a call, as HPACK literals without indexing (RFC 7541, 6.2.2)."""
    headers = (
        (":method", "POST"),
        (":scheme", scheme),
        (":path", path),
        (":authority", authority),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
        ("grpc-timeout", f"{_TIMEOUT_SECONDS}S"),
    )
    return b"".join(
        b"\x00" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()
        for name, value in headers
    )

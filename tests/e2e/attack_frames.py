"""HTTP/2 by hand (RFC 9113, RFC 7541), for clients that do what no library lets them do."""

from __future__ import annotations

import contextlib
import re
import socket
import struct
import time
from collections import Counter
from collections.abc import Sequence

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST, SETTINGS, PING, GOAWAY, WINDOW, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
END_STREAM, END_HEADERS, ACK = 1, 4, 1
_INITIAL_WINDOW = 4
"""The setting SETTINGS_INITIAL_WINDOW_SIZE."""
_MOST = (1 << 31) - 1
_STATUS = re.compile(rb"grpc-status[\x01\x02](\d+)")
"""A status as grpc writes it where it is not remembered from an earlier one."""
CHECK = "/authz_service.api.v1.RecordingAccessService/CheckAccess"
BATCH = "/authz_service.api.v1.RecordingAccessService/BatchCheckAccess"
Headers = Sequence[tuple[str, str]]


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """Return one frame."""
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def message(content: bytes, *, announced: int | None = None, compressed: bool = False) -> bytes:
    """Return a gRPC message, which may announce another length than it has."""
    length = len(content) if announced is None else announced
    return struct.pack(">BI", compressed, length) + content


def header_block(path: str, more: Headers = ()) -> bytes:
    """Return the headers of a call, as literals that nobody remembers."""
    headers = (
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "attacked"),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
        *more,
    )
    return b"".join(
        b"\x00" + _text(name.encode()) + _text(value.encode()) for name, value in headers
    )


def remembered_header(name: str, value: str) -> bytes:
    """Return a header that goes into the table, to be named by number afterwards."""
    return b"\x40" + _text(name.encode()) + _text(value.encode())


def _text(text: bytes) -> bytes:
    """Return a string with its length before it (RFC 7541, sections 5.1 and 5.2)."""
    length = len(text)
    if length < 127:
        return bytes([length]) + text
    rest, head = length - 127, b"\x7f"
    while rest >= 128:
        head += bytes([rest % 128 + 128])
        rest //= 128
    return head + bytes([rest]) + text


class Line:
    """One connection that says whatever it is told to, and throws away what it hears.

    Attributes:
        is_open: Whether the server has not closed it, as far as is known.
        ended: How many streams the server has ended, in order or by a reset.
        resets: How many of them by a reset.
        statuses: How often each status was read in plain text at the end of a stream.
    """

    def __init__(
        self, address: str, *, greet: bool = True, window: int = _MOST, receive_bytes: int = 0
    ) -> None:
        host, _, port = address.rpartition(":")
        self.sock = socket.socket()
        if receive_bytes:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self.sock.settimeout(10)
        self.sock.connect((host, int(port)))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.is_open, self.ended, self.resets = True, 0, 0
        self.statuses: Counter[int] = Counter()
        self._stream, self._inbound = 1, b""
        self._first_room = 65535
        self._room: dict[int, int] = {0: 65535}
        if greet:
            settings = struct.pack(">HI", _INITIAL_WINDOW, window)
            credit = frame(WINDOW, 0, 0, struct.pack(">I", _MOST - 65535))
            self.say(PREFACE + frame(SETTINGS, 0, 0, settings) + credit)

    def next_stream(self) -> int:
        """Return the id of a new stream."""
        self._stream += 2
        return self._stream - 2

    def room(self, stream: int) -> int:
        """Return how much the server takes on *stream* now."""
        return min(self._room[0], self._room.get(stream, self._first_room))

    def say(self, content: bytes, patience: float = 10) -> bool:
        """Send; whether the server took it in time."""
        try:
            self.sock.settimeout(patience)
            self.sock.sendall(content)
        except TimeoutError:
            return False
        except OSError:
            self.is_open = False
        return self.is_open

    def say_data(self, stream: int, content: bytes, *, is_last: bool = True) -> bool:
        """Send *content* as the server makes room; whether it did within a second."""
        at = 0
        while at < len(content):
            size = min(self.room(stream), 16384, len(content) - at)
            if size <= 0:
                if not self.hear(1.0):
                    return False
                continue
            flags = END_STREAM if is_last and at + size == len(content) else 0
            if not self.say(frame(DATA, flags, stream, content[at : at + size])):
                return False
            self._room[0] -= size
            self._room[stream] = self._room.get(stream, self._first_room) - size
            at += size
        return True

    def hear(self, patience: float = 0.0) -> bool:
        """Take what has come, after waiting for it for so long; whether anything has."""
        try:
            self.sock.settimeout(patience or 0.000001)
            content = self.sock.recv(1 << 18)
        except (TimeoutError, BlockingIOError):
            return False
        except OSError:
            content = b""
        if not content:
            self.is_open = False
        self._take(content)
        return bool(content)

    def hear_out(self, patience: float, most: float = 5.0) -> None:
        """Take all that comes until the line is closed, or silent for so long."""
        end = time.monotonic() + most
        while self.is_open and self.hear(patience) and time.monotonic() < end:
            pass

    def close(self) -> None:
        """Hang up."""
        with contextlib.suppress(OSError):
            self.sock.close()

    def _take(self, content: bytes) -> None:
        """Take the frames that are whole."""
        inbound, at = self._inbound + content, 0
        while at + 9 <= len(inbound):
            size, kind, flags = (
                int.from_bytes(inbound[at : at + 3]),
                inbound[at + 3],
                inbound[at + 4],
            )
            if at + 9 + size > len(inbound):
                break
            stream = int.from_bytes(inbound[at + 5 : at + 9])
            self._take_frame(kind, flags, stream, inbound[at + 9 : at + 9 + size])
            at += 9 + size
        self._inbound = inbound[at:]

    def _take_frame(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        """Take one frame."""
        if kind == WINDOW:
            before = self._room.get(stream, self._first_room)
            self._room[stream] = before + int.from_bytes(payload)
        elif kind == SETTINGS and not flags & ACK:
            for at in range(0, len(payload), 6):
                if int.from_bytes(payload[at : at + 2]) == _INITIAL_WINDOW:
                    self._first_room = int.from_bytes(payload[at + 2 : at + 6])
            self.say(frame(SETTINGS, ACK, 0))
        elif kind == RST or (kind in {HEADERS, DATA} and flags & END_STREAM):
            self.ended += 1
            self.resets += kind == RST
            self._room.pop(stream, None)
            for status in _STATUS.findall(payload):
                self.statuses[int(status)] += 1

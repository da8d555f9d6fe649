"""One request and one answer of HTTP/1.1 on a connection, which ends with it: ASGI's server side.

The one module that knows h11. A connection is not kept: a scraper comes every few seconds, and what
is not kept cannot be held. No body of a request is read. An answer is sent once it is whole, and
none of it where its application fails. There is no lifespan: who serves an address opens and closes
what its application needs.
"""

from __future__ import annotations

import asyncio
from email.utils import formatdate
from http import HTTPStatus
from urllib.parse import unquote

import h11
from starlette.types import ASGIApp, Message, Scope

from authz_service.console.listener import Connection

MAX_HEAD_BYTES = 8 << 10
"""Longest request line and headers, in bytes."""

_CHUNK_BYTES = 4 << 10
_UNLESS_SAID = ((b"Cache-Control", b"no-store"), (b"X-Content-Type-Options", b"nosniff"))
_NOT_THEIRS = {b"connection", b"transfer-encoding"}
_WITHOUT_LENGTH = {204, 304}

Headers = list[tuple[bytes, bytes]]


async def exchange(connection: Connection, application: ASGIApp, begun: bytes = b"") -> None:
    """Have *application* answer the one request of *connection*, of which *begun* was read before.

    Raises:
        RuntimeError: The application ended before its answer did.
    """
    parser = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD_BYTES)
    is_head = False
    try:
        request = await _head(connection, parser, begun)
    except h11.RemoteProtocolError as malformed:
        answer = _Answer(malformed.error_status_hint)
    else:
        if request is None:
            return
        answer, is_head = _Answer(), request.method == b"HEAD"
        await application(_scope(request, connection), answer.receive, answer.send)
        if not answer.is_whole:
            raise RuntimeError("an application has ended without an answer")
    connection.writer.write(_encoded(parser, answer, with_body=not is_head))


class _Answer:
    """What an application says, gathered until it is whole.

    Attributes:
        status: The status code; 0 before there is one.
        headers: The headers, as they were said.
        body: As much of it as was said.
    """

    def __init__(self, status: int = 0) -> None:
        """Begin with nothing said but *status*."""
        self.status = status
        self.headers: Headers = []
        self.body = bytearray()
        self._is_asked = False
        self._whole = asyncio.Event()

    @property
    def is_whole(self) -> bool:
        """Whether nothing more can come."""
        return self._whole.is_set()

    async def receive(self) -> Message:
        """Give a body without a byte; then nothing until all is said."""
        if not self._is_asked:
            self._is_asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self._whole.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """Take the next part."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = list(message.get("headers", ()))
        elif message["type"] == "http.response.body" and not self.is_whole:
            self.body += message.get("body", b"")
            if not message.get("more_body", False):
                self._whole.set()


async def _head(connection: Connection, parser: h11.Connection, begun: bytes) -> h11.Request | None:
    """Return the request without its body; None where the peer has gone.

    Raises:
        h11.RemoteProtocolError: It is malformed or too long.
    """
    if begun:
        parser.receive_data(begun)
    while (event := parser.next_event()) is h11.NEED_DATA:
        parser.receive_data(await connection.reader.read(_CHUNK_BYTES))
    return event if isinstance(event, h11.Request) else None


def _scope(request: h11.Request, connection: Connection) -> Scope:
    """Return what is asked for, as ASGI's specification of HTTP has it."""
    path, _, query = request.target.partition(b"?")
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": request.http_version.decode("ascii"),
        "method": request.method.decode("ascii"),
        "scheme": "https" if connection.is_encrypted else "http",
        "path": unquote(path.decode("ascii")),
        "raw_path": path,
        "query_string": query,
        "root_path": "",
        "headers": list(request.headers),
        "client": connection.client,
        "server": None,
    }


def _encoded(parser: h11.Connection, answer: _Answer, *, with_body: bool) -> bytes:
    """Return *answer* as bytes.

    Raises:
        h11.LocalProtocolError: Its body is not as long as its headers say.
    """
    response = h11.Response(
        status_code=answer.status,
        reason=HTTPStatus(answer.status).phrase,
        headers=_headers(answer),
    )
    sent = [parser.send(response)]
    if answer.body and with_body:
        sent.append(parser.send(h11.Data(data=bytes(answer.body))))
    sent.append(parser.send(h11.EndOfMessage()))
    return b"".join(part for part in sent if part)


def _headers(answer: _Answer) -> Headers:
    """Return the headers of *answer*, with those that it leaves to its server."""
    theirs = [(name, value) for name, value in answer.headers if name.lower() not in _NOT_THEIRS]
    said = {name.lower() for name, _ in theirs}
    length = (b"Content-Length", b"%d" % len(answer.body))
    ours = [] if answer.status in _WITHOUT_LENGTH else [length]
    return [
        (b"Date", formatdate(usegmt=True).encode()),
        *theirs,
        *(header for header in (*ours, *_UNLESS_SAID) if header[0].lower() not in said),
        (b"Connection", b"close"),
    ]

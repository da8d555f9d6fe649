"""One request and one answer of HTTP/1.1 on a connection, which ends with it.

The one module that knows h11. A connection is not kept: a scraper comes every few seconds, and what
is not kept cannot be held.
"""

from __future__ import annotations

from collections.abc import Callable
from email.utils import formatdate
from http import HTTPStatus
from typing import NamedTuple

import h11

from authz_service.console.listener import Connection

MAX_HEAD_BYTES = 8 << 10
"""Longest request line and headers, in bytes."""
TEXT = "text/plain; charset=utf-8"

_CHUNK_BYTES = 4 << 10
_ALWAYS = (
    ("Cache-Control", "no-store"),
    ("X-Content-Type-Options", "nosniff"),
    ("Connection", "close"),
)


class Asked(NamedTuple):
    """A request.

    Attributes:
        method: As it was sent, in its case.
        path: The target up to a question mark, in the bytes that were sent.
        authorization: Every Authorization header. Never to be logged.
        peer: The address that it came from.
    """

    method: str
    path: str
    authorization: tuple[bytes, ...]
    peer: str


class Answer(NamedTuple):
    """An answer.

    Attributes:
        status: The status code.
        body: What is sent with it.
        content_type: What that is.
        headers: More headers.
    """

    status: int
    body: bytes = b""
    content_type: str = TEXT
    headers: tuple[tuple[str, str], ...] = ()


async def exchange(
    connection: Connection, respond: Callable[[Asked], Answer], begun: bytes = b""
) -> None:
    """Answer the one request of *connection*, of which *begun* was read before."""
    parser = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD_BYTES)
    method = ""
    try:
        request = await _head(connection, parser, begun)
        if request is None:
            return
        method = request.method.decode("ascii")
        answer = respond(_asked(request, connection.peer))
    except h11.RemoteProtocolError as malformed:
        answer = Answer(malformed.error_status_hint)
    connection.writer.write(_encoded(parser, answer, with_body=method != "HEAD"))


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


def _asked(request: h11.Request, peer: str) -> Asked:
    """Return what is asked for."""
    return Asked(
        request.method.decode("ascii"),
        request.target.partition(b"?")[0].decode("ascii"),
        tuple(value for name, value in request.headers if name == b"authorization"),
        peer,
    )


def _encoded(parser: h11.Connection, answer: Answer, *, with_body: bool) -> bytes:
    """Return *answer* as bytes."""
    content = [("Content-Type", answer.content_type)] if answer.body else []
    response = h11.Response(
        status_code=answer.status,
        reason=HTTPStatus(answer.status).phrase,
        headers=[
            ("Date", formatdate(usegmt=True)),
            *content,
            ("Content-Length", str(len(answer.body))),
            *_ALWAYS,
            *answer.headers,
        ],
    )
    sent = [parser.send(response)]
    if answer.body and with_body:
        sent.append(parser.send(h11.Data(data=answer.body)))
    return b"".join(part for part in sent if part)

"""What an application hears of a request, and what of its answer is sent."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import structlog
from starlette.responses import StreamingResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from authz_service.console.exchange import exchange
from authz_service.console.listener import Bounds, Listener, Place

START: dict[str, Any] = {"type": "http.response.start", "status": 200}
BODY: dict[str, Any] = {"type": "http.response.body", "body": b"page"}


async def said(
    application: ASGIApp, request: bytes = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
) -> bytes:
    """Send one request; return all that comes back."""
    place = Place("127.0.0.1:0", "AUTHZ_TEST_LISTEN")
    listener = Listener(place, lambda each: exchange(each, application), bounds=Bounds(4, 5))
    reader, writer = await asyncio.open_connection("127.0.0.1", await listener.start())
    writer.write(request)
    try:
        return await asyncio.wait_for(reader.read(), 5)
    finally:
        writer.close()
        await listener.close()


def saying(*messages: dict[str, Any]) -> ASGIApp:
    """Return an application that says just that."""

    async def application(_scope: Scope, _receive: Receive, send: Send) -> None:
        for message in messages:
            await send(message)

    return application


async def test_an_application_is_told_what_was_asked_for_and_by_whom() -> None:
    scopes: list[Scope] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        scopes.append(scope)
        await saying(START, BODY)(scope, receive, send)

    await said(
        application, b"HEAD /a%20b/%C3%BC?x=%20y HTTP/1.1\r\nHOST: z\r\nA: 1\r\na: 2\r\n\r\n"
    )

    [scope] = scopes
    assert scope["type"] == "http"
    assert (scope["method"], scope["path"], scope["raw_path"]) == (
        "HEAD",
        "/a b/ü",
        b"/a%20b/%C3%BC",
    )
    assert (scope["query_string"], scope["scheme"]) == (b"x=%20y", "http")
    assert scope["headers"] == [(b"host", b"z"), (b"a", b"1"), (b"a", b"2")]
    assert scope["client"][0] == "127.0.0.1"


async def test_no_body_of_a_request_is_read() -> None:
    heard: list[Any] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        heard.append(await receive())
        await saying(START, BODY)(scope, receive, send)
        heard.append(await receive())

    request = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n" + b"x" * 100
    answer = await said(application, request)

    assert answer.endswith(b"\r\n\r\npage")
    assert heard == [
        {"type": "http.request", "body": b"", "more_body": False},
        {"type": "http.disconnect"},
    ]


async def test_an_answer_in_parts_is_one_with_its_length() -> None:
    answer = await said(StreamingResponse(iter(["one ", "two"]), 201))

    assert answer.startswith(b"HTTP/1.1 201 Created\r\n")
    assert b"\r\nContent-Length: 7\r\n" in answer
    assert answer.endswith(b"\r\n\r\none two")


async def test_what_an_answer_says_of_keeping_it_counts_and_of_its_connection_does_not() -> None:
    headers = [(b"cache-control", b"max-age=60"), (b"connection", b"keep-alive")]

    answer = await said(saying({**START, "headers": headers}, BODY))

    assert b"cache-control: max-age=60\r\n" in answer
    assert b"no-store" not in answer
    assert b"Connection: close\r\n" in answer
    assert b"keep-alive" not in answer


async def test_an_answer_that_has_no_body_has_no_length() -> None:
    answer = await said(saying({**START, "status": 304}, {**BODY, "body": b""}))

    assert answer.startswith(b"HTTP/1.1 304 ")
    assert b"length" not in answer.lower()


@pytest.mark.parametrize(
    "messages",
    [
        pytest.param([], id="nothing"),
        pytest.param([START], id="no-body"),
        pytest.param([START, {**BODY, "more_body": True}], id="half-a-body"),
        pytest.param([{**START, "headers": [(b"content-length", b"3")]}, BODY], id="other-length"),
    ],
)
async def test_of_an_answer_that_is_not_whole_nothing_is_sent(
    messages: list[dict[str, Any]],
) -> None:
    with structlog.testing.capture_logs() as logs:
        assert await said(saying(*messages)) == b""

    assert [line["event"] for line in logs] == ["connection_failed"]

"""The HTTP edge: few pages, one request a connection, and nothing for who shows no token."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog

from authz_service.console.guard import Guard, GuardFiles
from authz_service.console.http import Console
from authz_service.console.listener import ConsoleAddressError

TOKEN = "the-right-token-" + "a" * 30
OTHER = "another-token-" + "b" * 30


class Site:
    """A console on a free port."""

    def __init__(self, port: int, console: Console) -> None:
        self.port = port
        self.console = console

    async def said(self, request: bytes) -> bytes:
        """Send *request*; return all that comes back."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(request)
        try:
            return await asyncio.wait_for(reader.read(), 5)
        finally:
            writer.close()

    async def get(self, path: str, *headers: str, method: str = "GET") -> Any:
        """Get a page: status, headers by name in lower case, body."""
        lines = (f"{method} {path} HTTP/1.1", "Host: x", *headers, "", "")
        head, _, body = (await self.said("\r\n".join(lines).encode())).partition(b"\r\n\r\n")
        status, *fields = head.decode().split("\r\n")
        named = dict(field.split(": ", 1) for field in fields)
        return int(status.split()[1]), {name.lower(): named[name] for name in named}, body


@asynccontextmanager
async def site(
    reasons: dict[str, str] | None = None,
    token_file: Path | None = None,
    metrics: Callable[[], bytes] = lambda: b"up 1\n",
    **options: Any,
) -> AsyncIterator[Site]:
    """Serve a console; with a token where there is a file for it."""
    address, why = "127.0.0.1:0", reasons or {}
    console = Console(
        address,
        metrics=metrics,
        content_type="text/plain; version=0.0.4; charset=utf-8",
        health=lambda: why,
        guard=Guard(address, GuardFiles(token_file)),
        **options,
    )
    port = await console.start()
    try:
        yield Site(port, console)
    finally:
        await console.close()


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    """A file with the right token."""
    path = tmp_path / "token"
    path.touch(mode=0o600)
    path.write_text(f"{TOKEN}\n")
    return path


async def test_metrics_and_health_are_served_and_nothing_else() -> None:
    reasons: dict[str, str] = {"policy": "x"}
    async with site(reasons) as at:
        unhealthy = await at.get("/healthz")
        del reasons["policy"]
        healthy, metrics = await at.get("/healthz"), await at.get("/metrics?name=up")
        missing = [await at.get(path) for path in ("/docs", "/", "/metrics/", "/Metrics", "//")]
        posted = [
            await at.get(path, method=method)
            for path in ("/metrics", "/nothing")
            for method in ("POST", "DELETE", "OPTIONS", "TRACE", "get", "CONNECT")
        ]

    assert (metrics[0], metrics[2]) == (200, b"up 1\n")
    assert metrics[1]["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert (healthy[0], json.loads(healthy[2])) == (
        200,
        {"status": "SERVING", "reasons": {}, "http": {"refused": {"token": "", "certificate": ""}}},
    )
    assert healthy[1]["content-type"] == "application/json"
    assert unhealthy[0] == 503
    assert json.loads(unhealthy[2]) == {
        "status": "NOT_SERVING",
        "reasons": {"policy": "x"},
        "http": {"refused": {"token": "", "certificate": ""}},
    }
    assert {(status, body) for status, _, body in missing} == {(404, b"")}
    assert {(status, found["allow"], body) for status, found, body in posted} == {
        (405, "GET, HEAD", b"")
    }


async def test_more_pages_are_json() -> None:
    pages = {"/workers": lambda: {"workers": [1]}}
    async with site(pages=pages, details=lambda: {"shipping": "ü"}, serving=lambda: False) as at:
        page, health = await at.get("/workers"), await at.get("/healthz")

    assert (page[0], json.loads(page[2])) == (200, {"workers": [1]})
    assert (health[0], json.loads(health[2])["shipping"]) == (503, "ü")


async def test_a_head_is_a_page_without_its_body() -> None:
    async with site() as at:
        status, headers, body = await at.get("/metrics", method="HEAD")

    assert (status, headers["content-length"], body) == (200, "5", b"")


@pytest.mark.parametrize(
    ("path", "method"),
    [("/metrics", "GET"), ("/nothing", "GET"), ("/metrics", "PUT"), ("/healthz", "HEAD")],
)
async def test_no_answer_is_kept_or_guessed_at(path: str, method: str) -> None:
    async with site() as at:
        _, headers, _ = await at.get(path, method=method)

    assert headers["cache-control"] == "no-store"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["connection"] == "close"
    assert re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", headers["date"])
    assert "server" not in headers


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        pytest.param(b"GET /metrics HTTP/1.1\r\n\r\n", 400, id="no-host"),
        pytest.param(b"GET /metrics\r\n\r\n", 400, id="no-version"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\r\n\r\n", 400, id="tls"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n", 400, id="no-colon"),
        pytest.param(b"GET /\x00 HTTP/1.1\r\nHost: x\r\n\r\n", 400, id="null"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\na: " + b"b" * 9000, 431, id="endless-header"),
        pytest.param(b"GET /" + b"a" * 9000, 431, id="endless-path"),
        pytest.param(
            b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            400,
            id="two-lengths",
        ),
    ],
)
async def test_what_is_no_request_is_refused_in_few_words(request_: bytes, status: int) -> None:
    async with site() as at:
        answer = await at.said(request_)

    assert answer.startswith(f"HTTP/1.1 {status} ".encode())
    assert answer.endswith(b"\r\n\r\n")
    assert b"Content-Length: 0" in answer


async def test_a_second_request_on_a_connection_is_not_answered() -> None:
    one = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"
    async with site() as at:
        answer = await at.said(one + one)

    assert answer.count(b"HTTP/1.1 ") == 1


async def test_a_request_in_single_bytes_is_answered() -> None:
    async with site() as at:
        reader, writer = await asyncio.open_connection("127.0.0.1", at.port)
        for byte in b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n":
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0)
        answer = await asyncio.wait_for(reader.read(), 5)
        writer.close()

    assert answer.endswith(b"up 1\n")


async def test_two_hundred_silent_connections_keep_no_scraper_out() -> None:
    async with site() as at:
        silent = [await asyncio.open_connection("127.0.0.1", at.port) for _ in range(200)]
        for _, writer in silent:
            writer.write(b"G")

        scraped = await asyncio.wait_for(at.get("/metrics"), 1)

        assert scraped[0] == 200
        assert at.console.dropped >= 72
        for _, writer in silent:
            writer.close()


async def test_a_page_that_cannot_be_made_ends_its_connection_alone() -> None:
    def broken() -> bytes:
        raise LookupError

    with structlog.testing.capture_logs() as logs:
        async with site(metrics=broken) as at:
            assert await at.said(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n") == b""
            assert (await at.get("/healthz"))[0] == 200

    assert [line["event"] for line in logs] == ["connection_failed"]


async def test_without_a_token_every_path_says_the_same(token_file: Path) -> None:
    paths, methods = ("/metrics", "/healthz", "/workers", "/nothing"), ("GET", "HEAD", "POST")
    async with site(token_file=token_file) as at:
        answers = [await at.get(path, method=method) for path in paths for method in methods]

    for _, headers, _ in answers:
        del headers["date"]
    assert answers == [
        (
            401,
            {
                "content-length": "0",
                "cache-control": "no-store",
                "x-content-type-options": "nosniff",
                "connection": "close",
                "www-authenticate": 'Bearer realm="authz"',
            },
            b"",
        )
    ] * len(answers)


@pytest.mark.parametrize(
    "shown",
    [
        pytest.param([f"Authorization: Bearer {OTHER}"], id="another"),
        pytest.param([f"Authorization: Bearer {TOKEN}"] * 2, id="twice"),
        pytest.param([f"Authorization: Bearer {TOKEN}x"], id="nearly"),
        pytest.param([f"Authorization: Basic {TOKEN}"], id="basic"),
        pytest.param(["Authorization:"], id="empty"),
    ],
)
async def test_with_what_is_no_valid_token_it_says_that(token_file: Path, shown: list[str]) -> None:
    async with site(token_file=token_file) as at:
        status, headers, body = await at.get("/metrics", *shown)

    assert (status, body) == (401, b"")
    assert headers["www-authenticate"] == 'Bearer realm="authz", error="invalid_token"'


async def test_with_the_token_it_is_as_ever(token_file: Path) -> None:
    shown = f"authorization: Bearer {TOKEN}"
    async with site(token_file=token_file) as at:
        found = [(await at.get(path, shown))[0] for path in ("/metrics", "/healthz", "/nothing")]
        posted = await at.get("/metrics", shown, method="POST")

    assert (found, posted[0]) == ([200, 200, 404], 405)


async def test_a_token_in_the_address_is_no_token(token_file: Path) -> None:
    """It would stand in the logs of whatever is in between (RFC 6750, section 5.3)."""
    async with site(token_file=token_file) as at:
        assert (await at.get(f"/metrics?access_token={TOKEN}"))[0] == 401


async def test_refusals_are_counted_each_and_logged_once_without_the_token(
    token_file: Path,
) -> None:
    with structlog.testing.capture_logs() as logs:
        async with site(token_file=token_file) as at:
            for _ in range(5):
                await at.get("/metrics", f"Authorization: Bearer {OTHER}")
            refused = at.console.refused

    assert refused == 5
    first, last = logs
    assert (first["event"], first["peer"]) == ("http_refused", "127.0.0.1")
    assert (last["event"], last["refused"], last["since_last"]) == ("http_refused_unsaid", 5, 4)
    assert OTHER not in repr(logs)
    assert TOKEN not in repr(logs)


async def test_a_port_that_is_taken_is_an_error() -> None:
    async with site() as at:
        second = Console(
            f"127.0.0.1:{at.port}", metrics=lambda: b"", content_type="x", health=dict[str, str]
        )

        with pytest.raises(ConsoleAddressError, match=r"AUTHZ_HTTP_LISTEN=.* in use"):
            await second.start()

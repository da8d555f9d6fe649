"""The HTTP edge: two pages, and a port that is nobody else's."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request

import pytest

from authz_service.console.http import Console, ConsoleAddressError


def fetched(port: int, path: str, method: str = "GET") -> tuple[int, str, str]:
    """Get a page: status, content type, text."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", method=method)
    try:
        with urllib.request.urlopen(request, timeout=5) as response:  # noqa: S310  # our own port
            return response.status, response.headers["content-type"], response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.headers["content-type"], error.read().decode()


def console_of(reasons: dict[str, str]) -> Console:
    """Return a console on a free port."""
    return Console(
        "127.0.0.1:0",
        metrics=lambda: b"up 1\n",
        content_type="text/plain; version=0.0.4; charset=utf-8",
        health=lambda: reasons,
    )


async def test_metrics_and_health_are_served_and_nothing_else() -> None:
    reasons: dict[str, str] = {}
    console = console_of(reasons)
    port = await console.start()

    metrics = await asyncio.to_thread(fetched, port, "/metrics")
    healthy = await asyncio.to_thread(fetched, port, "/healthz")
    reasons["journal"] = "it cannot write"
    unhealthy = await asyncio.to_thread(fetched, port, "/healthz")
    missing = await asyncio.to_thread(fetched, port, "/docs")
    posted = await asyncio.to_thread(fetched, port, "/metrics", "POST")
    await console.close()

    assert metrics == (200, "text/plain; version=0.0.4; charset=utf-8", "up 1\n")
    assert (healthy[0], json.loads(healthy[2])) == (200, {"status": "SERVING", "reasons": {}})
    assert unhealthy[0] == 503
    assert json.loads(unhealthy[2])["reasons"] == {"journal": "it cannot write"}
    assert (missing[0], posted[0]) == (404, 405)


async def test_a_port_that_is_taken_is_an_error() -> None:
    first = console_of({})
    port = await first.start()
    second = Console(
        f"127.0.0.1:{port}", metrics=lambda: b"", content_type="x", health=dict[str, str]
    )

    with pytest.raises(ConsoleAddressError, match="in use"):
        await second.start()

    await first.close()

"""A scraper of the HTTP address and a probe of the health address, as other programs are."""

from __future__ import annotations

import socket
import ssl
import urllib.error
import urllib.request
from pathlib import Path
from typing import NamedTuple

OLD, NEW = "old-token-" + "a" * 30, "new-token-" + "b" * 30


class Page(NamedTuple):
    """What came back; status 0 where nothing did."""

    status: int
    text: str = ""
    challenge: str = ""


def fetched(
    url: str, token: str = "", context: ssl.SSLContext | None = None, seconds: float = 5
) -> Page:
    """Get a page."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    request = urllib.request.Request(url, headers=headers)  # noqa: S310  # our own port
    try:
        with urllib.request.urlopen(request, timeout=seconds, context=context) as page:  # noqa: S310  # our own port
            return Page(page.status, page.read().decode())
    except urllib.error.HTTPError as error:
        challenge = error.headers.get("WWW-Authenticate", "")
        return Page(error.code, error.read().decode(), challenge)
    except OSError:
        return Page(0)


def free_port() -> int:
    """Return a port at which nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def put_tokens(path: Path, *tokens: str) -> Path:
    """Have the service accept *tokens*."""
    new = path.with_name("new")
    new.touch(mode=0o600)
    new.write_text("".join(f"{token}\n" for token in tokens))
    return new.replace(path)


def shown_serial(port: int, context: ssl.SSLContext) -> int:
    """Return the serial number of the certificate that is shown at *port*."""
    with (
        socket.create_connection(("127.0.0.1", port), timeout=5) as sock,
        context.wrap_socket(sock, server_hostname="localhost") as tls,
    ):
        shown = tls.getpeercert() or {}
        return int(str(shown["serialNumber"]), 16)

"""The port that workers share: reserved by the parent for its whole life, served by the workers.

The parent's socket is bound and never listens, so it gets no connection; while it is there the port
cannot be lost, even in a moment in which no worker listens.
"""

from __future__ import annotations

import contextlib
import socket

from authz_service.server.listen import ListenError


def reserved_port(address: str) -> socket.socket:
    """Return a socket that reserves the port of *address*, ``host:port``; 0 becomes a free one.

    Raises:
        ListenError: The port is taken, by another service of this kind as well.
    """
    text, _, port = address.rpartition(":")
    host, number = text.strip("[]"), int(port)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        if number:
            with socket.socket(family, socket.SOCK_STREAM) as alone:
                alone.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                alone.bind((host, number))
        return _bound(family, host, number)
    except OSError:
        raise ListenError(
            f"AUTHZ_LISTEN={address} is taken or cannot be used; choose another port"
        ) from None


def _bound(family: socket.AddressFamily, host: str, number: int) -> socket.socket:
    """Return a socket bound to be shared.

    With SO_REUSEADDR it would let a second service bind while no worker listens. Without it a
    connection that lingers from a service of one process stands in the way, for a minute; nobody
    holds the port then, so that is the second attempt.
    """
    sock = socket.socket(family, socket.SOCK_STREAM)
    with contextlib.ExitStack() as undo:
        undo.callback(sock.close)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        try:
            sock.bind((host, number))
        except OSError:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((host, number))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
        undo.pop_all()
    return sock

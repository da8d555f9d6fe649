"""Where and how gRPC is served: with certificates anywhere, in plaintext on loopback only."""

from __future__ import annotations

import ipaddress
from typing import Any

import grpc

MAX_MESSAGE_BYTES = 4 << 20
"""Largest message, in bytes; a batch of a thousand takes about a quarter of a megabyte."""
MAX_METADATA_BYTES = 16 << 10
"""Largest metadata of a call, in bytes."""
MAX_STREAMS = 100
"""Most calls at once on one connection, those that were taken back and are not done with included:
so many wait before somebody else's at most, however fast a client asks and takes back."""
MAX_WAITING = 4000
"""Most calls that have arrived and that nobody has looked at yet; beyond twice as many all are
refused, and in between by chance, by gRPC itself."""
WINDOW_BYTES = 64 << 10
"""How much of a request is taken before anybody reads it; by default it would be a whole message,
and a thousand calls of which nothing is read could hold four gigabytes."""

MAX_CONNECTION_AGE_SECONDS = 600
"""After which a client is told to connect anew, which it does without failing a call. Certificates
that are replaced at half of their life, as SPIFFE's are, never end on a connection."""
CONNECTION_GRACE_SECONDS = 330
"""How long calls have to end afterwards: longer than a watch lasts, so that none is cut off."""

OPTIONS: tuple[tuple[str, Any], ...] = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_metadata_size", MAX_METADATA_BYTES),
    ("grpc.absolute_max_metadata_size", MAX_METADATA_BYTES),
    ("grpc.max_concurrent_streams", MAX_STREAMS),
    ("grpc.server.max_pending_requests", MAX_WAITING),
    ("grpc.server.max_pending_requests_hard_limit", 2 * MAX_WAITING),
    ("grpc.http2.lookahead_bytes", WINDOW_BYTES),
    ("grpc.http2.bdp_probe", 0),  # it would open the window again
    ("grpc.server_handshake_timeout_ms", 5_000),
    ("grpc.http2.settings_timeout", 5_000),
    ("grpc.max_connection_idle_ms", 300_000),
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.max_connection_age_ms", MAX_CONNECTION_AGE_SECONDS * 1000),
    ("grpc.max_connection_age_grace_ms", CONNECTION_GRACE_SECONDS * 1000),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
)


def options(*, shared_port: bool, connections: int) -> tuple[tuple[str, Any], ...]:
    """Return the options of a server that takes so many *connections*.

    Off a shared port, a second service on it fails loudly.
    """
    return (
        *OPTIONS,
        ("grpc.so_reuseport", int(shared_port)),
        ("grpc.max_allowed_incoming_connections", connections),
    )


class ListenError(Exception):
    """The service cannot be served there; the message says why and what to do."""


def require_servable(listen: str, *, with_tls: bool, insecure_loopback: bool) -> None:
    """Refuse an address at which no caller could be told from any other.

    Raises:
        ListenError: Neither certificates nor plaintext were asked for, or both, or others can
            reach the address in plaintext.
    """
    if with_tls and insecure_loopback:
        raise ListenError(
            "AUTHZ_INSECURE_LOOPBACK and AUTHZ_TLS_CERT are both set; unset the first to serve "
            "callers with certificates, the second for a trial on this machine"
        )
    if not with_tls and not insecure_loopback:
        raise ListenError(
            "no caller can be identified: set AUTHZ_TLS_CERT, AUTHZ_TLS_KEY and AUTHZ_CLIENT_CA; "
            "or set AUTHZ_INSECURE_LOOPBACK=1 to serve plaintext on a loopback address, for trials "
            "on one machine"
        )
    if not with_tls:
        require_loopback(listen, "AUTHZ_LISTEN")


def require_loopback(address: str, setting: str) -> None:
    """Refuse an address that others can reach.

    Raises:
        ListenError: *address* is not a loopback address.
    """
    host = address.rpartition(":")[0].strip("[]")
    if not ipaddress.ip_address(host).is_loopback:
        raise ListenError(
            f"{setting}={address} is not a loopback address; plaintext is served on loopback only"
        )


def bind(
    server: grpc.aio.Server, address: str, credentials: grpc.ServerCredentials | None = None
) -> int:
    """Serve at *address* with *credentials*, or in plaintext without; return the port.

    Raises:
        ListenError: *address* is not a loopback address, and there are no credentials; or it is
            taken.
    """
    if credentials is None:
        require_loopback(address, "AUTHZ_LISTEN")
    try:
        if credentials is None:
            port = server.add_insecure_port(address)
        else:
            port = server.add_secure_port(address, credentials)
    except RuntimeError:
        port = 0
    if port == 0:
        raise ListenError(f"AUTHZ_LISTEN={address} is taken or cannot be used; choose another port")
    return port

"""One health call and nothing around it: a probe runs every few seconds, for years.

`grpc.health.v1` is spoken in bytes, because its generated code takes longer to load than the call.
"""

from __future__ import annotations

from typing import Any

import grpc

CHECK = "/grpc.health.v1.Health/Check"
EVERYTHING = b""
"""A HealthCheckRequest for the service as a whole."""
STATUSES = {b"\x08\x01": "SERVING", b"\x08\x02": "NOT_SERVING", b"\x08\x03": "SERVICE_UNKNOWN"}
"""HealthCheckResponse: field 1, the status."""


def is_serving(address: str, timeout_seconds: float) -> bool:
    """Whether a service at *address* says SERVING, in plaintext; any failure is a no."""
    with grpc.insecure_channel(address, options=(("grpc.enable_http_proxy", 0),)) as channel:
        rpc: Any = channel.unary_unary(CHECK)
        try:
            answered = rpc(EVERYTHING, timeout=timeout_seconds)
        except grpc.RpcError:
            return False
    return STATUSES.get(answered) == "SERVING"

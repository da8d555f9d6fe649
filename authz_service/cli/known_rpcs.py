"""The RPCs that there are, by the protocol itself."""

from __future__ import annotations

from authz_service.api.v1 import (
    decision_log_pb2,
    facts_pb2,
    policy_pb2,
    recording_access_pb2,
)

_PROTOS = (recording_access_pb2, facts_pb2, policy_pb2, decision_log_pb2)


def every_rpc() -> frozenset[str]:
    """Return the names of all methods."""
    return frozenset(
        method
        for proto in _PROTOS
        for service in proto.DESCRIPTOR.services_by_name.values()
        for method in service.methods_by_name
    )

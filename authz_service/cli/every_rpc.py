"""The RPCs that a callers file may name, without the server that serves them."""

from __future__ import annotations

from authz_service.api.v1 import (
    containment_pb2,
    decision_log_pb2,
    emergency_access_pb2,
    facts_pb2,
    policy_pb2,
    recording_access_pb2,
)

EVERY_RPC = frozenset(
    str(method)
    for proto in (
        recording_access_pb2,
        facts_pb2,
        containment_pb2,
        emergency_access_pb2,
        policy_pb2,
        decision_log_pb2,
    )
    for service in proto.DESCRIPTOR.services_by_name.values()
    for method in service.methods_by_name
)
"""Their names."""

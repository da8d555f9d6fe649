"""The details of a status, as `google.rpc` packs them."""

from __future__ import annotations

from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2


def read_details(content: bytes) -> tuple[str | None, tuple[str, ...]]:
    """Return the ErrorInfo reason and the field violations in *content*, a `google.rpc.Status`.

    What is not understood is passed over.
    """
    try:
        status = status_pb2.Status.FromString(content)
    except DecodeError:
        return None, ()
    reason, violations = None, []
    for detail in status.details:
        known, malformed = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
        if detail.Unpack(known):
            reason = known.reason
        elif detail.Unpack(malformed):
            violations += [
                f"{each.field}: {each.description}" for each in malformed.field_violations
            ]
    return reason, tuple(violations)

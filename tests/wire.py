"""How tests speak the wire: messages filled from plain values, and failures taken apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

UNKNOWN_VALUE = 99
"""The number that stands for an enum value that does not exist."""


@dataclass(frozen=True, slots=True)
class RpcFailure:
    """A call that failed, with its details.

    Attributes:
        code: The status, by name.
        message: Its text.
        reason: ErrorInfo.reason; empty where there is none.
        domain: ErrorInfo.domain.
        fields: The fields that BadRequest names.
        retry_seconds: RetryInfo's delay; None where there is none.
        request_id: The request id in the trailing metadata.
    """

    code: str
    message: str
    reason: str = ""
    domain: str = ""
    fields: tuple[str, ...] = ()
    retry_seconds: int | None = None
    request_id: str = ""


def fill(message: Message, plain: Any) -> None:
    """Set the fields of *message* from *plain*, enum values by short name or by number."""
    for name, value in plain.items():
        field = message.DESCRIPTOR.fields_by_name[name]
        if value is None:
            continue
        if field.message_type is not None and field.message_type.full_name.startswith("google."):
            getattr(message, name).FromJsonString(value)
        elif field.message_type is not None:
            _fill_message(message, name, value)
        elif isinstance(value, list):
            getattr(message, name).extend(_scalar(field, item) for item in value)
        else:
            setattr(message, name, _scalar(field, value))


def failure_of(error: Any) -> RpcFailure:
    """Take the failure of a call apart."""
    trailing = dict(error.trailing_metadata() or ())
    failure: dict[str, Any] = {"request_id": trailing.get("x-request-id", "")}
    for detail in status_pb2.Status.FromString(
        trailing.get("grpc-status-details-bin", b"")
    ).details:
        failure.update(_detail(detail))
    return RpcFailure(error.code().name, error.details() or "", **failure)


def _detail(detail: Any) -> dict[str, Any]:
    known, bad, retry = (
        error_details_pb2.ErrorInfo(),
        error_details_pb2.BadRequest(),
        error_details_pb2.RetryInfo(),
    )
    if detail.Unpack(known):
        return {"reason": known.reason, "domain": known.domain}
    if detail.Unpack(bad):
        return {"fields": tuple(violation.field for violation in bad.field_violations)}
    if detail.Unpack(retry):
        return {"retry_seconds": retry.retry_delay.seconds}
    return {}


def _fill_message(message: Message, name: str, value: Any) -> None:
    if isinstance(value, list):
        for item in value:
            fill(getattr(message, name).add(), item)
    else:
        getattr(message, name).SetInParent()
        fill(getattr(message, name), value)


def _scalar(field: Any, value: Any) -> Any:
    if field.enum_type is None or isinstance(value, int):
        return value
    for known in field.enum_type.values:
        prefix = field.enum_type.values_by_number[0].name.removesuffix("UNSPECIFIED")
        if known.name == prefix + value:
            return known.number
    return UNKNOWN_VALUE

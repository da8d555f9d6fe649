"""Errors to statuses: what a call fails with, and the details for programs beside it."""

from __future__ import annotations

from typing import Any, NamedTuple, NoReturn

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from authz_service.pdp import errors

DOMAIN = "authz_service.api.v1"
_RETRY_SECONDS = 1
_NO_MESSAGE = errors.InvalidRequestError(
    errors.Violation("request", "is not a message of this RPC; texts have to be UTF-8")
)


class DrainingError(Exception):
    """The service is about to end and takes no more calls."""


class Failure(NamedTuple):
    """What a call fails with."""

    error: Exception
    status: grpc.StatusCode
    reason: str


_STATUSES: tuple[tuple[type[Exception], grpc.StatusCode, str], ...] = (
    (errors.InvalidRequestError, grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST"),
    (
        errors.CallerUnauthenticatedError,
        grpc.StatusCode.UNAUTHENTICATED,
        "CALLER_UNAUTHENTICATED",
    ),
    (errors.CallerNotAllowedError, grpc.StatusCode.PERMISSION_DENIED, "CALLER_NOT_ALLOWED"),
    (errors.NotFoundError, grpc.StatusCode.NOT_FOUND, "NOT_FOUND"),
    (errors.RevisionAheadError, grpc.StatusCode.FAILED_PRECONDITION, "REVISION_AHEAD"),
    (errors.HistoryGoneError, grpc.StatusCode.FAILED_PRECONDITION, "HISTORY_GONE"),
    (errors.StateError, grpc.StatusCode.FAILED_PRECONDITION, "STATE"),
    (errors.LimitExceededError, grpc.StatusCode.RESOURCE_EXHAUSTED, "LIMIT_EXCEEDED"),
    (errors.PolicyNotReadyError, grpc.StatusCode.UNAVAILABLE, "POLICY_NOT_READY"),
    (errors.FactsUnavailableError, grpc.StatusCode.UNAVAILABLE, "FACTS_UNAVAILABLE"),
    (errors.JournalUnavailableError, grpc.StatusCode.UNAVAILABLE, "JOURNAL_UNAVAILABLE"),
    (errors.DecisionsUnavailableError, grpc.StatusCode.UNAVAILABLE, "DECISIONS_UNAVAILABLE"),
    (errors.DecisionsNotKeptError, grpc.StatusCode.FAILED_PRECONDITION, "DECISIONS_NOT_KEPT"),
    (DrainingError, grpc.StatusCode.UNAVAILABLE, "DRAINING"),
    (TimeoutError, grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE"),
)


def failure_of(raised: Exception) -> Failure:
    """Return the failure that *raised* is to the caller."""
    error = _NO_MESSAGE if isinstance(raised, DecodeError) else raised
    for kind, status, reason in _STATUSES:
        if isinstance(error, kind):
            return Failure(error, status, reason)
    return Failure(error, grpc.StatusCode.INTERNAL, "INTERNAL")


async def abort(context: Any, failure: Failure, request_id: str) -> NoReturn:
    """End the call with its status, and the details for programs beside it."""
    error, status, reason = failure
    message = "internal error" if reason == "INTERNAL" else str(error) or "deadline exceeded"
    details = status_pb2.Status(code=status.value[0], message=message)
    _pack(details, error_details_pb2.ErrorInfo(reason=reason, domain=DOMAIN))
    if isinstance(error, errors.InvalidRequestError):
        violations = [
            error_details_pb2.BadRequest.FieldViolation(field=field, description=text)
            for field, text in error.violations
        ]
        _pack(details, error_details_pb2.BadRequest(field_violations=violations))
    if status is grpc.StatusCode.UNAVAILABLE:
        again = duration_pb2.Duration(seconds=_RETRY_SECONDS)
        _pack(details, error_details_pb2.RetryInfo(retry_delay=again))
    await context.abort(
        status,
        message,
        (
            ("x-request-id", request_id),
            ("grpc-status-details-bin", details.SerializeToString()),
        ),
    )
    raise error  # not reached: abort raises


def _pack(status: Any, detail: Any) -> None:
    """Add one detail to a status."""
    packed = any_pb2.Any()
    packed.Pack(detail)
    status.details.append(packed)

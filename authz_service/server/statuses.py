"""The one layer around every call: caller, request id, deadline, statuses, metrics per RPC.

One, because each costs every call. A servicer is handed a `Call` in place of gRPC's context.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from time import perf_counter_ns
from typing import Any, NamedTuple, NoReturn, Protocol

import grpc
import structlog
from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from authz_service.identity.callers import CallerRule
from authz_service.operations.records import CallContext
from authz_service.pdp import errors
from authz_service.pdp.model import is_id
from authz_service.server.call import Call

log = structlog.get_logger(__name__)

DEFAULT_DEADLINE_SECONDS = 5.0
"""How long a call without a deadline of its own may take."""
DOMAIN = "authz_service.api.v1"
_TRACEPARENT = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_RETRY_SECONDS = 1
_NO_MESSAGE = errors.InvalidRequestError(
    errors.Violation("request", "is not a message of this RPC; texts have to be UTF-8")
)

Handler = Callable[[Any, Any], Awaitable[Any]]


class DrainingError(Exception):
    """The service is about to end and takes no more calls."""


class _Failure(NamedTuple):
    """What a call fails with."""

    error: Exception
    status: grpc.StatusCode
    reason: str


_STATUSES: tuple[tuple[type[Exception], grpc.StatusCode, str], ...] = (
    (errors.InvalidRequestError, grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST"),
    (errors.CallerNotAllowedError, grpc.StatusCode.PERMISSION_DENIED, "CALLER_NOT_ALLOWED"),
    (errors.NotFoundError, grpc.StatusCode.NOT_FOUND, "NOT_FOUND"),
    (errors.RevisionAheadError, grpc.StatusCode.FAILED_PRECONDITION, "REVISION_AHEAD"),
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


class RpcMeter(Protocol):
    """Counts the calls of one method."""

    def arrived(self) -> None:
        """Count a call that has arrived. Must not raise."""
        ...

    def answered(self, code: str, seconds: float) -> None:
        """Count a call that was answered with *code* after *seconds*. Must not raise."""
        ...


class RpcObserver(Protocol):
    """Hears of every call."""

    def rpc(self, service: str, method: str) -> RpcMeter:
        """Return what counts the calls of one method."""
        ...


class StatusLayer(grpc.GenericRpcHandler):
    """Wraps every unary method of ours once, when it is added.

    It stands where an interceptor would. grpc.aio's own interceptors add two tasks to every call,
    a fifth of an empty call's time; see the ADR on the server edge.
    """

    def __init__(
        self, rule: CallerRule, observer: RpcObserver, new_request_id: Callable[[], str]
    ) -> None:
        """Serve the one caller of *rule*: on insecure loopback there is no other."""
        self._rule = rule
        self._observer = observer
        self._new_request_id = new_request_id
        self._wrapped: dict[str, Any] = {}
        self._in_flight = 0
        self._is_draining = False
        self._idle = asyncio.Event()

    async def drain(self) -> None:
        """Refuse calls from now on; return once none is in flight."""
        self._is_draining = True
        if self._in_flight:
            await self._idle.wait()

    def service(self, handler_call_details: Any) -> Any:
        """Return the wrapped handler of a method of ours; None for any other."""
        return self._wrapped.get(handler_call_details.method)

    def add_generic_rpc_handlers(self, _handlers: Any) -> None:
        """Take no notice: generated code registers its methods in both ways."""

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, Any]) -> None:
        """Wrap the methods of *service*; generated code calls this as it would a server's."""
        for name, handler in handlers.items():
            self._wrapped[f"/{service}/{name}"] = grpc.unary_unary_rpc_method_handler(
                self._wrap((service, name), handler),
                None,  # the bytes: what is no message is refused here, and not by grpc as unknown
                handler.response_serializer,
            )

    def _wrap(self, rpc: tuple[str, str], method: Any) -> Handler:
        """Return the handler of *method* with everything around it."""
        name = rpc[1]
        handler, parsed = method.unary_unary, method.request_deserializer
        meter = self._observer.rpc(*rpc)

        async def handle(content: bytes, context: Any) -> Any:
            started_ns = perf_counter_ns()
            meter.arrived()
            self._in_flight += 1
            code = "CANCELLED"
            call = self._call(context, started_ns)
            context.set_trailing_metadata((("x-request-id", call.context.request_id),))
            try:
                self._admit(name)
                request = parsed(content)
                if context.time_remaining() is None:
                    async with asyncio.timeout(DEFAULT_DEADLINE_SECONDS):
                        response = await handler(request, call)
                else:
                    response = await handler(request, call)
                code = "OK"
            except Exception as raised:  # noqa: BLE001  # the edge: what is not a status becomes one
                failure = _failure_of(raised)
                code = failure.status.name
                _log_failure(failure, call, name)
                await _abort(context, failure, call.context.request_id)
            finally:
                meter.answered(code, (perf_counter_ns() - started_ns) / 1e9)
                self._leave()
            return response

        return handle

    def _admit(self, rpc: str) -> None:
        """Let a call in.

        Raises:
            DrainingError: The service is about to end.
            CallerNotAllowedError: The caller may not use the RPC.
        """
        if self._is_draining:
            raise DrainingError("the service is about to end; ask another")
        self._rule.require_rpc(rpc)

    def _leave(self) -> None:
        """Note that a call has ended."""
        self._in_flight -= 1
        if self._is_draining and not self._in_flight:
            self._idle.set()

    def _call(self, context: Any, started_ns: int) -> Call:
        """Return who asks, and under which ids."""
        request_id, trace_id = "", None
        for key, value in context.invocation_metadata() or ():
            if key == "x-request-id" and isinstance(value, str) and is_id(value):
                request_id = value
            elif key == "traceparent" and isinstance(value, str):
                match = _TRACEPARENT.fullmatch(value)
                trace_id = match.group(1) if match else None
        known_as = CallContext(self._rule.caller, request_id or self._new_request_id(), trace_id)
        return Call(known_as, self._rule, started_ns)


def _failure_of(raised: Exception) -> _Failure:
    """Return the failure that *raised* is to the caller."""
    error = _NO_MESSAGE if isinstance(raised, DecodeError) else raised
    for kind, status, reason in _STATUSES:
        if isinstance(error, kind):
            return _Failure(error, status, reason)
    return _Failure(error, grpc.StatusCode.INTERNAL, "INTERNAL")


def _log_failure(failure: _Failure, call: Call, rpc: str) -> None:
    """Log what somebody must act on; what a caller did wrong is counted, not logged."""
    error, status, reason = failure
    fields = {
        "rpc": rpc,
        "request_id": call.context.request_id,
        "caller": call.context.caller,
        "error_type": type(error).__name__,
    }
    if status is grpc.StatusCode.INTERNAL:
        log.error("rpc_failed", **fields, exc_info=error)
    elif status is grpc.StatusCode.UNAVAILABLE and reason != "DRAINING":
        log.warning("rpc_unavailable", **fields, why=str(error))


async def _abort(context: Any, failure: _Failure, request_id: str) -> NoReturn:
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

"""The one layer around every call: caller, request id, deadline, statuses, metrics per RPC.

One, because each costs every call. A servicer is handed a `Call` in place of gRPC's context.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from time import perf_counter_ns
from typing import Any, Protocol

import grpc
import structlog

from authz_service.identity.callers_file import is_caller
from authz_service.operations.records import CallContext
from authz_service.pdp import errors
from authz_service.pdp.model import is_id
from authz_service.server.admission import Admitted, Gate
from authz_service.server.call import Call
from authz_service.server.failures import DrainingError, Failure, abort, failure_of
from authz_service.server.in_flight import GONE_SECONDS, CallLimits, CallsInFlight, Place
from authz_service.server.turns import SMALL_BYTES, Turns
from authz_service.telemetry.seldom import Seldom

log = structlog.get_logger(__name__)

_TRACEPARENT = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_LISTED_BYTES = 4 << 10
"""What a list counts for beside large requests: it takes a few words, and much work."""
_BRAKES = frozenset({"Contain", "LiftContainment"})
"""Calls that nothing keeps waiting: they have places of their own, and take no turns."""
_BRAKE_BYTES = 256 << 10
"""A brake longer than that says no more, and waits as others do: a thousand ids take half of it."""
_NOTHING = errors.Violation("request", "is missing")
Handler = Callable[[Any, Any], Awaitable[Any]]


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

    def call_limited(self, limit: errors.CallLimit) -> None:
        """Count a call that came up against a limit. Must not raise."""
        ...


class StatusLayer(grpc.GenericRpcHandler):
    """Wraps every unary method of ours once, when it is added.

    It stands where an interceptor would. grpc.aio's own interceptors add two tasks to every call,
    a fifth of an empty call's time; see the ADR on the server edge.
    """

    def __init__(
        self,
        gate: Gate,
        observer: RpcObserver,
        new_request_id: Callable[[], str],
        limits: CallLimits = CallLimits(),  # noqa: B008  # a constant
    ) -> None:
        """Let in whom *gate* knows, within *limits*."""
        self._gate = gate
        self._observer = observer
        self._new_request_id = new_request_id
        self._wrapped: dict[str, Any] = {}
        self._in_flight = 0
        self._is_draining = False
        self._idle = asyncio.Event()
        self._calls = CallsInFlight(limits)
        self._turns = Turns()
        self._said = Seldom()

    @property
    def in_flight(self) -> int:
        """How many calls have a place."""
        return self._calls.count

    async def drain(self) -> None:
        """Refuse calls from now on; return once none is in flight."""
        self._is_draining = True
        self._calls.hurry()
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
            self._wrapped[f"/{service}/{name}"] = grpc.stream_unary_rpc_method_handler(
                self._wrap((service, name), handler),  # a stream, so that reading can be bounded
                None,  # the bytes: what is no message is refused here, and not by grpc as unknown
                handler.response_serializer,
            )

    def _wrap(self, rpc: tuple[str, str], method: Any) -> Handler:
        """Return the handler of *method* with everything around it."""
        name, answer, meter = rpc[1], self._answering(rpc[1], method), self._observer.rpc(*rpc)
        is_brake = name in _BRAKES

        async def handle(_requests: Any, context: Any) -> Any:
            started_ns = perf_counter_ns()
            meter.arrived()
            self._in_flight += 1
            code = "CANCELLED"
            request_id, trace_id = self._ids(context)
            context.set_trailing_metadata((("x-request-id", request_id),))
            known_as = CallContext("", request_id, trace_id)
            try:
                rule, callers_revision = self._let_in(context)
                known_as = CallContext(rule.caller, request_id, trace_id, callers_revision)
                rule.require_rpc(name)
                is_bound = context.time_remaining() is not None
                place = self._calls.enter(rule.caller, is_bound=is_bound, is_brake=is_brake)
                call = Call(known_as, rule, started_ns)
                response = await place.in_time(answer(call, place, context))
                code = "OK"
            except Exception as raised:  # noqa: BLE001  # the edge: what is not a status becomes one
                failure = self._failure(raised, known_as, name)
                _let_go(raised)
                code = failure.status.name
                await abort(context, failure, known_as.request_id)
            finally:
                meter.answered(code, (perf_counter_ns() - started_ns) / 1e9)
                self._leave()
            return response

        return handle

    def _answering(self, rpc: str, method: Any) -> Callable[[Call, Place, Any], Awaitable[Any]]:
        """Return what reads the request of a call of *method*, and answers it in its turn."""
        handler, parsed, turns = method.unary_unary, method.request_deserializer, self._turns
        weight = _LISTED_BYTES if rpc.startswith("List") else 0
        at_once = _BRAKE_BYTES if rpc in _BRAKES else SMALL_BYTES

        async def answer(call: Call, place: Place, context: Any) -> Any:
            content = await context.read()
            place.is_arriving = False
            if content is grpc.aio.EOF:
                await asyncio.sleep(GONE_SECONDS)
                raise errors.InvalidRequestError(_NOTHING)
            size = len(content) + weight
            if size <= at_once:
                return await handler(parsed(content), call)
            async with turns.turn(call.rule.caller, size):
                return await handler(parsed(content), call)

        return answer

    def _let_in(self, context: Any) -> Admitted:
        """Return who calls.

        Raises:
            DrainingError: The service is about to end.
            CallerUnauthenticatedError: It is not known who calls.
        """
        if self._is_draining:
            raise DrainingError("the service is about to end; ask another")
        return self._gate.admission.admit(context)

    def _leave(self) -> None:
        """Note that a call has ended."""
        self._in_flight -= 1
        if self._is_draining and not self._in_flight:
            self._idle.set()

    def _ids(self, context: Any) -> tuple[str, str | None]:
        """Return the call's request id, made where there is none, and its trace."""
        request_id, trace_id = "", None
        for key, value in context.invocation_metadata() or ():
            if key == "x-request-id" and isinstance(value, str) and is_id(value):
                request_id = value
            elif key == "traceparent" and isinstance(value, str):
                match = _TRACEPARENT.fullmatch(value)
                trace_id = match.group(1) if match else None
        return request_id or self._new_request_id(), trace_id

    def _failure(self, raised: Exception, known_as: CallContext, rpc: str) -> Failure:
        """Return the failure that *raised* is; tell of it where somebody has to know."""
        failure = failure_of(raised)
        error, status, reason = failure
        refusals = self._gate.refusals
        limit = getattr(error, "limit", None)
        if limit is not None:
            self._observer.call_limited(limit)
            fields = {**_fields(error, known_as, rpc), "limit": limit.value}
            self._tell(log.warning, "call_limited", fields)
        if isinstance(error, errors.CallerUnauthenticatedError):
            caller = error.caller if is_caller(error.caller) else ""  # it comes from outside
            known_as = known_as._replace(caller=caller)
            refusals.refused(error.refusal, known_as, rpc)
        elif isinstance(error, errors.CallerNotAllowedError):
            refusals.refused(error.refusal, known_as, rpc)
        elif status is grpc.StatusCode.INTERNAL:
            self._tell(log.error, "rpc_failed", _fields(error, known_as, rpc), exc_info=error)
        elif status is grpc.StatusCode.UNAVAILABLE and reason != "DRAINING":
            fields = _fields(error, known_as, rpc)
            self._tell(log.warning, "rpc_unavailable", fields, why=str(error))
        return failure

    def _tell(self, tell: Any, event: str, fields: dict[str, str], **more: Any) -> None:
        """Log *event* once a minute for each RPC and kind of error, with how often it happened."""
        kind = f"{event} {fields['rpc']} {fields['error_type']} {fields.get('limit')}"
        unsaid = self._said.due(kind)
        if unsaid is not None:
            tell(event, **fields, **more, **({"since_last": unsaid} if unsaid else {}))


def _let_go(error: BaseException | None) -> None:
    """Drop what *error* remembers of where it was raised.

    gRPC keeps the error with the call, and the call's frames keep both: so a request, of up to
    4 MiB, would be held until the cyclic collector comes by, which is after thousands of calls.
    """
    while error is not None:
        error.__traceback__ = None
        error = error.__context__


def _fields(error: Exception, known_as: CallContext, rpc: str) -> dict[str, str]:
    """Return what a line in the log says of a call that failed."""
    return {
        "rpc": rpc,
        "request_id": known_as.request_id,
        "caller": known_as.caller,
        "error_type": type(error).__name__,
    }

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

log = structlog.get_logger(__name__)

DEFAULT_DEADLINE_SECONDS = 5.0
"""How long a call without a deadline of its own may take."""
_TRACEPARENT = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
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


class StatusLayer(grpc.GenericRpcHandler):
    """Wraps every unary method of ours once, when it is added.

    It stands where an interceptor would. grpc.aio's own interceptors add two tasks to every call,
    a fifth of an empty call's time; see the ADR on the server edge.
    """

    def __init__(
        self, gate: Gate, observer: RpcObserver, new_request_id: Callable[[], str]
    ) -> None:
        """Let in whom *gate* knows."""
        self._gate = gate
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
            request_id, trace_id = self._ids(context)
            context.set_trailing_metadata((("x-request-id", request_id),))
            known_as = CallContext("", request_id, trace_id)
            try:
                rule, callers_revision = self._let_in(context)
                known_as = CallContext(rule.caller, request_id, trace_id, callers_revision)
                rule.require_rpc(name)
                call = Call(known_as, rule, started_ns)
                response = await _in_time(handler(parsed(content), call), context)
                code = "OK"
            except Exception as raised:  # noqa: BLE001  # the edge: what is not a status becomes one
                failure = self._failure(raised, known_as, name)
                code = failure.status.name
                await abort(context, failure, known_as.request_id)
            finally:
                meter.answered(code, (perf_counter_ns() - started_ns) / 1e9)
                self._leave()
            return response

        return handle

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
        if isinstance(error, errors.CallerUnauthenticatedError):
            caller = error.caller if is_caller(error.caller) else ""  # it comes from outside
            known_as = known_as._replace(caller=caller)
            refusals.refused(error.refusal, known_as, rpc)
        elif isinstance(error, errors.CallerNotAllowedError):
            refusals.refused(error.refusal, known_as, rpc)
        elif status is grpc.StatusCode.INTERNAL:
            log.error("rpc_failed", **_fields(error, known_as, rpc), exc_info=error)
        elif status is grpc.StatusCode.UNAVAILABLE and reason != "DRAINING":
            log.warning("rpc_unavailable", **_fields(error, known_as, rpc), why=str(error))
        return failure


def _fields(error: Exception, known_as: CallContext, rpc: str) -> dict[str, str]:
    """Return what a line in the log says of a call that failed."""
    return {
        "rpc": rpc,
        "request_id": known_as.request_id,
        "caller": known_as.caller,
        "error_type": type(error).__name__,
    }


async def _in_time(answer: Awaitable[Any], context: Any) -> Any:
    """Return *answer*, within a time of ours where the caller named none.

    Raises:
        TimeoutError: It took longer.
    """
    if context.time_remaining() is not None:
        return await answer
    async with asyncio.timeout(DEFAULT_DEADLINE_SECONDS):
        return await answer

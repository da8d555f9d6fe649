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

from authz_service.operations.records import CallContext
from authz_service.pdp import errors
from authz_service.pdp.model import is_id
from authz_service.server.admission import Admitted, Gate
from authz_service.server.call import Call
from authz_service.server.failures import DrainingError, abort
from authz_service.server.in_flight import GONE_SECONDS, CallLimits, CallsInFlight, Place
from authz_service.server.streams import Streams
from authz_service.server.troubles import LimitObserver, Troubles, let_go
from authz_service.server.turns import SMALL_BYTES, Turns

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


class RpcObserver(LimitObserver, Protocol):
    """Hears of every call."""

    def rpc(self, service: str, method: str) -> RpcMeter:
        """Return what counts the calls of one method."""
        ...


class StatusLayer(grpc.GenericRpcHandler):
    """Wraps every method of ours once, when it is added.

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
        self._troubles = Troubles(gate.refusals, observer)
        self._new_request_id = new_request_id
        self._wrapped: dict[str, Any] = {}
        self._in_flight = 0
        self._is_draining = False
        self._idle = asyncio.Event()
        self._calls = CallsInFlight(limits)
        self._turns = Turns()
        self._streams = Streams(limits)

    @property
    def in_flight(self) -> int:
        """How many calls have a place."""
        return self._calls.count

    async def drain(self) -> None:
        """Refuse calls from now on; return once none is in flight.

        Not waited for are those answered by many messages whose caller takes none any more.
        """
        self._is_draining = True
        self._calls.hurry()
        await self._streams.close()
        if self._in_flight > self._streams.stuck:
            await self._idle.wait()

    def service(self, handler_call_details: Any) -> Any:
        """Return the wrapped handler of a method of ours; None for any other."""
        return self._wrapped.get(handler_call_details.method)

    def add_generic_rpc_handlers(self, _handlers: Any) -> None:
        """Take no notice: generated code registers its methods in both ways."""

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, Any]) -> None:
        """Wrap the methods of *service*; generated code calls this as it would a server's."""
        for name, handler in handlers.items():
            made = (
                grpc.stream_stream_rpc_method_handler
                if handler.response_streaming
                else grpc.stream_unary_rpc_method_handler
            )
            self._wrapped[f"/{service}/{name}"] = made(
                self._wrap((service, name), handler),  # a stream, so that reading can be bounded
                None,  # the bytes: what is no message is refused here, and not by grpc as unknown
                handler.response_serializer,
            )

    def _wrap(self, rpc: tuple[str, str], method: Any) -> Handler:
        """Return the handler of *method* with everything around it."""
        name, meter, is_brake = rpc[1], self._observer.rpc(*rpc), rpc[1] in _BRAKES
        answering = self._telling if method.response_streaming else self._answering
        answer = answering(name, method)

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
                failure = self._troubles.failure(raised, known_as, name)
                let_go(raised)
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
            content = await _arrived(place, context)
            size = len(content) + weight
            if size <= at_once:
                return await handler(parsed(content), call)
            async with turns.turn(call.rule.caller, size):
                return await handler(parsed(content), call)

        return answer

    def _telling(self, rpc: str, method: Any) -> Callable[[Call, Place, Any], Awaitable[Any]]:
        """Return what reads the request of a call of *method*, and answers with many messages."""
        handler, parsed, admission = (
            method.unary_stream,
            method.request_deserializer,
            self._gate.admission,
        )

        async def answer(call: Call, place: Place, context: Any) -> None:
            request = parsed(await _arrived(place, context))
            place.stay()

            def still_allowed() -> None:
                rule = admission.admit(context).rule
                rule.require_rpc(rpc)
                if rule != call.rule:
                    raise DrainingError("what this caller may was changed; go on with another call")

            await self._streams.tell(
                handler(request, call),
                context,
                caller=call.rule.caller,
                place=place,
                still_allowed=still_allowed,
            )

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
        if self._is_draining and self._in_flight <= self._streams.stuck:
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


async def _arrived(place: Place, context: Any) -> bytes:
    """Return the request of the call in *place*, once it is here.

    Raises:
        InvalidRequestError: There is none.
    """
    content = await context.read()
    place.is_arriving = False
    if content is grpc.aio.EOF:
        await asyncio.sleep(GONE_SECONDS)
        raise errors.InvalidRequestError(_NOTHING)
    request: bytes = content
    return request

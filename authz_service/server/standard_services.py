"""The standard services beside ours, health and reflection: for callers that are known, bounded.

Any row of the callers file will do: whoever may ask us anything may ask how we are. A stream that
was let in lasts as long as its connection.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from authz_service.operations.records import CallContext
from authz_service.pdp.errors import CallerUnauthenticatedError
from authz_service.server.admission import Gate
from authz_service.server.failures import abort, failure_of
from authz_service.server.in_flight import GONE_SECONDS

MOST_CALLS = 1000
"""Most calls at once, watches included."""
ARRIVAL_SECONDS = 5.0
"""How long a request may be on its way."""


class StandardServices(grpc.GenericRpcHandler):
    """Takes the place of a server for generated code: who calls is asked, and all is bounded."""

    def __init__(
        self, gate: Gate, new_request_id: Callable[[], str], most_calls: int = MOST_CALLS
    ) -> None:
        """Let in whom *gate* knows, *most_calls* at once."""
        self._gate = gate
        self._new_request_id = new_request_id
        self._most_calls = most_calls
        self._calls = 0
        self._wrapped: dict[str, Any] = {}

    def service(self, handler_call_details: Any) -> Any:
        """Return the wrapped handler of a method that was added; None for any other."""
        return self._wrapped.get(handler_call_details.method)

    def add_generic_rpc_handlers(self, _handlers: Any) -> None:
        """Take no notice: generated code registers its methods in both ways."""

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, Any]) -> None:
        """Wrap the methods of *service* that there is code for."""
        for name, method in handlers.items():
            wrap = self._of_many if method.request_streaming else self._of_one
            wrapped = wrap(f"{service.rpartition('.')[2]}/{name}", method)
            if wrapped is not None:
                self._wrapped[f"/{service}/{name}"] = wrapped

    def _of_one(self, name: str, method: Any) -> Any:
        """Return the handler of a method with one request; None where nobody filled it in."""
        wrap, behaviour = grpc.stream_unary_rpc_method_handler, method.unary_unary
        if method.response_streaming:
            wrap, behaviour = grpc.stream_stream_rpc_method_handler, method.unary_stream
        parsed = method.request_deserializer
        if not inspect.iscoroutinefunction(behaviour):
            return None

        async def handle(_requests: Any, context: Any) -> Any:
            await self._let_in(name, context)
            return await behaviour(await _read(parsed, context), context)

        return wrap(handle, None, method.response_serializer)

    def _of_many(self, name: str, method: Any) -> Any:
        """Return the handler of a method with many requests; None where nobody filled it in."""
        behaviour = method.stream_stream
        if not inspect.isasyncgenfunction(behaviour):
            return None

        async def handle(asked: Any, context: Any) -> AsyncIterator[Any]:
            await self._let_in(name, context)
            async for answer in behaviour(asked, context):
                yield answer

        return method._replace(stream_stream=handle)

    async def _let_in(self, name: str, context: Any) -> None:
        """Return if it is known who calls and there is room, else end the call."""
        try:
            self._gate.admission.admit(context)
        except CallerUnauthenticatedError as error:
            known_as = CallContext(error.caller, self._new_request_id())
            self._gate.refusals.refused(error.refusal, known_as, name)
            await abort(context, failure_of(error), known_as.request_id)
        if self._calls >= self._most_calls:
            exhausted = grpc.StatusCode.RESOURCE_EXHAUSTED
            await context.abort(exhausted, "too many calls of this service are in hand")
        self._calls += 1
        task: Any = asyncio.current_task()
        task.add_done_callback(self._leave)

    def _leave(self, _task: asyncio.Task[Any]) -> None:
        """Note that a call is over."""
        self._calls -= 1


async def _read(parsed: Callable[[bytes], Any], context: Any) -> Any:
    """Return the one request; where there is none, the call ends."""
    status, why = grpc.StatusCode.INVALID_ARGUMENT, "it is not a message of this RPC"
    try:
        async with asyncio.timeout(ARRIVAL_SECONDS):
            content = await context.read()
        if content is not grpc.aio.EOF:
            return parsed(content)
        await asyncio.sleep(GONE_SECONDS)
    except TimeoutError:
        status, why = grpc.StatusCode.DEADLINE_EXCEEDED, "the request was not here in time"
    except DecodeError:
        pass
    return await context.abort(status, why)

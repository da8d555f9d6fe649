"""Services that are not ours, health and reflection, for callers that are known and nobody else."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import grpc

from authz_service.operations.records import CallContext
from authz_service.pdp.errors import CallerUnauthenticatedError
from authz_service.server.admission import Gate
from authz_service.server.failures import abort, failure_of

_KINDS = ("unary_unary", "unary_stream", "stream_unary", "stream_stream")


class GatedServices(grpc.GenericRpcHandler):
    """Takes the place of a server for generated code, and asks who calls before each call.

    Any row of the callers file will do: whoever may ask us anything may ask how we are. A stream
    that was let in lasts as long as its connection.
    """

    def __init__(self, gate: Gate, new_request_id: Callable[[], str]) -> None:
        """Let in whom *gate* knows."""
        self._gate = gate
        self._new_request_id = new_request_id
        self._wrapped: dict[str, Any] = {}

    def service(self, handler_call_details: Any) -> Any:
        """Return the wrapped handler of a method; None for any that is not known here."""
        return self._wrapped.get(handler_call_details.method)

    def add_generic_rpc_handlers(self, _handlers: Any) -> None:
        """Take no notice: generated code registers its methods in both ways."""

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, Any]) -> None:
        """Wrap the methods of *service* that there is code for."""
        for name, method in handlers.items():
            kind = next(kind for kind in _KINDS if getattr(method, kind))
            behaviour = getattr(method, kind)
            if inspect.iscoroutinefunction(behaviour):
                wrapped: Any = self._once(name, behaviour)
            elif inspect.isasyncgenfunction(behaviour):
                wrapped = self._stream(name, behaviour)
            else:  # generated, and not filled in by anybody
                continue
            self._wrapped[f"/{service}/{name}"] = method._replace(**{kind: wrapped})

    def _once(self, name: str, behaviour: Any) -> Any:
        """Return what a coroutine is replaced by."""

        async def handle(asked: Any, context: Any) -> Any:
            await self._let_in(name, context)
            return await behaviour(asked, context)

        return handle

    def _stream(self, name: str, behaviour: Any) -> Any:
        """Return what a generator is replaced by."""

        async def handle(asked: Any, context: Any) -> AsyncIterator[Any]:
            await self._let_in(name, context)
            async for answer in behaviour(asked, context):
                yield answer

        return handle

    async def _let_in(self, name: str, context: Any) -> None:
        """Return if it is known who calls, else end the call."""
        try:
            self._gate.admission.admit(context)
        except CallerUnauthenticatedError as error:
            known_as = CallContext(error.caller, self._new_request_id())
            self._gate.refusals.refused(error.refusal, known_as, name)
            await abort(context, failure_of(error), known_as.request_id)

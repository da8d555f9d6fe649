"""The way to a running service: one channel, a bounded wait, and failures in words."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import grpc

Stub = TypeVar("Stub")

_OPTIONS = (("grpc.enable_http_proxy", 0), ("grpc.max_receive_message_length", 64 << 20))


class Connection:
    """One channel to one service."""

    def __init__(self, address: str, channel: grpc.Channel, timeout_seconds: float) -> None:
        """Call over *channel*, each call for *timeout_seconds* at most."""
        self.address = address
        self._channel = channel
        self._timeout_seconds = timeout_seconds

    def stub(self, made: Callable[[grpc.Channel], Stub]) -> Stub:
        """Return a stub of this channel."""
        return made(self._channel)

    def raw(self, method: str) -> Any:
        """Return a method of this channel that takes and gives bytes."""
        return self._channel.unary_unary(method)

    def call(self, rpc: Any, request: Any, request_id: str = "") -> Any:
        """Return the answer of *rpc*, called under *request_id* or one made for it.

        Raises:
            CommandError: The call failed; says why, with the code to end with.
        """
        metadata = (("x-request-id", request_id or new_request_id()),)
        try:
            return rpc(request, timeout=self._timeout_seconds, metadata=metadata)
        except grpc.RpcError as error:
            from authz_service.cli.rpc_failures import failed_call  # noqa: PLC0415  # on failure

            raise failed_call(error, self.address) from None


def new_request_id() -> str:
    """Return an id for one call."""
    return str(uuid.uuid4())


@contextmanager
def connected(address: str, timeout_seconds: float) -> Iterator[Connection]:
    """Lend a connection to the service at *address*."""
    with grpc.insecure_channel(address, options=_OPTIONS) as channel:
        yield Connection(address, channel, timeout_seconds)

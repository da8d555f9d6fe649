"""The way to a running service: one channel, a bounded wait, and failures in words."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import grpc

from authz_service.cli.addresses import reachable
from authz_service.cli.client_tls import ClientTls, chosen_tls, contents_of

Stub = TypeVar("Stub")

_OPTIONS = (("grpc.enable_http_proxy", 0), ("grpc.max_receive_message_length", 64 << 20))


class Connection:
    """One channel to one service."""

    def __init__(
        self,
        address: str,
        channel: grpc.Channel,
        timeout_seconds: float,
        tls: ClientTls | None = None,
    ) -> None:
        """Call over *channel*, each call for *timeout_seconds* at most; *tls* is what it shows."""
        self.address = address
        self._channel = channel
        self._timeout_seconds = timeout_seconds
        self._tls = tls

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

            raise failed_call(error, self.address, self._tls) from None

    def stream(self, rpc: Any, request: Any, timeout_seconds: float | None = None) -> Iterator[Any]:
        """Yield the messages that *rpc* answers with; without a timeout for as long as they come.

        Raises:
            CommandError: The call failed, also after some of them; says why.
        """
        call = rpc(request, timeout=timeout_seconds, metadata=(("x-request-id", new_request_id()),))
        try:
            yield from call
        except grpc.RpcError as error:
            from authz_service.cli.rpc_failures import failed_call  # noqa: PLC0415  # on failure

            raise failed_call(error, self.address, self._tls) from None
        finally:
            call.cancel()


def new_request_id() -> str:
    """Return an id for one call."""
    return str(uuid.uuid4())


@contextmanager
def connected(
    address: str, timeout_seconds: float, *, in_plaintext: bool = False
) -> Iterator[Connection]:
    """Lend a connection to the service at *address*, with the certificate that was chosen.

    Args:
        address: Where.
        timeout_seconds: How long a call may take.
        in_plaintext: Whether it is asked without a certificate, though one was chosen.

    Raises:
        CommandError: Some of the certificate's files are missing.
    """
    tls = None if in_plaintext else chosen_tls()
    with _channel(reachable(address), tls) as channel:
        yield Connection(address, channel, timeout_seconds, tls)


def _channel(address: str, tls: ClientTls | None) -> grpc.Channel:
    """Return a channel to *address*."""
    if tls is None:
        return grpc.insecure_channel(address, options=_OPTIONS)
    ca, cert, key = contents_of(tls)
    options = [*_OPTIONS, *([("grpc.ssl_target_name_override", tls.name)] if tls.name else [])]
    credentials = grpc.ssl_channel_credentials(ca, key, cert)
    return grpc.secure_channel(address, credentials, options=options)

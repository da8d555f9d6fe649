"""A grpc.aio server that answers every message with the same message: the floor of every call."""

from __future__ import annotations

import sys
from typing import Any

import grpc
import uvloop

PATH = "/echo.Echo/Echo"


class _Echo(grpc.GenericRpcHandler):
    """Hands the bytes back."""

    def __init__(self) -> None:
        """Make the one handler that there is."""
        self._handler: Any = grpc.unary_unary_rpc_method_handler(self._echo)

    def service(self, handler_call_details: Any) -> Any:
        """Return the handler of the one method, and of no other."""
        return self._handler if handler_call_details.method == PATH else None

    async def _echo(self, request: bytes, _context: Any) -> bytes:
        return request


async def _serve() -> None:
    """Print the port and serve until killed."""
    server = grpc.aio.server(options=(("grpc.so_reuseport", 0),))
    server.add_generic_rpc_handlers((_Echo(),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(port, flush=True)
    await server.wait_for_termination()


if __name__ == "__main__":
    sys.exit(uvloop.run(_serve()))

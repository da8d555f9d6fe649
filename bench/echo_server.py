"""A grpc.aio server that answers every message with the same message: the floor of every call."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from contextlib import ExitStack
from typing import Any

import grpc
import uvloop

PATH = "/echo.Echo/Echo"

_ANY_PORT = "0"


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


async def _serve(workers: int, port: str) -> None:
    """Print the port, once all that share it listen, and serve until killed."""
    is_first = port == _ANY_PORT
    server = grpc.aio.server(options=(("grpc.so_reuseport", int(workers > 1 or not is_first)),))
    server.add_generic_rpc_handlers((_Echo(),))
    bound = server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    with ExitStack() as others:
        for _ in range(workers - 1):
            others.enter_context(_other(bound))
        print(bound, flush=True)
        if is_first:
            await server.wait_for_termination()
        await asyncio.to_thread(sys.stdin.read)  # ends when the first process does


def _other(port: int) -> subprocess.Popen[str]:
    """Start another process on the same port; return it once it listens."""
    other = subprocess.Popen(
        [sys.executable, "-m", "bench.echo_server", "1", str(port)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    if other.stdout:
        other.stdout.readline()
    return other


if __name__ == "__main__":
    sys.exit(uvloop.run(_serve(int(sys.argv[1]), (sys.argv[2:] or [_ANY_PORT])[0])))

"""A gRPC server of `grpc.health.v1` alone, on a socket that nobody but this user can reach."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health_pb2_grpc

from authz_service.server.listen import ListenError

_OPTIONS = (
    ("grpc.max_receive_message_length", 1 << 10),
    ("grpc.max_send_message_length", 1 << 10),
    ("grpc.max_metadata_size", 4 << 10),
    ("grpc.absolute_max_metadata_size", 8 << 10),
    ("grpc.max_concurrent_streams", 8),
    ("grpc.max_connection_age_ms", 300_000),
    ("grpc.max_connection_age_grace_ms", 5_000),
    ("grpc.max_connection_idle_ms", 60_000),
    ("grpc.server_handshake_timeout_ms", 5_000),
)
_LAST_SECONDS = 0.5


class ProbeServer:
    """Serves health on a socket in a directory of its own. For one event loop."""

    def __init__(self, servicer: Any) -> None:
        """Serve *servicer*, one of `grpc.health.v1`."""
        self._directory: Path | None = None
        self._server = grpc.aio.server(options=_OPTIONS)
        health_pb2_grpc.add_HealthServicer_to_server(servicer, self._server)

    async def start(self) -> str:
        """Serve; return the path of the socket.

        Raises:
            ListenError: No socket can be made.
        """
        self._directory = Path(tempfile.mkdtemp(prefix="authz-health-"))
        path = str(self._directory / "grpc")
        try:
            self._server.add_insecure_port(f"unix:{path}")
        except RuntimeError as error:
            raise ListenError(
                f"AUTHZ_HEALTH_LISTEN: no socket can be made at {path}; set TMPDIR to a directory "
                "with a short name that can be written to"
            ) from error
        await self._server.start()
        return path

    async def stop(self) -> None:
        """Stop serving, and remove the socket."""
        await self._server.stop(_LAST_SECONDS)
        if self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)

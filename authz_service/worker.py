"""The composition root of a worker: a whole service, told by its parent what to be and when to end.

Run as ``python -m authz_service.worker`` by `supervision.spawning` and by nobody else.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import threading

import structlog
import uvloop

from authz_service.app import Service, StartError
from authz_service.clocks import clock_of
from authz_service.pdp.errors import CallersRefusedError, PolicyRefusedError
from authz_service.runtime import leave_stuck_threads
from authz_service.settings import Settings
from authz_service.supervision.membership import Membership
from authz_service.supervision.pipe import Pipe, files_of
from authz_service.supervision.spawning import take_pipe
from authz_service.telemetry.logs import set_up_logs

log = structlog.get_logger(__name__)

_REFUSED = (PolicyRefusedError, CallersRefusedError)


def main() -> int:
    """Serve until the parent says so or is gone; return the exit code."""
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    code = uvloop.run(_work(take_pipe()))
    leave_stuck_threads()
    return code


async def _work(sock: socket.socket) -> int:
    """Become what the parent says; return the exit code."""
    pipe = await Pipe.over(sock)
    begin = await pipe.receive()
    if begin is None:
        return 0
    settings = Settings(**begin["settings"])
    set_up_logs(settings.log_format, worker=begin["number"])
    membership = Membership(pipe, files_of(begin), clock_of(settings))
    service = Service(settings, membership=membership)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, membership.stopping.set)
    attending = asyncio.create_task(membership.attend(lambda: service.reasons))
    _end_with_parent(membership, settings.end_seconds)
    try:
        code = await _serve(service, membership, pipe)
    finally:
        attending.cancel()
        await pipe.close()
    return code


async def _serve(service: Service, membership: Membership, pipe: Pipe) -> int:
    """Serve until told to stop; return the exit code."""
    try:
        await service.start()
    except StartError as error:
        if membership.stopping.is_set():
            return 0
        cause = error.__cause__
        problems = cause.problems if isinstance(cause, _REFUSED) else ()
        pipe.send("refused", cause=type(cause).__name__, why=str(error), problems=problems)
        return 1
    log.info("worker_started", http_port=service.http_port)
    pipe.send("started", http_port=service.http_port, revision=service.policy_revision)
    await membership.stopping.wait()
    if membership.lost.is_set():
        log.warning("parent_lost")
    log.info("worker_draining")
    await service.drain()
    log.info("worker_stopped")
    return 0


def _end_with_parent(membership: Membership, seconds: float) -> None:
    """Have this process end within *seconds* of its parent, even if its event loop hangs."""
    parent, waiting = os.getppid(), threading.Event()

    def watch() -> None:
        while os.getppid() == parent and not membership.lost.is_set():
            waiting.wait(1.0)
        waiting.wait(seconds)
        os._exit(1)

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()


if __name__ == "__main__":
    sys.exit(main())

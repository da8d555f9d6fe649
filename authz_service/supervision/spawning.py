"""How a worker's process begins: a new interpreter, never a fork of this one.

Its standard input is its end of the pipe, so no descriptor but the usual three is handed on, and
nobody else holds the parent's end.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

Spawn = Callable[[int], tuple["subprocess.Popen[bytes]", socket.socket]]
"""Starts the process of a worker, and returns it with the parent's end of its pipe."""

_HELD_BACK = (signal.SIGINT, signal.SIGHUP)
"""Sent by a terminal to the whole group; a worker ignores them, from its first instruction on."""


class Spawning:
    """Starts a module of this package as a process. For the main thread."""

    def __init__(self, module: str) -> None:
        """Start *module*, as ``python -m`` does."""
        self._module = module

    def __call__(self, number: int) -> tuple[subprocess.Popen[bytes], socket.socket]:
        """Start worker *number*; return the process and the parent's end of its pipe.

        Raises:
            OSError: No process can be started.
        """
        ours, theirs = socket.socketpair()
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _HELD_BACK)
        try:
            popen = subprocess.Popen(  # noqa: S603  # this interpreter and a module of this package
                [sys.executable, "-P", "-m", self._module, f"worker-{number}"],
                stdin=theirs.fileno(),
                env=_environment(),
            )
        except OSError:
            ours.close()
            raise
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            theirs.close()
        return popen, ours


def take_pipe() -> socket.socket:
    """Return this process's end of its pipe; signals that were held back are ignored now."""
    for number in _HELD_BACK:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _HELD_BACK)
    sock = socket.socket(fileno=os.dup(0))
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return sock


def end_of(popen: subprocess.Popen[bytes]) -> asyncio.Future[int]:
    """Return the exit code of *popen* to come; a thread waits for it, and ends with it."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[int] = loop.create_future()

    def settle(code: int) -> None:
        if not ended.done():
            ended.set_result(code)

    def wait() -> None:
        code = popen.wait()
        with suppress(RuntimeError):  # the loop has ended before the worker
            loop.call_soon_threadsafe(settle, code)

    threading.Thread(target=wait, name="worker-end", daemon=True).start()
    return ended


def _environment() -> dict[str, str]:
    """Return this process's environment; this very package is found first."""
    root = str(Path(__file__).resolve().parents[2])
    paths = [root, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}

"""How a process ends when something that it waits for never answers: bounded, and with exit code 0.

A thread that waits for a silent database cannot be interrupted, and the interpreter waits for it at
its end. By then the journal is closed and every call is answered, so nothing is lost without it.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Callable
from time import monotonic

import structlog

log = structlog.get_logger(__name__)

_PATIENCE_SECONDS = 1.0


async def closed_in_time(close: Callable[[], None]) -> None:
    """Run *close*, which may block, on a thread of its own; wait for it for a second at most."""
    loop, closed = asyncio.get_running_loop(), asyncio.Event()

    def work() -> None:
        try:
            close()
        finally:
            if not loop.is_closed():
                loop.call_soon_threadsafe(closed.set)

    threading.Thread(target=work, name="closing", daemon=True).start()
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            await closed.wait()
    except TimeoutError:
        log.warning("close_abandoned")


def leave_stuck_threads() -> None:
    """End the process now, with exit code 0, if threads are left that do not end in a second."""
    end = monotonic() + _PATIENCE_SECONDS
    for thread in _others():
        thread.join(timeout=max(0.0, end - monotonic()))
    stuck = sorted(thread.name for thread in _others())
    if not stuck:
        return
    log.warning("threads_abandoned", threads=stuck)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def _others() -> list[threading.Thread]:
    """Return the threads for which the interpreter would wait."""
    main = threading.main_thread()
    return [each for each in threading.enumerate() if each is not main and not each.daemon]

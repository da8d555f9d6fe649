"""What is true of the whole process: its ids, its memory, and how it ends.

It ends bounded, and with exit code 0, also when something that it waits for never answers. A thread
that waits for a silent database cannot be interrupted, and the interpreter waits for it at its end.
By then the journal is closed and every call is answered, so nothing is lost without it.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import resource
import sys
import threading
from collections.abc import Callable, Coroutine
from itertools import count
from time import monotonic
from typing import Any, Protocol, TypeVar

import structlog
import uuid_utils

from authz_service.pdp.errors import AuthzError

log = structlog.get_logger(__name__)

MOST_CONNECTIONS = 16_000
"""Most connections of one process, however many files it may open: an idle one takes 18 KB."""
OWN_FILES = 512
"""So many files are left for the journal, the registry, the decision store and HTTP."""
_PATIENCE_SECONDS = 1.0


def new_id() -> str:
    """Return a UUIDv7 (RFC 9562, section 5.7)."""
    return str(uuid_utils.uuid7())


def request_ids() -> Callable[[], str]:
    """Return what makes request ids that no other process makes, cheaper than UUIDs."""
    process, numbers = uuid_utils.uuid7().hex, count(1)
    return lambda: f"{process}-{next(numbers)}"


def calm_collector() -> None:
    """Keep the cyclic collector away from what lives long.

    A call leaves no cycles behind, and the facts in memory are trees: looking through them again
    and again would stop all calls for as long as it takes.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 50, 1_000)


def connections_allowed() -> int:
    """Return how many connections leave room for our own files.

    The process may open as many files from now on as the system lets it.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_CONNECTIONS + OWN_FILES
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):  # as it is, then
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
    files = wanted if soft == resource.RLIM_INFINITY else soft
    return min(MOST_CONNECTIONS, max(files - OWN_FILES, files // 2))


class Background:
    """Work that nobody waits for. For one event loop."""

    def __init__(self) -> None:
        """Have nothing to do."""
        self._tasks: set[asyncio.Task[None]] = set()

    def do(self, work: Coroutine[Any, Any, Any]) -> None:
        """Do *work* beside everything else; who raises an error of ours has told of it before."""
        task = asyncio.get_running_loop().create_task(_quietly(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _quietly(work: Coroutine[Any, Any, Any]) -> None:
    """Do *work*."""
    with contextlib.suppress(AuthzError):
        await work


def on_this_loop(told: Callable[[bool], None]) -> Callable[[bool], None]:
    """Return what another thread can call to have *told* called on this event loop."""
    loop = asyncio.get_running_loop()

    def tell(usable: bool) -> None:  # noqa: FBT001  # the meter's shape
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(told, usable)

    return tell


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


class Closable(Protocol):
    """Something that is closed at the end."""

    def close(self) -> None:
        """Close it. May block."""
        ...


Opened = TypeVar("Opened", bound=Closable)


def closed_with(closing: contextlib.AsyncExitStack, opened: Opened) -> Opened:
    """Return what was *opened*, once it is sure to be closed with *closing*."""
    closing.push_async_callback(closed_in_time, opened.close)
    return opened


def forbid_core_dumps() -> None:
    """Have a crash of this process, or of one that it starts, leave no copy of its memory.

    Memory holds keys, and facts about patients. With a limit of one byte the kernel writes no file
    and starts no program that takes the dump (Linux's do_coredump); with none, only the former.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    limit = 0 if hard == 0 else 1
    resource.setrlimit(resource.RLIMIT_CORE, (limit, limit))


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

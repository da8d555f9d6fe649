"""Where looks and loads are done: on threads of their own, or on the spot."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any, TypeVar

Answer = TypeVar("Answer")
ThreadsFor = Callable[[int, str], Executor]
"""Makes so many worker threads, under this name."""


def worker_threads(count: int, name: str) -> Executor:
    """Return *count* threads whose names begin with *name*."""
    return ThreadPoolExecutor(count, name)


class OnTheLoop(Executor):
    """Does its work on the spot, for a database in this process that answers in microseconds.

    Handing a look or a load to a thread and back costs more than SQLite takes for it, and each
    statement would compete with the event loop for the interpreter.
    """

    def submit(self, fn: Callable[..., Answer], /, *args: Any, **kwargs: Any) -> Future[Answer]:
        done = Future[Answer]()
        try:
            done.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001  # an executor hands on whatever was raised
            done.set_exception(error)
        return done


def on_the_loop(_count: int, _name: str) -> Executor:
    """Return no thread at all."""
    return OnTheLoop()

"""Prepares chunks ahead in processes of their own, so that the database need not wait for it."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import chain, islice
from pathlib import Path
from typing import Final

from authz_service.facts.import_blocks import Prepared
from authz_service.facts.import_encoding import Grain, grain_of
from authz_service.facts.import_lines import Chunk

_FEW: Final = 4
"""So many chunks are not worth a process."""
_AHEAD: Final = 12
"""How many chunks are prepared at most before they are wanted."""
_MOST_WORKERS: Final = 4
_WORKER: Final = "authz_service.facts.import_worker"


def prepared(chunks: Iterable[Chunk]) -> Generator[Prepared]:
    """Yield *chunks* in their order, prepared."""
    coming = iter(chunks)
    first = list(islice(coming, _FEW))
    if len(first) < _FEW:
        for chunk in first:
            yield Prepared(chunk, grain_of(chunk))
        return
    with _crew(min(os.cpu_count() or 1, _MOST_WORKERS)) as threads:
        yield from _ahead(threads, chain(first, coming))


def _ahead(crew: _Crew, chunks: Iterable[Chunk]) -> Iterator[Prepared]:
    """Yield *chunks* prepared by *crew*, which is some chunks ahead."""
    waiting: deque[tuple[Chunk, Future[Grain | None]]] = deque()
    for chunk in chunks:
        waiting.append((chunk, crew.grain_of(chunk)))
        if len(waiting) > _AHEAD:
            done, grain = waiting.popleft()
            yield Prepared(done, grain.result())
    for done, grain in waiting:
        yield Prepared(done, grain.result())


class _Crew:
    """Threads, each with a process that works for it."""

    def __init__(self, workers: int) -> None:
        self._mine = threading.local()
        self._started: list[subprocess.Popen[bytes]] = []
        self._threads = ThreadPoolExecutor(workers, "import", initializer=self._start)

    def grain_of(self, chunk: Chunk) -> Future[Grain | None]:
        """Have *chunk* prepared."""
        return self._threads.submit(self._prepare, chunk)

    def close(self) -> None:
        """Have all processes end, and wait until they have."""
        self._threads.shutdown(cancel_futures=True)
        for popen in self._started:
            with suppress(OSError):
                popen.communicate()

    def _start(self) -> None:
        """Start the process of this thread; out of a terminal's reach, whose signals are ours."""
        self._mine.popen = None
        with suppress(OSError):
            popen = subprocess.Popen(  # noqa: S603  # this interpreter and a module of this package
                [sys.executable, "-P", "-m", _WORKER],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=_environment(),
                start_new_session=True,
            )
            self._started.append(popen)
            self._mine.popen = popen

    def _prepare(self, chunk: Chunk) -> Grain | None:
        """Return the facts of *chunk*, made by this thread's process, or here if that has ended."""
        popen = self._mine.popen
        if popen is not None:
            try:
                pickle.dump(chunk, popen.stdin, pickle.HIGHEST_PROTOCOL)
                popen.stdin.flush()
                made: Grain | None = pickle.load(popen.stdout)  # noqa: S301  # of a process of ours
            except (OSError, EOFError, pickle.UnpicklingError):
                self._mine.popen = None
            else:
                return made
        return grain_of(chunk)


@contextmanager
def _crew(workers: int) -> Iterator[_Crew]:
    """Lend a crew of so many *workers*."""
    crew = _Crew(workers)
    try:
        yield crew
    finally:
        crew.close()


def _environment() -> dict[str, str]:
    """Return this process's environment; this very package is found first."""
    root = str(Path(__file__).resolve().parents[2])
    paths = [root, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}

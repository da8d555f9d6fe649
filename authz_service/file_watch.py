"""Files that are watched: who depends on them hears when the contents of any of them change.

Contents are what counts, never times or names: they are compared at every notification and, where
a file system sends none, once a second. So a file that is written anew, one that is moved into
place and a symbolic link that is turned, as Kubernetes does with secrets, are all the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing, suppress
from pathlib import Path

import structlog
from watchfiles import awatch

from authz_service.tables.reading import read_regular_file

log = structlog.get_logger(__name__)

Contents = Mapping[Path, bytes]
"""What is in each of the files, read one directly after the other."""

_SETTLED_SECONDS = 0.2
"""How long contents have to stay as they are before they count: files are written in steps."""
_STEP_MS = 100
_PATIENCE_SECONDS = 2.0
_Directories = frozenset[tuple[Path, int, int]]


class FileWatch:
    """Looks at files for as long as it is open. For one event loop.

    A file that cannot be read, for a moment or for long, is no change: what was told last stays
    as it is until all files can be read again. Only regular files are read, each up to a bound, so
    that a pipe or a device in the place of one holds nothing up.

    Attributes:
        unreadable: Why a file cannot be read now, by file; empty where all can.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        on_change: Callable[[Contents], Awaitable[None]],
        *,
        every_seconds: float = 1.0,
    ) -> None:
        """Watch *paths* from `start` on.

        Args:
            paths: The files. They need not exist.
            on_change: Is told all contents whenever those of any file have changed and stayed as
                they are for a moment. One call at a time; an error that it raises is logged, and
                the same contents are not told again.
            every_seconds: How long at most until a look, where no notification comes.
        """
        self._paths = tuple(paths)
        self._on_change = on_change
        self._every_seconds = every_seconds
        self._known: Contents | None = None
        self._wake = asyncio.Event()
        self._closing = asyncio.Event()
        self._watching: asyncio.Task[None] | None = None
        self.unreadable: Mapping[Path, str] = {}

    def start(self, known: Contents | None = None) -> None:
        """Begin to watch.

        Args:
            known: What the files held when who depends on them read them; nothing that changed
                since is missed. Without it what they hold at first is told as a change.
        """
        self._known = known
        self._watching = asyncio.create_task(self._watch(), name="file-watch")

    def tell_again(self) -> None:
        """Tell the same contents again at the next look: they may be taken by then."""
        self._known = None

    def look_soon(self) -> None:
        """Look at once rather than at the next notification, as SIGHUP asks."""
        self._wake.set()

    async def close(self) -> None:
        """Stop watching; a call of `on_change` that has begun is waited for, for a while."""
        self._closing.set()
        self._wake.set()
        if self._watching is not None:
            _, stuck = await asyncio.wait({self._watching}, timeout=_PATIENCE_SECONDS)
            for watching in stuck:
                watching.cancel()

    async def _watch(self) -> None:
        """Look at every occasion until closed."""
        while not self._closing.is_set():
            await self._look()
            seen = await asyncio.to_thread(_directories_of, self._paths)
            async with aclosing(self._occasions(seen)) as occasions:
                async for _ in occasions:
                    self._wake.clear()
                    if self._closing.is_set():
                        return
                    await self._look()
                    if await asyncio.to_thread(_directories_of, self._paths) != seen:
                        break

    async def _occasions(self, directories: _Directories) -> AsyncGenerator[None, None]:
        """Yield at each notification out of *directories*, when time is up, and when asked.

        Ends when asked, and when there can be no notifications.
        """
        try:
            async for _ in awatch(
                *(path for path, *_ in directories),
                watch_filter=None,
                debounce=_STEP_MS * 2,
                step=_STEP_MS,
                stop_event=self._wake,
                rust_timeout=int(self._every_seconds * 1000),
                yield_on_timeout=True,
                recursive=False,
            ):
                yield
        except (OSError, RuntimeError):  # too many watches, or a directory that is gone
            with suppress(TimeoutError):
                async with asyncio.timeout(self._every_seconds):
                    await self._wake.wait()
        yield

    async def _look(self) -> None:
        """Tell what the files hold, if that has changed and stays so."""
        found = await self._read()
        while found is not None and found != self._known and not self._closing.is_set():
            await asyncio.sleep(_SETTLED_SECONDS)
            again = await self._read()
            if again == found:
                self._known = found
                await self._tell(found)
                return
            found = again

    async def _tell(self, contents: Contents) -> None:
        """Tell *contents*; whatever goes wrong with them, the watch goes on."""
        try:
            await self._on_change(contents)
        except Exception as error:  # the top of a task: what depends on one file must not end it
            log.exception("watched_files_not_taken", error_type=type(error).__name__)

    async def _read(self) -> Contents | None:
        """Return what the files hold; None where one cannot be read."""
        contents, unreadable = await asyncio.to_thread(_read_all, self._paths)
        for path, why in unreadable.items():
            if path not in self.unreadable:
                log.warning("watched_file_unreadable", path=str(path), why=why)
        self.unreadable = unreadable
        return None if unreadable else contents


def _read_all(paths: Sequence[Path]) -> tuple[dict[Path, bytes], dict[Path, str]]:
    """Return what files hold, and why some of them cannot be read."""
    contents: dict[Path, bytes] = {}
    unreadable: dict[Path, str] = {}
    for path in paths:
        try:
            contents[path] = read_regular_file(path)
        except OSError as error:
            unreadable[path] = (error.strerror or type(error).__name__).lower()
    return contents, unreadable


def _directories_of(paths: Sequence[Path]) -> _Directories:
    """Return the directories in which *paths* and what they link to lie, as they are now."""
    found = set()
    for path in paths:
        with suppress(OSError, RuntimeError):  # a ring of links is a RuntimeError
            for directory in (path.parent, path.resolve().parent):
                status = directory.stat()
                found.add((directory, status.st_dev, status.st_ino))
    return frozenset(found)

"""The feed of changes on SQL: pages shared by all who ask for the same, one look for all."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final, TypeVar

from authz_service.facts.change_pages import page_after, position_after
from authz_service.facts.database import Access, Database
from authz_service.facts.sessions import Session
from authz_service.operations.change_feed import ChangePage, ChangePosition, RegistryState
from authz_service.pdp.errors import FactsUnavailableError

_THREADS: Final = 2
_LOCK_SECONDS: Final = 2.0
_STATEMENT_SECONDS: Final = 5.0
_LEAST_PACE_SECONDS: Final = 0.01

Answer = TypeVar("Answer")
Look = Callable[[], Awaitable[RegistryState]]
"""Returns the state that the registry is in, as a look tells that is young enough for a check."""


class SqlChangeFeed:
    """A `ChangeFeed` over a registry. Belongs to one event loop.

    A page is one transaction on a thread of the feed's own; between pages there is none.
    """

    def __init__(self, url: str, look: Look, *, pace_seconds: float) -> None:
        """Describe the feed; nothing is opened yet.

        Args:
            url: ``sqlite:///path`` or ``postgresql+psycopg://…``.
            look: Looks at the registry's state; shared with whoever else looks.
            pace_seconds: How often is looked while anybody waits.

        Raises:
            FactsUnavailableError: The URL names no database that this service can use.
        """
        self._database = Database(
            url,
            lock_seconds=_LOCK_SECONDS,
            statement_seconds=_STATEMENT_SECONDS,
            pool=_THREADS,
            by_index=True,
        )
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="facts-feed")
        self._look = look
        self._pace_seconds = max(pace_seconds, _LEAST_PACE_SECONDS)
        self._pages: dict[ChangePosition, asyncio.Future[ChangePage]] = {}
        self._waiting: dict[asyncio.Future[bool], RegistryState] = {}
        self._looking: asyncio.Task[None] | None = None

    async def position_after(self, revision: int, nonce: str) -> ChangePosition:
        return await self._read(lambda session: position_after(session, revision, nonce))

    async def page(self, after: ChangePosition) -> ChangePage:
        reading = self._pages.get(after)
        if reading is None:
            reading = asyncio.ensure_future(self._read(lambda session: page_after(session, after)))
            self._pages[after] = reading
            reading.add_done_callback(partial(self._page_read, after))
        return await asyncio.shield(reading)

    async def moved_on(self, known: RegistryState, seconds: float) -> bool:
        moved = asyncio.get_running_loop().create_future()
        self._waiting[moved] = known
        if self._looking is None or self._looking.done():
            self._looking = asyncio.ensure_future(self._keep_looking())
        try:
            async with asyncio.timeout(seconds):
                return bool(await moved)
        except TimeoutError:
            return False
        finally:
            self._waiting.pop(moved, None)

    def close(self) -> None:
        """Let what has begun end, and close all connections. Blocks."""
        self._threads.shutdown(wait=True, cancel_futures=True)
        self._database.close()

    def _page_read(self, after: ChangePosition, reading: asyncio.Future[ChangePage]) -> None:
        """Forget a page that was read: who comes later may find more."""
        del self._pages[after]
        if not reading.cancelled():
            reading.exception()  # whoever asked may be gone

    async def _keep_looking(self) -> None:
        """Look for as long as anybody waits; wake those whose state it is no longer.

        A look is never older than the pace, so after it none is told what was before their page.
        """
        while self._waiting:
            await asyncio.sleep(self._pace_seconds)
            try:
                state = await self._look()
            except FactsUnavailableError as error:
                self._wake(error)
                return
            self._tell(state)

    def _tell(self, state: RegistryState) -> None:
        """Wake those who know another state than *state*."""
        for moved, known in self._waiting.items():
            if known != state and not moved.done():
                moved.set_result(True)

    def _wake(self, error: FactsUnavailableError) -> None:
        """Have all who wait fail."""
        for moved in self._waiting:
            if not moved.done():
                moved.set_exception(error)

    async def _read(self, read: Callable[[Session], Answer]) -> Answer:
        """Read in one snapshot, on a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._in(read))

    def _in(self, read: Callable[[Session], Answer]) -> Callable[[], Answer]:
        """Return what reads in one snapshot."""

        def work() -> Any:
            with self._database.transaction(Access.READ) as session:
                return read(session)

        return work

"""What is stored about a person, lent out of one snapshot that is held for a bounded time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager
from typing import Final, TypeVar

from authz_service.facts.database import Access, Database
from authz_service.facts.person_search import Found, find_person, past_fact
from authz_service.facts.rows import fact_of, stored_rows
from authz_service.facts.sessions import Session
from authz_service.operations.export_person import PersonCounts, PersonPart
from authz_service.operations.writes import Tenants
from authz_service.pdp.errors import CallLimit, FactsUnavailableError, LimitExceededError

_LOCK_SECONDS: Final = 2.0
_STATEMENT_SECONDS: Final = 120.0
MOST_AT_ONCE: Final = 2
"""How many may be lent at once: each looks at every fact, and holds a snapshot."""
TAKEN_SECONDS: Final = 120.0
"""How long a snapshot is held for whoever takes its parts."""
PART_BYTES: Final = 256 << 10
"""How long the facts of a part are together, in bytes, but for the first of them."""
_PAGE: Final = 100

Answer = TypeVar("Answer")


class SqlPersonArchive:
    """A `PersonArchive` over a registry. Belongs to one event loop."""

    def __init__(self, url: str, *, taken_seconds: float = TAKEN_SECONDS) -> None:
        """Describe the archive; nothing is opened yet.

        Args:
            url: ``sqlite:///path`` or ``postgresql+psycopg://…``.
            taken_seconds: How long a snapshot is held.

        Raises:
            FactsUnavailableError: The URL names no database that this service can use.
        """
        self._database = Database(
            url,
            lock_seconds=_LOCK_SECONDS,
            statement_seconds=_STATEMENT_SECONDS,
            pool=MOST_AT_ONCE,
        )
        self._taken_seconds = taken_seconds
        self._lent = 0

    @asynccontextmanager
    async def opened(self, subject_id: str, *, within: Tenants) -> AsyncIterator[SqlPersonSnapshot]:
        """Lend what is stored about *subject_id*."""
        if self._lent >= MOST_AT_ONCE:
            raise LimitExceededError(CallLimit.STREAMS)
        self._lent += 1
        thread = ThreadPoolExecutor(1, thread_name_prefix="facts-person")
        held = _Held(self._database)
        try:
            found = await _in(thread, lambda: find_person(held.open(), subject_id, within))
            loop = asyncio.get_running_loop()
            late = loop.call_later(self._taken_seconds, thread.submit, held.close)
            try:
                yield SqlPersonSnapshot(held, thread, found)
            finally:
                late.cancel()
        finally:
            self._lent -= 1
            thread.submit(held.close)
            thread.shutdown(wait=False)

    def close(self) -> None:
        """Close all connections. Blocks."""
        self._database.close()


class _Held:
    """A transaction that lasts from call to call, all of them on one thread."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._stack = ExitStack()
        self._session: Session | None = None

    def open(self) -> Session:
        """Begin, and return the session."""
        self._session = self._stack.enter_context(self._database.transaction(Access.READ))
        return self._session

    def session(self) -> Session:
        """Return the session.

        Raises:
            FactsUnavailableError: It was held long enough.
        """
        if self._session is None:
            raise FactsUnavailableError("the export was not taken in time; ask for it again")
        return self._session

    def close(self) -> None:
        """End the transaction, if it has not ended."""
        self._session = None
        self._stack.close()


class SqlPersonSnapshot:
    """A `PersonSnapshot` out of one transaction."""

    def __init__(self, held: _Held, thread: Executor, found: Found) -> None:
        """Read *found* out of *held*, on *thread*."""
        self._thread = thread
        self._rest = _parts(held, found)
        self.counts = PersonCounts(
            found.revision, len(found.facts), len(found.past), len(found.notes)
        )

    async def parts(self) -> AsyncGenerator[PersonPart, None]:
        while (part := await _in(self._thread, lambda: next(self._rest, None))) is not None:
            yield part


async def _in(thread: Executor, work: Callable[[], Answer]) -> Answer:
    """Return what *work* returns, done on *thread*."""
    return await asyncio.get_running_loop().run_in_executor(thread, work)


def _parts(held: _Held, found: Found) -> Iterator[PersonPart]:
    """Yield all that was *found*, in parts of bounded size; one at least."""
    for start in range(0, len(found.facts), _PAGE):
        page = found.facts[start : start + _PAGE]
        rows = stored_rows(held.session(), page)
        sized = [(fact_of(one.kind, rows[one]), len(rows[one].value or "")) for one in page]
        for facts in _split(sized):
            yield PersonPart(facts=facts)
    for start in range(0, len(found.past), _PAGE):
        versions = (past_fact(held.session(), one) for one in found.past[start : start + _PAGE])
        sized = [(fact, len(repr(fact.entity))) for fact in versions if fact is not None]
        for facts in _split(sized):
            yield PersonPart(past_facts=facts)
    for notes in _split([(note, len(note)) for note in found.notes]):
        yield PersonPart(notes=notes)


def _split(sized: list[tuple[Answer, int]]) -> Iterator[tuple[Answer, ...]]:
    """Yield what comes with its length, as many together as fit a part."""
    together, length = list[Answer](), 0
    for one, its_length in sized:
        if together and length + its_length > PART_BYTES:
            yield tuple(together)
            together, length = [], 0
        together.append(one)
        length += its_length
    if together:
        yield tuple(together)

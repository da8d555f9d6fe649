"""The candidates of a list with their facts, all at one revision: facts out of the cache."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from authz_service.facts.cache import FactsCache
from authz_service.facts.questions import facts_in, questions_about
from authz_service.facts.reader import CandidateReader, Candidates, PageQuestion
from authz_service.facts.workers import ThreadsFor, worker_threads
from authz_service.operations.lists import CandidatePage, CandidateQuestion, ListKey
from authz_service.pdp.errors import FactsUnavailableError
from authz_service.pdp.facts import Facts

_THREADS: Final = 2
_ROUNDS: Final = 4
_SNAPSHOTS: Final = 3

Answer = TypeVar("Answer")


class CandidateLists:
    """A `CandidateSource` beside a cache of facts, over the same registry. For its event loop.

    Candidates are read anew for every page, and need none of the loads' threads. Their facts are
    those that the cache holds, or loads, provided that it stands at the very state in which the
    candidates were read.
    """

    def __init__(
        self,
        reader: CandidateReader,
        cache: FactsCache,
        *,
        threads_for: ThreadsFor = worker_threads,
    ) -> None:
        """Read candidates by *reader*, on worker threads; *cache* has been started."""
        self._reader = reader
        self._cache = cache
        self._bounds = cache.bounds
        self._threads = threads_for(_THREADS, "facts-list")

    async def candidates(
        self, question: CandidateQuestion, *, after: ListKey | None, limit: int, at_least: int
    ) -> CandidatePage:
        seconds = self._bounds.timeout_seconds
        try:
            async with asyncio.timeout(seconds):
                return await self._page(PageQuestion(question, after, limit), at_least)
        except TimeoutError as error:
            raise FactsUnavailableError(f"it gave no list within {seconds:g} s") from error

    def close(self) -> None:
        """End the threads as soon as the registry lets go of them."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _page(self, question: PageQuestion, at_least: int) -> CandidatePage:
        """Return the candidates with facts of the state in which they were read.

        Where somebody writes in between, both are asked for again; what was loaded is held by
        then. Where somebody always does, both come out of one snapshot.
        """
        for _ in range(_ROUNDS):
            found = await self._read(self._reader.candidates, question)
            questions = questions_about(question, found)
            facts = await self._cache.facts_for(questions, max(at_least, found.revision))
            if self._is_of(found, facts):
                return _page_of(found, facts)
        return await self._at_one_snapshot(question, at_least)

    async def _at_one_snapshot(self, question: PageQuestion, at_least: int) -> CandidatePage:
        """Return candidates and facts out of one snapshot that is young enough.

        A young look is needed in any case: only a look tells that the registry can be relied on.
        """
        staleness = self._bounds.staleness_seconds
        for _ in range(_SNAPSHOTS):
            found, load = await self._read(self._reader.candidates_with_facts, question)
            await self._cache.facts_for((), at_least)
            is_young = staleness == 0 or time.monotonic() - found.sent_at <= staleness
            if found.revision >= at_least and is_young:
                questions = questions_about(question, found)
                return _page_of(found, [facts_in(load, one, load.revision) for one in questions])
        raise FactsUnavailableError("it answers more slowly than facts may be old")

    def _is_of(self, found: Candidates, facts: Sequence[Facts]) -> bool:
        """Whether *facts*, just given by the cache, are of the state in which *found* was read."""
        return self._cache.state == (found.revision, found.nonce) and (
            not facts or facts[0].revision == found.revision
        )

    async def _read(self, read: Callable[[PageQuestion], Answer], question: PageQuestion) -> Answer:
        """Return what *read* returns on a thread of the lists' own, or did on the spot."""
        reading = self._threads.submit(read, question)
        return reading.result() if reading.done() else await asyncio.wrap_future(reading)


def _page_of(found: Candidates, facts: Sequence[Facts]) -> CandidatePage:
    """Return *found* and *facts* as the port says it."""
    return CandidatePage(facts, found.keys, found.is_last, found.revision)

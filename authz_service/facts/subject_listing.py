"""Those who may have a relation to a recording, with their facts, out of one fresh snapshot."""

from __future__ import annotations

import asyncio
import time
from typing import Final, Protocol

from authz_service.facts.cache import FactsCache
from authz_service.facts.questions import facts_in
from authz_service.facts.reader import Load
from authz_service.facts.subject_candidates import (
    SubjectCandidates,
    SubjectsPart,
    questions_of_subjects,
)
from authz_service.facts.workers import ThreadsFor, worker_threads
from authz_service.operations.subjects import SubjectPage, SubjectsQuestion
from authz_service.pdp.errors import FactsUnavailableError

_THREADS: Final = 1
_SNAPSHOTS: Final = 4


class SubjectReader(Protocol):
    """A registry as lists of subjects read it; called as a `RegistryReader` is."""

    def subjects_with_facts(self, part: SubjectsPart) -> tuple[SubjectCandidates, Load]:
        """Return the next candidates with all facts about them, read in one snapshot.

        Raises:
            FactsUnavailableError: The registry is silent, locked, gone or of another schema.
        """
        ...


class SubjectLists:
    """A `SubjectSource` beside a cache of facts, over the same registry. For its event loop.

    It is asked seldom, so nothing of it is held: candidates and facts come out of one snapshot,
    which counts if a look after it finds the registry in the same state, or if it is young.
    """

    def __init__(
        self,
        reader: SubjectReader,
        cache: FactsCache,
        *,
        threads_for: ThreadsFor = worker_threads,
    ) -> None:
        """Read by *reader*, on a worker thread; *cache*, which looks, has been started."""
        self._reader = reader
        self._cache = cache
        self._bounds = cache.bounds
        self._threads = threads_for(_THREADS, "facts-subjects")

    async def subjects(
        self, question: SubjectsQuestion, *, after: str, limit: int, at_least: int
    ) -> SubjectPage:
        seconds = self._bounds.timeout_seconds
        try:
            async with asyncio.timeout(seconds):
                return await self._page(SubjectsPart(question, after, limit), at_least)
        except TimeoutError as error:
            raise FactsUnavailableError(f"it gave no list within {seconds:g} s") from error

    def close(self) -> None:
        """End the thread as soon as the registry lets go of it."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _page(self, part: SubjectsPart, at_least: int) -> SubjectPage:
        """Return candidates and facts of a state that a fresh look has found, or a young one."""
        staleness = self._bounds.staleness_seconds
        for _ in range(_SNAPSHOTS):
            reading = self._threads.submit(self._reader.subjects_with_facts, part)
            found, load = reading.result() if reading.done() else await asyncio.wrap_future(reading)
            await self._cache.facts_for((), at_least)
            is_young = time.monotonic() - found.sent_at <= staleness
            is_same = self._cache.state == (found.revision, found.nonce)
            if found.revision >= at_least and (is_same or is_young):
                return page_of(part, found, load)
        raise FactsUnavailableError("it changes faster than it can be read")


def page_of(part: SubjectsPart, found: SubjectCandidates, load: Load) -> SubjectPage:
    """Return *found*, with the facts that *load* brought, as the port says it."""
    questions = questions_of_subjects(part, found)
    facts = [facts_in(load, one, load.revision) for one in questions]
    return SubjectPage(found.subject_ids, facts, found.is_last, found.revision)

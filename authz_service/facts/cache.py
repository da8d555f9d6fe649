"""The facts of a check, fresh and at one revision: from memory where a look allows it."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence

from authz_service.facts.cache_bounds import CacheBounds
from authz_service.facts.cache_metrics import CacheCounts, FactsCacheMetrics, SilentMetrics
from authz_service.facts.entries import Entries
from authz_service.facts.kept_containments import KeptContainments
from authz_service.facts.loads import Loads
from authz_service.facts.looks import Looks, OnUsable
from authz_service.facts.questions import facts_in, keys_of
from authz_service.facts.reader import CONTAINMENTS_KEY, RegistryReader
from authz_service.facts.workers import ThreadsFor, worker_threads
from authz_service.operations.ports import FactsQuestion
from authz_service.pdp.errors import FactsUnavailableError, RevisionAheadError
from authz_service.pdp.facts import Facts

_ROUNDS, _SNAPSHOTS = 4, 3


class FactsCache:
    """A `FactsSource` in memory, over a registry whose reader blocks. Belongs to one event loop.

    Every answer is one state of the registry, with all that was committed up to the staleness
    bound before it is given. Facts are held, never decisions. `bounds` says how old, how many and
    how long; `containments` are those known, also while nobody asks.
    """

    def __init__(
        self,
        reader: RegistryReader,
        bounds: CacheBounds,
        *,
        metrics: FactsCacheMetrics | None = None,
        on_usable: OnUsable | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        threads_for: ThreadsFor = worker_threads,
    ) -> None:
        """Make an empty cache; `start` it on the event loop that it shall belong to.

        Args:
            reader: The registry; called on worker threads only.
            bounds: How old, how many and how long.
            metrics: Hears of looks and loads.
            on_usable: Told on the event loop when the registry becomes usable or unusable.
            monotonic: The clock on which the reader says when it sent a query; in seconds.
            threads_for: Makes the worker threads.
        """
        metrics = metrics or SilentMetrics()
        self.bounds = bounds
        self._staleness = bounds.staleness_seconds
        self._monotonic = monotonic
        self._look_thread = threads_for(1, "facts-look")
        self._load_threads = threads_for(bounds.loaders, "facts-load")
        self._entries = Entries(bounds)
        self._holdings = self._entries.holdings
        self._looks = Looks(
            reader,
            self._entries,
            bounds,
            thread=self._look_thread,
            metrics=metrics,
            on_usable=on_usable,
        )
        self._loads = Loads(
            reader,
            self._entries,
            self._looks,
            bounds,
            threads=self._load_threads,
            metrics=metrics,
        )
        self._misses = Counter[str](subject=0, recording=0, patient=0, containments=0)
        self._answered = self._answered_with_patient = 0
        self._idle_look: asyncio.TimerHandle | None = None
        self.containments = KeptContainments(self._holdings, self._loads)

    @property
    def revision(self) -> int:
        return self._entries.revision

    @property
    def state(self) -> tuple[int, str]:
        """The revision, and its nonce, at which everything held is true."""
        return self._entries.revision, self._entries.nonce

    @property
    def usable(self) -> bool:
        """Whether the last look at the registry succeeded."""
        return self._looks.usable

    async def start(self) -> None:
        """Look at the registry for the first time, and from now on at least once in a while.

        Raises:
            FactsUnavailableError: The registry is not usable.
        """
        self._look_when_idle()
        await self._looks.start().wait()
        await self._loads.bring({CONTAINMENTS_KEY})

    async def close(self) -> None:
        """Fail those who wait, and end the threads as soon as the registry lets go of them."""
        if self._idle_look is not None:
            self._idle_look.cancel()
        self.containments.close()
        self._loads.close()
        self._looks.close()
        self._look_thread.shutdown(wait=False, cancel_futures=True)
        self._load_threads.shutdown(wait=False, cancel_futures=True)

    def cached(self, question: FactsQuestion, at_least: int) -> Facts | None:
        entries = self._entries
        age = self._monotonic() - entries.sent_at
        if age > self._staleness / 2:
            if age > self._staleness:
                return None
            self._looks.start()
        if entries.revision < at_least:
            return None
        facts = self._holdings.facts_of(question, entries.revision)
        if facts is not None:
            self._answered += 1
            self._answered_with_patient += facts.patient is not None
        return facts

    async def facts_for(self, questions: Sequence[FactsQuestion], at_least: int) -> Sequence[Facts]:
        begun, seconds = self._monotonic(), self.bounds.timeout_seconds
        if self._looked_since(begun) and self._entries.revision >= at_least:
            facts = self._held(questions)
            if facts is not None:
                self._answered += len(facts)
                self._answered_with_patient += sum(one.patient is not None for one in facts)
                return facts
        try:
            async with asyncio.timeout(seconds):
                return await self._waited_for(questions, at_least, begun)
        except TimeoutError as error:
            raise FactsUnavailableError(f"it gave no facts within {seconds:g} s") from error

    async def _waited_for(
        self, questions: Sequence[FactsQuestion], at_least: int, begun: float
    ) -> Sequence[Facts]:
        """Return the facts of *questions* after the looks and loads that they need."""
        for _ in range(_ROUNDS):
            await self._reach(at_least, begun)
            facts = self._held(questions)
            if facts is None:
                await self._bring_missing(questions)
            elif not self._looked_since(begun):
                await self._looks.start().wait()
            else:
                return facts
        return await self._at_one_snapshot(questions, at_least, begun)

    def counts(self) -> CacheCounts:
        """Return what is held, and what became of it since the start."""
        holdings, answered = self._holdings, self._answered
        return CacheCounts(
            revision=self._entries.revision,
            entries=holdings.counts(),
            evicted=holdings.evicted(),
            dropped=self._entries.dropped,
            hits={
                "subject": answered,
                "recording": answered,
                "patient": self._answered_with_patient,
                "containments": answered,
            },
            misses=dict(self._misses),
        )

    async def _reach(self, at_least: int, begun: float) -> None:
        """Return when the registry has reached *at_least*, as far as a look since *begun* tells."""
        entries = self._entries
        while entries.revision < at_least:
            if entries.sent_at >= begun:
                raise RevisionAheadError(at_least, entries.revision)
            await self._looks.start().wait()

    def _held(self, questions: Sequence[FactsQuestion]) -> list[Facts] | None:
        """Return the facts of *questions* unless some are missing."""
        facts_of, revision = self._holdings.facts_of, self._entries.revision
        held = []
        for question in questions:
            facts = facts_of(question, revision)
            if facts is None:
                return None
            held.append(facts)
        return held

    async def _bring_missing(self, questions: Sequence[FactsQuestion]) -> None:
        """Load what *questions* miss, unless it has just been seen that there is nobody to ask."""
        if (failed := self._looks.just_failed) is not None:
            await failed.wait()
        missing = self._holdings.missing_of(questions)
        self._misses.update(key.space for key in missing)
        await self._loads.bring(missing)

    def _looked_since(self, begun: float) -> bool:
        """Whether a look is young enough for a question asked at *begun*."""
        sent_at = self._entries.sent_at
        age = self._monotonic() - sent_at
        if age > self._staleness / 2 > 0:
            self._looks.start()
        return self._is_young(sent_at, begun)

    def _is_young(self, sent_at: float, begun: float) -> bool:
        """Whether what was sent at *sent_at* may serve now a question asked at *begun*."""
        if self._staleness == 0:
            return sent_at >= begun
        return self._monotonic() - sent_at <= self._staleness

    async def _at_one_snapshot(
        self, questions: Sequence[FactsQuestion], at_least: int, begun: float
    ) -> list[Facts]:
        """Return the facts of *questions* out of one load: nothing held has to survive for it.

        Where the load takes longer than the staleness bound, its values count as long as no
        change touched them until a look that is young enough. A young look is needed in any case:
        only a look tells that the registry can be relied on.
        """
        entries = self._entries
        for _ in range(_SNAPSHOTS):
            await self._reach(at_least, begun)
            load = await self._loads.snapshot(keys_of(questions))
            if not self._looked_since(begun):
                await self._looks.start().wait()
            if not self._looked_since(begun):
                continue
            if load.revision >= at_least and self._is_young(load.sent_at, begun):
                return [facts_in(load, question, load.revision) for question in questions]
            if entries.revision >= at_least and entries.holds_true(load):
                return [facts_in(load, question, entries.revision) for question in questions]
        raise FactsUnavailableError("it answers more slowly than facts may be old")

    def _look_when_idle(self) -> None:
        """Look at the registry where nobody else did, and again in a while."""
        seconds, loop = self.bounds.idle_look_seconds, asyncio.get_running_loop()
        if self._monotonic() - self._entries.sent_at >= seconds / 2:
            self._looks.start()
        self.containments.renew()
        self._idle_look = loop.call_later(seconds, self._look_when_idle)

"""One page of a list: candidates judged in chunks until the page is full or there are no more.

What is returned was judged on one state of the facts and at one instant, by walking all chunks at
one revision. Where the registry moves on between two chunks the walk begins again, with all that
has been walked so far in one chunk, and is given up after a few times.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from authz_service.operations.judging import Judging, Row
from authz_service.operations.lists import CandidatePage, ListKey, ListRequest
from authz_service.operations.ports import CandidateSource, Clock, FactsSource
from authz_service.pdp.errors import FactsUnavailableError, RevisionAheadError
from authz_service.pdp.model import Instant, Reason
from authz_service.pdp.ruleset import Ruleset

FEWEST_CANDIDATES = 16
"""The fewest that are asked for at once."""
MOST_CANDIDATES = 640
"""The most that are asked for at once as long as the registry stands still."""
MOST_AT_ONE_REVISION = 20_480
"""The most that are asked for at once where it does not."""
LOOK_AHEAD = 1000
"""How many candidates are judged in search of one row more than the page has."""
STRETCH = 64
"""How many candidates are judged before others have their turn: for about as long as a check."""
WALKS = 3
"""How often candidates are walked for one page."""

ALARMING = frozenset({Reason.PATIENT_BOUNDARY, Reason.FACTS_CONFLICT})
"""Denials that somebody has to hear of, though nobody asked about the recording by name."""


class Page(NamedTuple):
    """A page, all of it judged together.

    Attributes:
        rows: The rows.
        considered: How many candidates were judged for them.
        is_last: Whether no row follows.
        evaluated_at: The instant at which they were judged.
        facts_revision: The state of the registry on which they rest.
        alarms: Why candidates were denied, as far as it is among `ALARMING`.
    """

    rows: Sequence[Row]
    considered: int
    is_last: bool
    evaluated_at: Instant
    facts_revision: int
    alarms: Sequence[Reason] = ()


class PageFilling:
    """Fills one page, for one call.

    It looks for one row more than the page may have, so that a page that is said to be followed by
    another is, and candidates that are denied leave no trace. Only beyond `LOOK_AHEAD` of them in
    a row it stops looking, and says that the page is not the last without knowing.
    """

    def __init__(
        self,
        request: ListRequest,
        ruleset: Ruleset,
        *,
        facts: FactsSource,
        candidates: CandidateSource,
        clock: Clock,
        at_least: int,
    ) -> None:
        """Judge by *ruleset*; the facts are at *at_least* or later."""
        self._page_size = request.page_size
        self._judging = Judging(request, ruleset)
        self._facts = facts
        self._candidates = candidates
        self._clock = clock
        self._at_least = self._revision = at_least
        self._now = clock.now()
        self._question = self._judging.question(self._now)
        self._limit = max(FEWEST_CANDIDATES, request.page_size + request.page_size // 8 + 1)
        self._begin()

    async def filled(self, after: ListKey | None) -> Page:
        """Return the page that begins after the row of key *after*.

        Raises:
            PolicyNotReadyError: The policy cannot be evaluated.
            FactsUnavailableError: The registry is not to be relied on, or changes faster than the
                page can be put together.
            RevisionAheadError: The registry has not reached the revision asked for.
        """
        try:
            await self._walk_at_one_revision(after)
        except RevisionAheadError as ahead:
            if ahead.wanted <= self._at_least:
                raise
            raise FactsUnavailableError("it went back to an earlier state meanwhile") from ahead
        return Page(
            self._rows[: self._page_size],
            self._considered,
            self._has_ended and len(self._rows) <= self._page_size,
            self._now,
            self._revision,
            self._alarms,
        )

    @property
    def _has_enough(self) -> bool:
        """Whether the page is full, and it is known whether a row follows or too dear to know."""
        over = len(self._rows) - self._page_size
        return over > 0 or (over == 0 and self._looked_ahead >= LOOK_AHEAD)

    @property
    def _has_ended(self) -> bool:
        """Whether every candidate has been judged."""
        return self._chunk.is_last and self._position >= len(self._chunk.keys)

    def _begin(self) -> None:
        """Forget what has been walked."""
        self._chunk = CandidatePage((), (), is_last=False, revision=self._revision)
        self._position = self._asked_for = self._considered = self._looked_ahead = 0
        self._has_paused = False
        self._rows: list[Row] = []
        self._alarms: list[Reason] = []

    async def _walk_at_one_revision(self, after: ListKey | None) -> None:
        """Walk candidates, and again where the registry moved on in the middle.

        What was walked in vain comes in one chunk then, and its facts are held by now. The last
        time nothing else has its turn while a chunk is judged.
        """
        for walk in range(1, WALKS + 1):
            if await self._walk(after, pausing=walk < WALKS):
                return
            self._limit = min(MOST_AT_ONE_REVISION, 4 * self._asked_for)
            self._begin()
        raise FactsUnavailableError("it changes faster than a page can be put together")

    async def _walk(self, after: ListKey | None, *, pausing: bool) -> bool:
        """Judge candidates until there are enough rows, or no more candidates.

        Return whether all of it rests on one state, which a young look has found.
        """
        while not (self._has_enough or self._has_ended):
            if self._position >= len(self._chunk.keys):
                last = self._chunk.keys[-1] if self._chunk.keys else after
                if not await self._next_chunk(last):
                    return False
            self._judge_stretch(STRETCH if pausing else len(self._chunk.keys))
            if pausing and self._position < len(self._chunk.keys) and not self._has_enough:
                self._has_paused = True
                await asyncio.sleep(0)
        return not self._has_paused or await self._is_still_so()

    async def _next_chunk(self, after: ListKey | None) -> bool:
        """Take the candidates that follow; none where nothing is open to the subject.

        Return whether they are of the same state as those before them.
        """
        is_first = not self._asked_for
        chunk = await self._candidates.candidates(
            self._question, after=after, limit=self._limit, at_least=self._revision
        )
        self._asked_for += self._limit
        self._limit = max(self._limit, min(MOST_CANDIDATES, self._limit * 2))
        is_same = is_first or chunk.revision == self._revision
        self._revision = chunk.revision
        self._position = 0
        self._has_paused = False
        if is_first:
            self._now = self._clock.now()
        if not chunk.keys or self._judging.is_closed(chunk.facts[0], self._now):
            chunk = CandidatePage((), (), is_last=True, revision=chunk.revision)
        self._chunk = chunk
        return is_same

    async def _is_still_so(self) -> bool:
        """Whether a look that is young, now that all is judged, finds the state of the facts."""
        await self._facts.facts_for((), self._revision)
        is_same = self._facts.revision == self._revision
        self._revision = self._facts.revision
        return is_same

    def _judge_stretch(self, most: int) -> None:
        """Judge at most that many candidates of the chunk, as far as rows are needed."""
        facts, keys = self._chunk.facts, self._chunk.keys
        end = min(len(keys), self._position + most)
        while self._position < end and not self._has_enough:
            judged = self._judging.judged(keys[self._position], facts[self._position], self._now)
            self._position += 1
            self._considered += 1
            if isinstance(judged, Row):
                self._rows.append(judged)
                continue
            if len(self._rows) == self._page_size:
                self._looked_ahead += 1
            if judged in ALARMING:
                self._alarms.append(judged)

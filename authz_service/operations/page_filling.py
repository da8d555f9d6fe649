"""One page of a list: candidates judged in chunks until the page is full or there are no more.

What is returned was judged together, on one state of the facts and at one instant. Where several
chunks were needed, all rows are judged once more at the end, and the page is filled on in place of
those that have been closed in between.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from authz_service.operations.lists import (
    CandidatePage,
    CandidateQuestion,
    ListKey,
    ListRequest,
)
from authz_service.operations.ports import CandidateSource, Clock, FactsQuestion, FactsSource
from authz_service.pdp.decide import decide
from authz_service.pdp.errors import FactsUnavailableError, RevisionAheadError
from authz_service.pdp.facts import Facts
from authz_service.pdp.model import AccessRequest, Decision, Effect, Instant, Reason
from authz_service.pdp.ruleset import Ruleset
from authz_service.pdp.situation import impossible_conditions

MOST_CANDIDATES = 640
"""The most that are asked for at once."""
LOOK_AHEAD = 1000
"""How many candidates are judged in search of one row more than the page has."""

_FEWEST_CANDIDATES = 16
_NO_RECORDING = ""


class Row(NamedTuple):
    """A recording that is on the page.

    Attributes:
        key: Where it stands.
        request: The question about it.
        decision: The ALLOW.
    """

    key: ListKey
    request: AccessRequest
    decision: Decision


class Page(NamedTuple):
    """A page, all of it judged together.

    Attributes:
        rows: The rows.
        considered: How many candidates were judged for them.
        is_last: Whether no row follows.
        evaluated_at: The instant at which they were judged.
        facts_revision: The state of the registry on which they rest.
    """

    rows: Sequence[Row]
    considered: int
    is_last: bool
    evaluated_at: Instant
    facts_revision: int


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
        self._template = _template(request)
        self._subject_id, _, *self._circumstances = self._template
        self._ruleset = ruleset
        self._facts = facts
        self._candidates = candidates
        self._clock = clock
        self._at_least = self._revision = at_least
        self._now = clock.now()
        self._question = self._question_for(request)
        self._limit = max(_FEWEST_CANDIDATES, request.page_size + request.page_size // 4 + 1)
        self._chunk = CandidatePage((), (), is_last=False, revision=at_least)
        self._position = 0
        self._chunks = self._considered = self._looked_ahead = 0
        self._rows: list[Row] = []

    async def filled(self, after: ListKey | None) -> Page:
        """Return the page that begins after the row of key *after*.

        Raises:
            PolicyNotReadyError: The policy cannot be evaluated.
            FactsUnavailableError: The registry is not to be relied on.
            RevisionAheadError: The registry has not reached the revision asked for.
        """
        try:
            await self._fill(after)
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

    async def _fill(self, after: ListKey | None) -> None:
        """Judge candidates, and where they came in chunks all rows together at the end."""
        await self._look_on(after)
        while self._chunks > 1:
            await self._judge_together()
            if self._has_enough or self._has_ended:
                break
            await self._look_on(after)

    async def _look_on(self, after: ListKey | None) -> None:
        """Judge candidates until there are enough rows, or no more candidates."""
        while not (self._has_enough or self._has_ended):
            if self._position >= len(self._chunk.keys):
                await self._next_chunk(self._chunk.keys[-1] if self._chunk.keys else after)
            self._judge_chunk()

    async def _next_chunk(self, after: ListKey | None) -> None:
        """Take the candidates that follow; none where nothing is open to the subject."""
        chunk = await self._candidates.candidates(
            self._question, after=after, limit=self._limit, at_least=self._revision
        )
        self._limit = min(MOST_CANDIDATES, self._limit * 2)
        self._chunks += 1
        self._position = 0
        self._revision = chunk.revision
        self._now = self._clock.now()
        if not chunk.keys or self._is_closed(chunk.facts[0]):
            chunk = CandidatePage((), (), is_last=True, revision=chunk.revision)
        self._chunk = chunk

    def _judge_chunk(self) -> None:
        """Judge what is left of the chunk, as far as rows are needed."""
        facts, keys = self._chunk.facts, self._chunk.keys
        while self._position < len(keys) and not self._has_enough:
            row = self._judged(keys[self._position], facts[self._position])
            self._position += 1
            self._considered += 1
            if row is not None:
                self._rows.append(row)
            elif len(self._rows) == self._page_size:
                self._looked_ahead += 1

    async def _judge_together(self) -> None:
        """Judge all rows once more, on one state of the facts and at one instant."""
        if not self._rows:
            return
        questions = [
            FactsQuestion(row.request.subject_id, row.key.recording_id) for row in self._rows
        ]
        known = await self._facts.facts_for(questions, self._revision)
        self._revision = known[0].revision
        self._now = self._clock.now()
        judged = [
            self._judged(row.key, facts) for row, facts in zip(self._rows, known, strict=True)
        ]
        self._rows = [row for row in judged if row is not None]

    def _judged(self, key: ListKey, facts: Facts) -> Row | None:
        """Return the row of a candidate; None where it is denied or no longer what is asked for."""
        request = AccessRequest._make((self._subject_id, key.recording_id, *self._circumstances))
        decision = decide(request, facts, self._ruleset, self._now)
        if decision.effect is not Effect.ALLOW or facts.recording is None:
            return None
        asked_for = self._question.patient_id in (None, decision.patient_id)
        stands_there = facts.recording.recording.entity.created_at == key.created_at
        return Row(key, request, decision) if asked_for and stands_there else None

    def _is_closed(self, facts: Facts) -> bool:
        """Whether every recording is denied for what is known of the subject alone.

        Asked of no recording, what is denied for another reason than that there is none would be
        denied of each: an unknown or closed account, or a containment that names no recordings.
        """
        nothing = facts._replace(recording=None, patient=None)
        decision = decide(self._template, nothing, self._ruleset, self._now)
        return decision.reason is not Reason.RECORDING_UNKNOWN

    def _question_for(self, request: ListRequest) -> CandidateQuestion:
        """Return which recordings have to be judged."""
        impossible = impossible_conditions(self._template, self._now)
        return CandidateQuestion(
            request.subject_id,
            self._ruleset.open_relations(request.action, request.purpose_of_use, impossible),
            request.patient_id,
            request.created_from,
            request.created_to,
        )


def _template(request: ListRequest) -> AccessRequest:
    """Return the question about no recording, out of which that about each is made."""
    return AccessRequest(
        request.subject_id,
        _NO_RECORDING,
        request.action,
        request.purpose_of_use,
        request.tenant_id,
        request.assurance,
        request.authenticated_at,
        request.matter_id,
    )

"""Emergency access: opened, listed and reviewed; what is opened or reviewed is recorded first."""

from __future__ import annotations

from hashlib import sha256
from typing import NamedTuple

from authz_service.operations.emergency_ports import (
    AccessesQuestion,
    AccessKey,
    AccessPage,
    EmergencyRegistry,
    Review,
    Reviewed,
)
from authz_service.operations.even_pace import Pace
from authz_service.operations.open_emergency import Asked, Opened, OpenEmergency
from authz_service.operations.page_tokens import PageTokens
from authz_service.operations.ports import Clock, Journal
from authz_service.operations.records import CallContext, EventRecord
from authz_service.operations.under_way import UnderWay
from authz_service.operations.writes import Tenants
from authz_service.pdp.entities import GrantReview
from authz_service.pdp.entity_words import ReviewVerdict

EMERGENCY_TOKENS = "emergency-accesses"
"""The kind of list that tokens of these pages are for."""


class AccessesShown(NamedTuple):
    """A page of accesses, and the token of the next; empty where nothing follows."""

    page: AccessPage
    next_page_token: str


class EmergencyAccess:
    """The verbs of emergency access.

    An opening or a review that has begun goes on to its record even when the caller goes away.
    """

    def __init__(
        self,
        opening: OpenEmergency,
        registry: EmergencyRegistry,
        journal: Journal,
        *,
        clock: Clock,
        tokens: PageTokens,
    ) -> None:
        """Open by *opening*, read and review in *registry*, record in *journal*.

        Args:
            opening: Opens access.
            registry: Where accesses are.
            journal: Where reviews are recorded.
            clock: The service's time.
            tokens: Sign where a page ends.
        """
        self._opening = opening
        self._registry = registry
        self._journal = journal
        self._clock = clock
        self._tokens = tokens
        self._under_way = UnderWay(journal)

    async def finish(self, seconds: float) -> None:
        """Return once all that has begun is recorded or has failed, or after *seconds*."""
        await self._under_way.finish(seconds)

    async def open(self, asked: Asked, context: CallContext, pace: Pace | None = None) -> Opened:
        """Open access or refuse it; see `OpenEmergency`."""
        return await self._under_way.to_the_end(self._opening(asked, context, pace))

    async def page(
        self,
        question: AccessesQuestion,
        context: CallContext,
        *,
        page_size: int,
        page_token: str,
        within: Tenants,
    ) -> AccessesShown:
        """Return the accesses after those of *page_token*, or the newest where it is empty.

        Raises:
            InvalidRequestError: The token belongs to another question, or to none.
            FactsUnavailableError: The registry cannot be read.
        """
        signed = (context.caller, *question)
        after = None
        if page_token:
            began, grant_id = self._tokens.read(page_token, signed)
            after = AccessKey(str(began), str(grant_id))
        page = await self._registry.page(question, after=after, limit=page_size, within=within)
        token = "" if page.is_last or page.last is None else self._tokens.issue(signed, page.last)
        return AccessesShown(page, token)

    async def review(  # noqa: PLR0913  # one argument for each thing that a review says
        self,
        grant_id: str,
        verdict: ReviewVerdict,
        note: str,
        *,
        actor: str,
        source: str,
        context: CallContext,
        within: Tenants,
    ) -> Reviewed:
        """Say, as another person than who opened it, whether an access was right.

        Raises:
            NotFoundError: There is no such access, or it is not of the tenants in *within*.
            StateError: It was reviewed before, or by this person it may not be.
            FactsUnavailableError: The registry cannot be written.
            JournalUnavailableError: The review could not be recorded; it may have been made.
        """
        review = Review(grant_id, GrantReview(self._clock.now(), actor, verdict), note, source)
        return await self._under_way.to_the_end(self._review(review, context, within))

    async def _review(self, review: Review, context: CallContext, within: Tenants) -> Reviewed:
        """Write and record."""
        reviewed = await self._registry.review(review, within=within)
        grant, said = reviewed.grant, review.review
        event = EventRecord(
            "emergency_reviewed",
            self._clock.now(),
            context,
            said.by,
            (
                ("grant_id", grant.id),
                ("subject_id", grant.subject_id or ""),
                ("patient_id", grant.patient_id or ""),
                ("verdict", said.verdict.value),
                *(
                    (("note_digest", sha256(review.note.encode()).hexdigest()),)
                    if review.note
                    else ()
                ),
                ("facts_revision", reviewed.revision),
            ),
        )
        await self._journal.append((event,))
        return reviewed

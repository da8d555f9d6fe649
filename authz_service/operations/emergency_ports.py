"""The registry as emergency access needs it: what an opening rests on, and the accesses there are.

The docstrings are the contract, as in `ports.py`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple, Protocol

from authz_service.operations.writes import Tenants
from authz_service.pdp.emergency import OpeningFacts
from authz_service.pdp.entities import Grant, GrantReview
from authz_service.pdp.facts import Fact
from authz_service.pdp.model import Instant


class Opening(NamedTuple):
    """An access that is to be opened.

    Attributes:
        grant: What gives it; it names the subject and the patient.
        judged: The facts on which it was judged.
        actor: Who is answerable.
    """

    grant: Fact[Grant]
    judged: OpeningFacts
    actor: str


class Opened(NamedTuple):
    """What became of an opening.

    Attributes:
        revision: The revision that holds the grant; None where nothing was written, because the
            facts are others than those on which it was judged.
        known: The facts as they are.
    """

    revision: int | None
    known: OpeningFacts


class AccessState(StrEnum):
    """Which accesses to show; all of them where none is stated."""

    OPEN = "OPEN"
    UNREVIEWED = "UNREVIEWED"
    REVIEWED = "REVIEWED"


class AccessesQuestion(NamedTuple):
    """Which accesses are asked for: those to which all that is not None applies.

    Attributes:
        subject_id: Held by whom.
        patient_id: To whose recordings.
        state: In which state.
    """

    subject_id: str | None = None
    patient_id: str | None = None
    state: AccessState | None = None


class AccessKey(NamedTuple):
    """Where a list of accesses stands: it goes on with what began before, or has a smaller id.

    Attributes:
        began: When it began: RFC 3339 in UTC without the zone; empty where it does not say.
        id: The grant.
    """

    began: str
    id: str


class AccessPage(NamedTuple):
    """Some accesses, newest first, as they are at one revision.

    Attributes:
        grants: The grants.
        last: Where the page ends; None where it is empty.
        is_last: Whether nothing follows.
        revision: The registry's revision.
    """

    grants: tuple[Grant, ...]
    last: AccessKey | None
    is_last: bool
    revision: int


class Review(NamedTuple):
    """A review that is to be written.

    Attributes:
        grant_id: Of which access.
        review: What it says; who reviewed is answerable for it.
        note: Why, in words; empty where there are none.
        source: As which system it is written.
    """

    grant_id: str
    review: GrantReview
    note: str
    source: str


class Reviewed(NamedTuple):
    """What became of a review: the grant with it, and the registry's revision."""

    grant: Grant
    revision: int


class AccessStanding(NamedTuple):
    """How many accesses there are, for those who watch over them.

    Attributes:
        open: How many are in force.
        unreviewed: How many nobody has reviewed.
        oldest: When the oldest of these began; None where there is none.
    """

    open: int
    unreviewed: int
    oldest: Instant | None


class EmergencyRegistry(Protocol):
    """The registry, not through any cache. Every method raises `FactsUnavailableError` as well."""

    async def known(self, subject_id: str, patient_id: str) -> OpeningFacts:
        """Return what an opening rests on, all at one revision: what was committed by now."""
        ...

    async def open(self, opening: Opening) -> Opened:
        """Write the grant if the facts are still those on which it was judged.

        No other write comes between that comparison and this one, on whichever replica: of two
        openings the second is judged on what the first has left.
        """
        ...

    async def page(
        self,
        question: AccessesQuestion,
        *,
        after: AccessKey | None,
        limit: int,
        within: Tenants = None,
    ) -> AccessPage:
        """Return the next accesses, newest first: at most *limit*, fewer only at the end.

        Those of other tenants than *within* are left out.
        """
        ...

    async def review(self, review: Review, *, within: Tenants = None) -> Reviewed:
        """Write a review onto its grant, and its note beside it.

        Raises:
            NotFoundError: There is no such access, or it is not of the tenants in *within*.
            StateError: It was reviewed before, or by this person it may not be.
        """
        ...


class AccessCounts(Protocol):
    """How many emergency accesses there are."""

    async def standing(self) -> AccessStanding:
        """Return how many accesses there are; by the service's clock.

        Keeps nobody waiting who writes.

        Raises:
            FactsUnavailableError: The registry is silent, locked or gone.
        """
        ...

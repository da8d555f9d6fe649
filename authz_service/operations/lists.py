"""What a list is asked, where it stands, and the recordings that it has to judge."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from authz_service.pdp.facts import Facts
from authz_service.pdp.model import Action, Assurance, Instant, PurposeOfUse, Relation


class ListKey(NamedTuple):
    """Where a list stands: it goes on with what is older, or as old and of a smaller id.

    Attributes:
        created_at: When the recording was made.
        recording_id: The recording.
    """

    created_at: Instant
    recording_id: str


class ListRequest(NamedTuple):
    """One well-formed question for a page of a list.

    Attributes:
        subject_id: Who wants to see it.
        action: What each recording must be permitted for.
        purpose_of_use: What for.
        tenant_id: The tenant that the caller acts for; None where it names none.
        assurance: How the subject was authenticated; None where not stated.
        authenticated_at: When the subject last authenticated; None where not stated.
        matter_id: The legal matter of the access; None where there is none.
        patient_id: Only recordings of this patient; None for anybody's.
        created_from: Only recordings made then or later; None for any.
        created_to: Only recordings made before; None for any.
        page_size: Most rows, 1 to 500.
        page_token: Where to go on, as an earlier page said it; empty for the first page.
        is_explained: Whether it is not for the subject, but for who asks what the subject may.
    """

    subject_id: str
    action: Action
    purpose_of_use: PurposeOfUse
    tenant_id: str | None = None
    assurance: Assurance | None = None
    authenticated_at: Instant | None = None
    matter_id: str | None = None
    patient_id: str | None = None
    created_from: Instant | None = None
    created_to: Instant | None = None
    page_size: int = 50
    page_token: str = ""
    is_explained: bool = False


class CandidateQuestion(NamedTuple):
    """Which recordings a list has to judge.

    Attributes:
        subject_id: To whom they must be reachable.
        relations: Through which relations; through none, there is no candidate.
        patient_id: Whose they must be by their owner; None for anybody's.
        created_from: Made at that instant or later; None for any.
        created_to: Made before that instant; None for any.
    """

    subject_id: str
    relations: frozenset[Relation]
    patient_id: str | None = None
    created_from: Instant | None = None
    created_to: Instant | None = None


class CandidatePage(NamedTuple):
    """Some candidates, all as they are at one revision of the registry.

    Attributes:
        facts: The facts of a question about each, newest recording first.
        keys: Where the list stands after each.
        is_last: Whether there are none after these.
        revision: The revision.
    """

    facts: Sequence[Facts]
    keys: Sequence[ListKey]
    is_last: bool
    revision: int

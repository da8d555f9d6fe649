"""What a question for everybody who may is made of, and the subjects that it has to judge."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from authz_service.pdp.facts import Facts
from authz_service.pdp.model import (
    AccessRequest,
    Action,
    Assurance,
    Instant,
    PurposeOfUse,
    Relation,
)


class SubjectsRequest(NamedTuple):
    """One well-formed question for a page of those who may.

    Attributes:
        recording_id: Which recording.
        action: What each must be permitted for.
        purpose_of_use: What for.
        tenant_id: The tenant that the caller acts for; None where it names none.
        assurance: How each would be authenticated; None where not stated.
        authenticated_at: When each would have authenticated; None where not stated.
        matter_id: The legal matter of the access; None where there is none.
        page_size: Most rows, 1 to 500.
        page_token: Where to go on, as an earlier page said it; empty for the first page.
    """

    recording_id: str
    action: Action
    purpose_of_use: PurposeOfUse
    tenant_id: str | None = None
    assurance: Assurance | None = None
    authenticated_at: Instant | None = None
    matter_id: str | None = None
    page_size: int = 50
    page_token: str = ""

    def about(self, subject_id: str) -> AccessRequest:
        """Return the question about one subject."""
        return AccessRequest(subject_id, *self[:-2])


class SubjectsQuestion(NamedTuple):
    """Which subjects a page has to judge.

    Attributes:
        recording_id: What they must be able to reach.
        relations: Through which relations; through none, there is no candidate.
    """

    recording_id: str
    relations: frozenset[Relation]


class SubjectPage(NamedTuple):
    """Some candidates, all as they are at one revision of the registry.

    Attributes:
        subject_ids: Who, by id.
        facts: The facts of a question about each.
        is_last: Whether there are none after these.
        revision: The revision.
    """

    subject_ids: Sequence[str]
    facts: Sequence[Facts]
    is_last: bool
    revision: int

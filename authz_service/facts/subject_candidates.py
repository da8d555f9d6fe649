"""Reads who may have a relation to one recording: what names it or its patient, by index.

What it costs depends on how many have something to do with the recording or its patient, and not
on how many there are. Those are few, so all of them are read and cut off here: a planner that was
asked for them in order could walk all that there is in that order instead. Only the services of a
tenant may be many, and have an index in the order of a page.
"""

from __future__ import annotations

from functools import cache
from typing import Final, NamedTuple

import orjson

from authz_service.facts.revisions import STATE, checked_state
from authz_service.facts.sessions import Query, Row, Session
from authz_service.operations.ports import FactsQuestion
from authz_service.operations.subjects import SubjectsQuestion
from authz_service.pdp.model import Relation

_ATTENDED: Final = (
    "SELECT f.subject_id FROM attendance_participants f WHERE f.recording_id = :recording"
)
_TREATING: Final = "SELECT f.staff_id FROM relationships f WHERE f.patient_id = :owner"
_ACTING: Final = "SELECT f.delegate_id FROM delegations f WHERE f.patient_id = :owner"
_GRANTS: Final = (
    "SELECT f.subject_id FROM grants f WHERE f.recording_id = :recording",
    "SELECT f.subject_id FROM grants f WHERE f.patient_id = :owner AND f.recording_id IS NULL",
)
_KEEPING: Final = (
    "SELECT * FROM (SELECT s.id FROM subjects s"
    " WHERE s.tenant_id = :tenant AND (s.value::json ->> 'kind') = 'SERVICE'"
    " AND s.id > :after ORDER BY s.id LIMIT :limit) k"
)

_WAYS: Final[dict[Relation, tuple[str, ...]]] = {
    Relation.OWNER: (),
    Relation.ATTENDING: (_ATTENDED,),
    Relation.OTHER_PARTICIPANT: (_ATTENDED,),
    Relation.TREATING: (_TREATING,),
    Relation.GUARDIAN: (_ACTING,),
    Relation.DELEGATE: (_ACTING,),
    Relation.GRANTEE: _GRANTS,
    Relation.EMERGENCY: _GRANTS,
    Relation.LEGAL: _GRANTS,
    Relation.QUALITY: _GRANTS,
    Relation.CUSTODIAN: (_KEEPING,),
}
"""The ways by which somebody may come to each relation, beside what the recording itself says."""

_RECORDING: Final = Query(
    "SELECT r.tenant_id, r.owner_id, r.value FROM recordings r"
    " WHERE r.id = :recording AND r.value IS NOT NULL",
    columns=3,
)


class SubjectsPart(NamedTuple):
    """Which part of those who may is asked for.

    Attributes:
        of: To which recording, by which relations.
        after: The id after which it goes on; empty for the beginning.
        limit: How many at most.
    """

    of: SubjectsQuestion
    after: str
    limit: int


class SubjectCandidates(NamedTuple):
    """The subjects that come next, as they are at one revision.

    Attributes:
        revision: The registry's revision.
        nonce: The revision's nonce.
        subject_ids: Who, by id.
        is_last: Whether there are none after these.
        sent_at: ``time.monotonic()``, in seconds, just before the first query was sent.
    """

    revision: int
    nonce: str
    subject_ids: tuple[str, ...]
    is_last: bool
    sent_at: float


def read_subjects(session: Session, part: SubjectsPart, sent_at: float) -> SubjectCandidates:
    """Return what *part* asks for, with the state of the registry.

    Of a recording that no fact knows there is nobody.

    Args:
        session: A transaction that sees one state of the registry.
        part: Which part, of which recording.
        sent_at: When the reading began, on the monotonic clock.

    Raises:
        FactsUnavailableError: The schema is of another version.
    """
    recording_id = part.of.recording_id
    state, rows = session.gather((STATE, _RECORDING), {"recording": recording_id})
    revision, nonce = checked_state(state[0] if state else None)
    found = sorted(_found(session, part, rows[0])) if rows else []
    is_last = len(found) <= part.limit
    return SubjectCandidates(revision, nonce, tuple(found[: part.limit]), is_last, sent_at)


def _found(session: Session, part: SubjectsPart, recording: Row) -> set[str]:
    """Return whoever comes after the last, as far as one more than *part* asks for needs."""
    tenant_id, owner_id, value = recording
    relations = part.of.relations
    found = {owner_id} if Relation.OWNER in relations else set()
    if Relation.LEGAL in relations:
        found |= _viewers(value)
    query = query_for(relations)
    if query is not None:
        parameters = {
            "recording": part.of.recording_id,
            "owner": owner_id,
            "tenant": tenant_id,
            "after": part.after,
            "limit": part.limit + 1,
        }
        found.update(row[0] for row in session.gather((query,), parameters)[0])
    return {one for one in found if one is not None and one > part.after}


def questions_of_subjects(part: SubjectsPart, found: SubjectCandidates) -> list[FactsQuestion]:
    """Return the question about each subject that was *found* for *part*."""
    return [FactsQuestion(subject_id, part.of.recording_id) for subject_id in found.subject_ids]


@cache
def query_for(relations: frozenset[Relation]) -> Query | None:
    """Return the query for those who may have one of *relations*; None where none is needed."""
    ways = dict.fromkeys(way for relation in sorted(relations) for way in _WAYS[relation])
    return Query(" UNION ".join(ways), columns=1) if ways else None


def _viewers(value: str) -> set[str]:
    """Return the viewers of the holds on a recording, out of its stored value."""
    holds = orjson.loads(value).get("holds") or ()
    return {viewer for hold in holds for viewer in hold.get("viewers") or ()}

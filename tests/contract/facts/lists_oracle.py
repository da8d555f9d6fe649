"""Who may reach which recording, told plainly from all facts at once."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from authz_service.facts.database import Access, Database
from authz_service.facts.pages import all_facts
from authz_service.operations.lists import CandidateQuestion, ListKey
from authz_service.pdp.entities import (
    Attendance,
    Delegation,
    Entity,
    Grant,
    Recording,
    Relationship,
    Subject,
)
from authz_service.pdp.entity_words import FactKind, ParticipantKind, SubjectKind
from authz_service.pdp.model import Relation

_RELATIONS_OF = {
    "attending": (Relation.ATTENDING,),
    "beside": (Relation.OTHER_PARTICIPANT,),
    "treating": (Relation.TREATING,),
    "proxy": (Relation.GUARDIAN, Relation.DELEGATE),
    "hold": (Relation.LEGAL,),
    "SHARE": (Relation.GRANTEE,),
    "LEGAL": (Relation.LEGAL,),
    "QUALITY": (Relation.QUALITY,),
    "EMERGENCY": (Relation.EMERGENCY,),
}


def stored_facts(url: str) -> list[Entity]:
    """Return every entity that a registry holds."""
    database = Database(url, lock_seconds=2, pool=1)
    with database.transaction(Access.READ) as session:
        found = [fact.entity for kind in FactKind for fact in all_facts(session, kind)]
    database.close()
    return found


def stored_reach(url: str) -> list[tuple[Any, ...]]:
    """Return what a registry says of who may reach what."""
    database = Database(url, lock_seconds=2, pool=1)
    with database.transaction(Access.READ) as session:
        columns = "subject_id, way, created_at, recording_id"
        found = session.rows(f"SELECT {columns} FROM recording_reach")  # noqa: S608  # ours
    database.close()
    return sorted(found)


def reach_of(entities: Collection[Entity]) -> list[tuple[Any, ...]]:
    """Return what the registry has to say of who may reach what, given all facts."""
    return sorted(
        {
            (who, way, microseconds(one.created_at), one.id)
            for one in entities
            if isinstance(one, Recording) and one.created_at is not None
            for who, way in _ways_to(one, entities)
        }
    )


def candidates_of(entities: Collection[Entity], question: CandidateQuestion) -> list[ListKey]:
    """Return all candidates of *question*, in order, given all facts."""
    asked = set(question.relations)
    found = []
    for one in entities:
        if not isinstance(one, Recording) or one.created_at is None:
            continue
        if question.patient_id not in (None, one.owner_id):
            continue
        if question.created_from is not None and one.created_at < question.created_from:
            continue
        if question.created_to is not None and one.created_at >= question.created_to:
            continue
        if asked & set(_relations_to(question.subject_id, one, entities)):
            found.append(ListKey(one.created_at, one.id))
    return sorted(found, reverse=True)


def microseconds(instant: datetime) -> int:
    """Return *instant* as the registry holds it."""
    return (instant - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def _relations_to(
    subject_id: str, recording: Recording, entities: Collection[Entity]
) -> Iterator[Relation]:
    """Yield the relations that a subject may have to a recording."""
    if recording.owner_id == subject_id:
        yield Relation.OWNER
    if any(
        one.kind is SubjectKind.SERVICE and one.tenant_id == recording.tenant_id
        for one in entities
        if isinstance(one, Subject) and one.id == subject_id
    ):
        yield Relation.CUSTODIAN
    for who, way in _ways_to(recording, entities):
        if who == subject_id:
            yield from _RELATIONS_OF[way]


def _ways_to(recording: Recording, entities: Collection[Entity]) -> Iterator[tuple[str, str]]:
    """Yield who may reach *recording*, and in which way."""
    for hold in recording.holds:
        yield from ((viewer, "hold") for viewer in hold.viewers)
    for one in entities:
        if isinstance(one, Attendance) and one.id == recording.id:
            yield from _taking_part(one)
        elif isinstance(one, (Relationship, Delegation, Grant)) and _is_about(one, recording):
            yield from _named_by(one)


def _taking_part(attendance: Attendance) -> Iterator[tuple[str, str]]:
    """Yield who was in a call beside the patient."""
    for who in attendance.participants:
        if who.kind is ParticipantKind.CLINICIAN:
            yield who.subject_id, "attending"
        elif who.kind is not ParticipantKind.PATIENT:
            yield who.subject_id, "beside"


def _is_about(fact: Relationship | Delegation | Grant, recording: Recording) -> bool:
    """Whether *fact* names the recording or, where it names none, its owner."""
    if isinstance(fact, Grant) and fact.recording_id is not None:
        return fact.recording_id == recording.id
    return fact.patient_id is not None and fact.patient_id == recording.owner_id


def _named_by(fact: Relationship | Delegation | Grant) -> Iterator[tuple[str, str]]:
    """Yield to whom *fact* opens a way, if it names anybody."""
    match fact:
        case Relationship(staff_id=str() as who):
            yield who, "treating"
        case Delegation(delegate_id=str() as who):
            yield who, "proxy"
        case Grant(subject_id=str() as who, kind=kind):
            yield who, kind.value

"""What stands against erasing a patient: somebody else's facts, a hold, a review that is due."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final

from authz_service.facts.belonging import known_tenants
from authz_service.facts.recordings import judged
from authz_service.facts.sessions import Session
from authz_service.operations.writes import Tenants
from authz_service.pdp.entities import (
    Attendance,
    Block,
    Consent,
    Consultation,
    Delegation,
    Entity,
    Grant,
    Recording,
    Relationship,
    Subject,
)
from authz_service.pdp.entity_words import GrantKind, ParticipantKind, SubjectKind
from authz_service.pdp.errors import (
    CallerNotAllowedError,
    CallerRefusal,
    NotFoundError,
    StateError,
)

_MOST_NAMED: Final = 5
_DISPUTED: Final = (
    "SELECT recording_id FROM attributions WHERE disputed AND (recording_id = ANY(:ids)"
    " OR recording_id IN (SELECT id FROM past_mentions WHERE named_id = :patient"
    " AND kind = 'recording') AND patient_id = :patient)"
)


def require_patient(entity: Entity | None, patient_id: str, within: Tenants) -> None:
    """Refuse whoever is no patient, or not the caller's.

    Raises:
        CallerNotAllowedError: They are not of the tenants in *within*, or are not known.
        NotFoundError: No fact knows them.
        StateError: They are no patient.
    """
    subject = entity if isinstance(entity, Subject) else None
    if within is not None and (subject is None or subject.tenant_id not in within):
        raise CallerNotAllowedError("erase that patient", CallerRefusal.TENANT)
    if subject is None:
        raise NotFoundError(f"patient {patient_id}")
    if subject.kind is not SubjectKind.PATIENT:
        raise StateError(f"subject {patient_id}", "is no patient, and only patients are erased")


def require_within(session: Session, within: Tenants, stored: Collection[Entity]) -> None:
    """Refuse to erase what is not the caller's, whoever the patient is of.

    Raises:
        CallerNotAllowedError: A fact is not known to be of the tenants in *within*.
    """
    if within is None:
        return
    known = known_tenants(session, stored)
    if not all(known.is_within(entity, within) for entity in stored):
        what = "erase facts about that patient which are not known to be of its tenants"
        raise CallerNotAllowedError(what, CallerRefusal.TENANT)


def require_theirs_alone(
    session: Session, patient_id: str, recordings: Collection[str], stored: Iterable[Entity]
) -> None:
    """Refuse to erase what facts say of somebody else as well, or said and nobody has resolved.

    Raises:
        StateError: Names the recordings.
    """
    others = {
        one.id
        for one in stored
        if isinstance(one, (Recording, Attendance)) and patients_of(one) - {patient_id}
    }
    others |= {
        recording_id
        for recording_id, one in judged(session, recordings).items()
        if one.facts.consultation is not None
        and patients_of(one.facts.consultation.entity) - {patient_id}
    }
    if others:
        raise StateError(
            f"patient {patient_id}",
            f"the facts of {_some(others)} name another patient, too; correct those first, where"
            " they come from",
        )
    parameters = {"ids": recordings, "patient": patient_id}
    disputed = {row[0] for row in session.rows(_DISPUTED, parameters)}
    if disputed:
        own = _some(disputed.intersection(recordings)) or "a recording that was theirs"
        raise StateError(
            f"patient {patient_id}",
            f"the owner of {own} was changed; somebody has to resolve that first",
        )


def require_free(stored: Iterable[Entity]) -> None:
    """Refuse to erase what somebody still needs.

    Raises:
        StateError: Says what, and what has to happen first.
    """
    entities = list(stored)
    held = {one.id for one in entities if isinstance(one, Recording) and one.holds}
    if held:
        raise StateError(_some(held), "under a legal hold; it has to end first")
    unreviewed = {
        one.id
        for one in entities
        if isinstance(one, Grant) and one.kind is GrantKind.EMERGENCY and one.review is None
    }
    if unreviewed:
        raise StateError(_some(unreviewed), "an emergency access; somebody has to review it first")


def patients_of(entity: Entity) -> set[str]:
    """Return the patients whom *entity* is about."""
    match entity:
        case Subject():
            named: Iterable[str | None] = (entity.id,)
        case Recording():
            named = (entity.owner_id,)
        case Attendance():
            named = (
                who.subject_id for who in entity.participants if who.kind is ParticipantKind.PATIENT
            )
        case Consultation() | Delegation() | Block() | Relationship() | Grant() | Consent():
            named = (entity.patient_id,)
        case _:
            named = ()
    return {one for one in named if one}


def _some(ids: Collection[str]) -> str:
    """Return the first of *ids*, and that there are more."""
    first = sorted(ids)[:_MOST_NAMED]
    more = f" and {len(ids) - len(first)} more" if len(ids) > len(first) else ""
    return ", ".join(first) + more

"""What there is to erase of a patient, and what stands against it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from authz_service.facts.decoding import entity_of
from authz_service.facts.erasure_hindrances import (
    patients_of,
    require_free,
    require_patient,
    require_theirs_alone,
    require_within,
)
from authz_service.facts.rows import Stored, entity_in, stored_rows
from authz_service.facts.sessions import Session
from authz_service.facts.tenancy import references_within
from authz_service.operations.writes import Tenants
from authz_service.pdp.entities import Entity, Grant
from authz_service.pdp.entity_words import FactKind
from authz_service.pdp.facts import FactReference

_RECORDED: Final = (
    "SELECT id FROM recordings WHERE owner_id = :id"
    " UNION SELECT r.id FROM consultations c JOIN recordings r ON r.consultation_id = c.id"
    " WHERE c.patient_id = :id"
    " UNION SELECT recording_id FROM attendance_participants"
    " WHERE subject_id = :id AND kind = 'PATIENT'"
)
_ABOUT: Final = " UNION ALL ".join(
    f"SELECT '{kind.value}', id FROM {table} WHERE patient_id = :id"  # noqa: S608  # names of ours
    for kind, table in (
        (FactKind.CONSULTATION, "consultations"),
        (FactKind.DELEGATION, "delegations"),
        (FactKind.BLOCK, "blocks"),
        (FactKind.RELATIONSHIP, "relationships"),
        (FactKind.GRANT, "grants"),
        (FactKind.CONSENT, "consents"),
    )
)
_GRANTED: Final = "SELECT id FROM grants WHERE recording_id = ANY(:ids)"
_BOOKED: Final = (
    "SELECT consultation_id FROM recordings WHERE id = ANY(:ids) AND consultation_id IS NOT NULL"
)
_NAMING: Final = (
    "SELECT 'delegation', id FROM delegations WHERE delegate_id = :id"
    " UNION SELECT 'block', id FROM blocks WHERE delegate_id = :id"
    " UNION SELECT 'grant', id FROM grants WHERE subject_id = :id"
    " UNION SELECT 'attendance', recording_id FROM attendance_participants WHERE subject_id = :id"
    " UNION SELECT 'subject', subject_id FROM subject_links WHERE other_id = :id"
    " UNION SELECT 'recording', recording_id FROM recording_reach"
    " WHERE subject_id = :id AND way = 'hold'"
)
_DELETED: Final = (
    "SELECT DISTINCT r.id FROM past_mentions p JOIN recordings r ON r.id = p.id"
    " WHERE p.named_id = :id AND p.kind = 'recording' AND r.value IS NULL"
)
_ONCE: Final = "SELECT DISTINCT kind, id FROM past_mentions WHERE named_id = ANY(:ids)"
_VERSIONS: Final = (
    "SELECT revision, value FROM fact_changes"
    " WHERE kind = :kind AND id = :id AND NOT in_place AND value IS NOT NULL ORDER BY revision"
)


@dataclass(frozen=True, slots=True)
class Erasable:
    """What there is to erase.

    Attributes:
        patient_id: Of whom.
        stored: The facts about them.
        rows: The rows of those facts.
        absent: Facts about them that are not stored: deleted before, or not here yet.
        versions: Earlier versions, by the revision that wrote them, of facts that are about others.
        naming: How many facts of others name the patient, as far as the caller may know of them.
    """

    patient_id: str
    stored: dict[FactReference, Entity]
    rows: dict[FactReference, Stored]
    absent: tuple[FactReference, ...]
    versions: tuple[tuple[FactReference, int], ...]
    naming: int


def erasable(session: Session, patient_id: str, within: Tenants) -> Erasable:
    """Return what there is to erase of a patient.

    Raises:
        CallerNotAllowedError: The patient is not of the tenants in *within*, or is not known.
        NotFoundError: No fact knows the patient.
        StateError: Something stands against it.
    """
    own = FactReference(FactKind.SUBJECT, patient_id)
    require_patient(entity_in(own.kind, stored_rows(session, [own]).get(own)), patient_id, within)
    recordings = _recordings(session, patient_id)
    references = {own, *_references(session, patient_id, recordings)}
    rows = stored_rows(session, references)
    stored = {
        reference: entity
        for reference, row in rows.items()
        if (entity := entity_in(reference.kind, row)) is not None
    }
    require_within(session, within, stored.values())
    require_theirs_alone(session, patient_id, recordings, stored.values())
    require_free(stored.values())
    deleted, versions = _earlier(session, {patient_id, *recordings}, stored)
    absent = (references - stored.keys()).union(deleted)
    naming = _naming(session, patient_id, within) - stored.keys()
    return Erasable(patient_id, stored, rows, tuple(absent), versions, len(naming))


def _recordings(session: Session, patient_id: str) -> list[str]:
    """Return the recordings of a patient, deleted ones included: something may be about these."""
    deleted = (
        FactReference(FactKind.RECORDING, row[0])
        for row in session.rows(_DELETED, {"id": patient_id})
    )
    found = {row[0] for row in session.rows(_RECORDED, {"id": patient_id})}
    return sorted(found | {one.id for one in deleted if _versions(session, one, {patient_id})})


def _naming(session: Session, patient_id: str, within: Tenants) -> set[FactReference]:
    """Return what names a patient, as far as it is known to be of the tenants in *within*."""
    found = [
        FactReference(FactKind(kind), one)
        for kind, one in session.rows(_NAMING, {"id": patient_id})
    ]
    if within is None:
        return set(found)
    return set(references_within(session, within, stored_rows(session, found)))


def _references(
    session: Session, patient_id: str, recordings: Collection[str]
) -> set[FactReference]:
    """Return what is about a patient: their recordings with all around them, and the rest."""
    found = {
        FactReference(kind, one)
        for kind in (FactKind.RECORDING, FactKind.ATTENDANCE)
        for one in recordings
    }
    found |= {
        FactReference(FactKind(kind), one) for kind, one in session.rows(_ABOUT, {"id": patient_id})
    }
    granted = session.rows(_GRANTED, {"ids": list(recordings)})
    found |= {FactReference(FactKind.GRANT, row[0]) for row in granted}
    booked = session.rows(_BOOKED, {"ids": list(recordings)})
    return found | {FactReference(FactKind.CONSULTATION, row[0]) for row in booked}


def _earlier(
    session: Session, theirs: Collection[str], stored: Collection[FactReference]
) -> tuple[tuple[FactReference, ...], tuple[tuple[FactReference, int], ...]]:
    """Return facts about a patient that were deleted, and versions of what is about others now.

    Args:
        session: A transaction that writes.
        theirs: The ids of the patient and of their recordings.
        stored: What is about the patient still.
    """
    once = [
        reference
        for kind, fact_id in session.rows(_ONCE, {"ids": theirs})
        if (reference := FactReference(FactKind(kind), fact_id)) not in stored
    ]
    rows = stored_rows(session, once)
    deleted, versions = [], []
    for reference in once:
        about = _versions(session, reference, theirs)
        row = rows.get(reference)
        if about and row is not None and row.value is None:
            deleted.append(reference)
        else:
            versions += about
    return tuple(deleted), tuple(versions)


def _versions(
    session: Session, reference: FactReference, theirs: Collection[str]
) -> list[tuple[FactReference, int]]:
    """Return the earlier versions of a fact that are about a patient."""
    names = {"kind": reference.kind.value, "id": reference.id}
    return [
        (reference, revision)
        for revision, value in session.rows(_VERSIONS, names)
        if _is_about(entity_of(reference.kind, value), theirs)
    ]


def _is_about(entity: Entity, theirs: Collection[str]) -> bool:
    """Whether *entity* is about a patient, or a grant on a recording of theirs."""
    recording_id = entity.recording_id if isinstance(entity, Grant) else None
    return recording_id in theirs or not patients_of(entity).isdisjoint(theirs)

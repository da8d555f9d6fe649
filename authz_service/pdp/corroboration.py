"""A recording's patient is known only when three facts from different sources agree.

Owner (recording pipeline), booking (booking system) and attendance (media server) are three
witnesses. In June 2020 one of them was wrong; a gate that asked it alone would have opened.
"""

from __future__ import annotations

from authz_service.pdp.entities import Attendance, Consultation, Recording
from authz_service.pdp.entity_words import ParticipantKind
from authz_service.pdp.facts import Attribution, Fact, PatientFacts, RecordingFacts, Standing

OWNER_CHANGED = "the owner was changed after all facts had agreed"
"""What is said of a disputed recording."""


def attribute(
    recording: Fact[Recording],
    consultation: Fact[Consultation] | None,
    attendance: Fact[Attendance] | None,
    *,
    disputed: bool = False,
) -> Attribution:
    """Return whose *recording* it is by its own facts.

    Args:
        recording: The recording.
        consultation: The consultation that it names, where one is known.
        attendance: Who was in the call, where that is known.
        disputed: Whether the owner was changed after all three had agreed, and no person has
            resolved it since.
    """
    attended = _attending_patients(attendance)
    booked = consultation.entity.patient_id if consultation else None
    named = {who for who in (recording.entity.owner_id, booked, *attended) if who}
    conflicts = _conflicts(recording.entity, consultation, len(named), len(attended))
    if disputed:
        conflicts = (*conflicts, OWNER_CHANGED)
    gaps = _gaps(recording, consultation, attendance)
    patient_id = next(iter(named)) if len(named) == 1 else None
    if conflicts:
        return Attribution(Standing.CONFLICT, patient_id, conflicts + gaps)
    if gaps:
        return Attribution(Standing.INCOMPLETE, patient_id, gaps)
    return Attribution(Standing.AGREED, patient_id)


def standing(recording: RecordingFacts, patient: PatientFacts | None) -> Standing:
    """Return what the facts say of *recording*, with what is known of the *patient* it names.

    A patient of another tenant is a disagreement; a patient whom no fact knows is a gap; where
    both apply, the conflict is the answer.
    """
    own = recording.attribution.standing
    if own is Standing.CONFLICT:
        return own
    if patient is None:
        return Standing.INCOMPLETE
    if patient.subject.tenant_id != recording.recording.entity.tenant_id:
        return Standing.CONFLICT
    return own


def corroborated_patient_id(recording: RecordingFacts, patient: PatientFacts | None) -> str | None:
    """Return the patient of *recording*, or None where the facts do not agree on one."""
    if standing(recording, patient) is Standing.AGREED:
        return recording.attribution.patient_id
    return None


def _attending_patients(attendance: Fact[Attendance] | None) -> frozenset[str]:
    """Return the ids of those who attended as PATIENT."""
    if attendance is None:
        return frozenset()
    return frozenset(
        participant.subject_id
        for participant in attendance.entity.participants
        if participant.kind is ParticipantKind.PATIENT
    )


def _conflicts(
    recording: Recording, consultation: Fact[Consultation] | None, named: int, attended: int
) -> tuple[str, ...]:
    """Return the disagreements among the facts, in words."""
    found = []
    if attended > 1:
        found.append("several patients attended")
    elif named > 1:
        found.append("owner, booking and attendance name different patients")
    if consultation is not None:
        if consultation.entity.tenant_id != recording.tenant_id:
            found.append("the consultation is of another tenant")
        made, began = recording.created_at, consultation.entity.started_at
        if made is not None and began is not None and made < began:
            found.append("the recording is older than its consultation")
    return tuple(found)


def _gaps(
    recording: Fact[Recording],
    consultation: Fact[Consultation] | None,
    attendance: Fact[Attendance] | None,
) -> tuple[str, ...]:
    """Return what is missing among the facts, in words."""
    sources = [fact.source for fact in (recording, consultation, attendance) if fact is not None]
    missing = (
        (not recording.entity.owner_id, "no owner is named"),
        (recording.entity.created_at is None, "it is not known when the recording was made"),
        *_gaps_of_booking(consultation),
        *_gaps_of_attendance(attendance),
        (
            len(set(sources)) < len(sources) or not all(sources),
            "two facts come from the same source",
        ),
    )
    return tuple(words for is_missing, words in missing if is_missing)


def _gaps_of_booking(consultation: Fact[Consultation] | None) -> tuple[tuple[bool, str], ...]:
    """Return what may be missing of a consultation, and whether it is."""
    if consultation is None:
        return ((True, "the consultation is not known"),)
    return (
        (not consultation.entity.patient_id, "the consultation does not say who booked it"),
        (
            consultation.entity.started_at is None,
            "it is not known when the consultation began",
        ),
    )


def _gaps_of_attendance(attendance: Fact[Attendance] | None) -> tuple[tuple[bool, str], ...]:
    """Return what may be missing of an attendance, and whether it is."""
    if attendance is None:
        return ((True, "the attendance is not known"),)
    attended = _attending_patients(attendance)
    return (
        (not attended, "no patient is known to have attended"),
        (not all(attended), "somebody without an id attended as the patient"),
    )

"""What binds every policy: no rule, role or grant can relax anything on this page."""

from __future__ import annotations

from authz_service.pdp.corroboration import standing
from authz_service.pdp.entities import ContainmentScope, Recording, Subject
from authz_service.pdp.entity_words import (
    Audience,
    HoldKind,
    RecordingState,
    SubjectKind,
    SubjectStatus,
)
from authz_service.pdp.facts import Facts, PatientFacts, RecordingFacts, Standing
from authz_service.pdp.model import AccessRequest, Action, Condition, Instant, Reason, Situation
from authz_service.pdp.relations import Relations

EMERGENCY_ACTIONS = frozenset({Action.LIST, Action.READ_METADATA, Action.VIEW})
"""What emergency access may ever give."""

_CLOSED_STATES: dict[RecordingState, Reason | None] = {
    RecordingState.ACTIVE: None,
    RecordingState.QUARANTINED: Reason.RECORDING_QUARANTINED,
    RecordingState.DELETED: Reason.RECORDING_DELETED,
    RecordingState.PROCESSING: Reason.RECORDING_PROCESSING,
    RecordingState.RESTRICTED: Reason.RECORDING_RESTRICTED,
}
CLOSED_ACCOUNTS: dict[SubjectStatus, Reason | None] = {
    SubjectStatus.ACTIVE: None,
    SubjectStatus.SUSPENDED: Reason.SUBJECT_SUSPENDED,
    SubjectStatus.DECEASED: Reason.SUBJECT_DECEASED,
}
"""Why an account of each status opens nothing; None where it may."""
_UNCORROBORATED: dict[Standing, Reason | None] = {
    Standing.AGREED: None,
    Standing.CONFLICT: Reason.FACTS_CONFLICT,
    Standing.INCOMPLETE: Reason.FACTS_INCOMPLETE,
}


def before_policy(request: AccessRequest, facts: Facts, now: Instant) -> Reason | None:
    """Return the first reason to deny that no policy is asked about, or None."""
    if facts.containments and is_contained(request, facts, now):
        return Reason.CONTAINED
    if facts.subject is None:
        return Reason.SUBJECT_UNKNOWN
    subject = facts.subject.subject
    closed = CLOSED_ACCOUNTS[subject.status]
    if closed is not None:
        return closed
    if facts.recording is None:
        return Reason.RECORDING_UNKNOWN
    tenant_id = facts.recording.recording.entity.tenant_id
    if subject.tenant_id != tenant_id or request.tenant_id not in (None, tenant_id):
        return Reason.TENANT_MISMATCH
    return _closed_recording(request, facts.recording, facts.patient, now) or _kept_from_subject(
        request, facts
    )


def is_contained(request: AccessRequest, facts: Facts, now: Instant) -> bool:
    """Whether a containment in force covers *request*."""
    return any(
        (containment.lifted_at is None or now < containment.lifted_at)
        and _covers(containment.scope, request, facts)
        for containment in facts.containments
    )


def _covers(scope: ContainmentScope, request: AccessRequest, facts: Facts) -> bool:
    """Whether every field of *scope* that is set holds; what is not known does not match."""
    recording = facts.recording.recording.entity if facts.recording else None
    return (
        _covers_subject(scope.audience, facts)
        and scope.action in (None, request.action)
        and (not scope.recording_ids or request.recording_id in scope.recording_ids)
        and _covers_recording(scope, recording)
    )


def _covers_subject(audience: Audience | None, facts: Facts) -> bool:
    """Whether *audience* includes the subject."""
    if audience is None or audience is Audience.EVERYONE:
        return True
    kind = facts.subject.subject.kind if facts.subject else None
    wanted = SubjectKind.PATIENT if audience is Audience.PATIENTS else SubjectKind.STAFF
    return kind is wanted


def _covers_recording(scope: ContainmentScope, recording: Recording | None) -> bool:
    """Whether what *scope* asks of the recording itself holds."""
    start, end = scope.created_from, scope.created_to
    if (
        scope.tenant_id is None
        and scope.created_by_release is None
        and start is None
        and end is None
    ):
        return True
    if recording is None:
        return False
    made = recording.created_at
    return (
        scope.tenant_id in (None, recording.tenant_id)
        and scope.created_by_release in (None, recording.created_by_release)
        and (start is None or (made is not None and start <= made))
        and (end is None or (made is not None and made < end))
    )


def _closed_recording(
    request: AccessRequest, facts: RecordingFacts, patient: PatientFacts | None, now: Instant
) -> Reason | None:
    """Return why the recording is closed, by what is known of it and by its state."""
    recording = facts.recording.entity
    closed = _UNCORROBORATED[standing(facts, patient)] or _CLOSED_STATES[recording.state]
    if closed is not None:
        return closed
    if _retention_expired(request, recording, now):
        return Reason.RETENTION_EXPIRED
    return _held(request, recording) if recording.holds else None


def _retention_expired(request: AccessRequest, recording: Recording, now: Instant) -> bool:
    """Whether retention is over for this question; deletion and a hold's viewer go on."""
    if recording.retention_until is None or now < recording.retention_until:
        return False
    if request.action is Action.DELETE:
        return False
    return not any(
        request.subject_id in hold.viewers and hold.matter_id == request.matter_id
        for hold in recording.holds
    )


def _held(request: AccessRequest, recording: Recording) -> Reason | None:
    """Return how a legal hold stops the question; a viewer of one freeze passes that one only."""
    if any(
        hold.kind is HoldKind.FREEZE and request.subject_id not in hold.viewers
        for hold in recording.holds
    ):
        return Reason.LEGAL_HOLD_FROZEN
    return Reason.LEGAL_HOLD if request.action is Action.DELETE else None


def _kept_from_subject(request: AccessRequest, facts: Facts) -> Reason | None:
    """Return why this subject is kept from a recording that is open as such."""
    if facts.subject is None or facts.recording is None or facts.patient is None:
        return Reason.FACTS_INCOMPLETE
    subject_id, patient = request.subject_id, facts.patient
    recording = facts.recording.recording.entity
    if (
        recording.sealed
        and subject_id != patient.subject.id
        and subject_id not in recording.named_viewers
    ):
        return Reason.SEALED
    return kept_apart(facts.subject.subject, patient)


def kept_apart(subject: Subject, patient: PatientFacts) -> Reason | None:
    """Return why staff are kept from the recordings of themselves and of their family, or None."""
    if subject.kind is SubjectKind.STAFF:
        if subject.id in patient.person_ids:
            return Reason.STAFF_OWN_RECORD
        if subject.id in patient.family_ids:
            return Reason.STAFF_FAMILY_RECORD
    return None


def after_policy(
    facts: Facts,
    situation: Situation,
    relations: Relations,
    *,
    patient_is_subject: bool,
    by_emergency_alone: bool,
) -> Reason | None:
    """Return the reason that binds what a rule has allowed, or None.

    Args:
        facts: What is known.
        situation: What the rule saw.
        relations: The relations, with what gave them.
        patient_is_subject: Whether the subject is the recording's patient.
        by_emergency_alone: Whether no other relation would have been allowed.
    """
    kind = facts.subject.subject.kind if facts.subject else None
    if by_emergency_alone:
        limited = (
            kind is not SubjectKind.STAFF
            or situation.action not in EMERGENCY_ACTIONS
            or Condition.MFA not in situation.conditions
        )
        return Reason.EMERGENCY_LIMIT if limited else None
    if kind is SubjectKind.PATIENT and not patient_is_subject and not relations.by_right:
        return Reason.PATIENT_BOUNDARY
    return None

"""What a subject is to a recording, derived from facts alone.

All relations are against the corroborated patient and at one instant. Delegations and grants hold
for their own actions only. An `Obstacle` may be lifted, to ask what would be without it; lifting
touches the subject's own delegations, relationships and grants, and never an approval.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from authz_service.pdp.delegations import delegated, delegations_of, in_force, is_blocked
from authz_service.pdp.entities import Grant
from authz_service.pdp.entity_words import GrantKind, ParticipantKind, SubjectKind
from authz_service.pdp.facts import Fact, Facts, PatientFacts, RecordingFacts, SubjectFacts
from authz_service.pdp.model import AccessRequest, Action, Evidence, Instant, Relation
from authz_service.pdp.reasons import Obstacle

_GRANT_RELATIONS = {
    GrantKind.SHARE: Relation.GRANTEE,
    GrantKind.LEGAL: Relation.LEGAL,
    GrantKind.QUALITY: Relation.QUALITY,
    GrantKind.EMERGENCY: Relation.EMERGENCY,
}


@dataclass(slots=True)
class Relations:
    """The relations found, with the facts that gave them.

    Attributes:
        evidence: For each relation the facts that gave it.
        legal_matters: The matters of the legal grants and holds that gave `legal`.
        by_right: Whether a delegation or a grant, emergency aside, gave a relation.
    """

    evidence: dict[Relation, tuple[Evidence, ...]] = field(default_factory=dict)
    legal_matters: frozenset[str] = frozenset()
    by_right: bool = False

    def add(self, relation: Relation, evidence: Evidence) -> None:
        """Note that a fact gives *relation*."""
        self.evidence[relation] = (*self.evidence.get(relation, ()), evidence)

    def add_matter(self, matter_id: str | None) -> None:
        """Note the matter of a legal grant or hold; one that names none adds none."""
        if matter_id:
            self.legal_matters |= {matter_id}


def relations_of(
    request: AccessRequest, facts: Facts, now: Instant, lifted: Obstacle | None = None
) -> Relations:
    """Return what the subject of *request* is to its recording at *now*.

    Args:
        request: The question.
        facts: Facts in which subject, recording and corroborated patient are known.
        now: The service's time.
        lifted: An obstacle to imagine away.
    """
    subject, recording, patient = facts.subject, facts.recording, facts.patient
    found = Relations()
    if subject is None or recording is None or patient is None:
        return found
    _by_taking_part(found, subject, recording, patient)
    _by_custody(found, subject, recording)
    if patient.relationships:
        _by_relationship(found, subject, patient, now, lifted)
    if patient.delegations:
        _by_delegation(found, request, patient, now, lifted)
    if recording.grants or patient.grants:
        _by_grant(found, request, facts, now, lifted)
    if recording.recording.entity.holds:
        _by_hold(found, subject, recording)
    return found


def _by_taking_part(
    found: Relations, subject: SubjectFacts, recording: RecordingFacts, patient: PatientFacts
) -> None:
    """Find the patient, and those who were in the call beside the patient."""
    subject_id = subject.subject.id
    if subject_id == patient.subject.id:
        found.evidence[Relation.OWNER] = recording.ownership
    attendance, attended = recording.attendance, recording.attended
    if attendance is None or attended is None:
        return
    for participant in attendance.entity.participants:
        if participant.subject_id != subject_id or participant.kind is ParticipantKind.PATIENT:
            continue
        if participant.kind is ParticipantKind.CLINICIAN:
            found.add(Relation.ATTENDING, attended)
        else:
            found.add(Relation.OTHER_PARTICIPANT, attended)


def _by_custody(found: Relations, subject: SubjectFacts, recording: RecordingFacts) -> None:
    """Find the service that keeps the recordings of its tenant."""
    if subject.subject.kind is not SubjectKind.SERVICE:
        return
    if subject.subject.tenant_id == recording.recording.entity.tenant_id:
        found.add(Relation.CUSTODIAN, recording.recording.evidence)


def _by_relationship(
    found: Relations,
    subject: SubjectFacts,
    patient: PatientFacts,
    now: Instant,
    lifted: Obstacle | None,
) -> None:
    """Find the staff who treat the patient."""
    subject_id = subject.subject.id
    for fact in [one for one in patient.relationships if one.entity.staff_id == subject_id]:
        care = fact.entity
        valid_to = None if lifted is Obstacle.RELATIONSHIP_ENDED else care.valid_to
        if in_force(care.valid_from, valid_to, now):
            found.add(Relation.TREATING, fact.evidence)


def _by_delegation(
    found: Relations,
    request: AccessRequest,
    patient: PatientFacts,
    now: Instant,
    lifted: Obstacle | None,
) -> None:
    """Find the guardian and the delegates of the patient."""
    own = delegations_of(request.subject_id, patient)
    if not own or is_blocked(request.subject_id, patient, now, lifted):
        return
    for fact in own:
        relation = delegated(fact.entity, request.action, patient, now, lifted)
        if relation is not None:
            found.add(relation, fact.evidence)
            found.by_right = True


def _by_grant(
    found: Relations,
    request: AccessRequest,
    facts: Facts,
    now: Instant,
    lifted: Obstacle | None,
) -> None:
    """Find what grants give: a share, a legal matter, a quality review, an emergency access."""
    if facts.subject is None or facts.recording is None or facts.patient is None:
        return
    for fact in grants_of(request.subject_id, facts.recording, facts.patient):
        grant = fact.entity
        valid_to = None if lifted is Obstacle.GRANT_ENDED else grant.valid_to
        revoked = grant.revoked_at is not None and lifted is not Obstacle.GRANT_REVOKED
        if revoked or request.action not in grant.actions:
            continue
        if not in_force(grant.valid_from, valid_to, now):
            continue
        if not _approved(grant, facts.subject, facts.patient, now, lifted):
            continue
        relation = _GRANT_RELATIONS[grant.kind]
        found.add(relation, fact.evidence)
        found.by_right = found.by_right or relation is not Relation.EMERGENCY
        if relation is Relation.LEGAL:
            found.add_matter(grant.matter_id)


def grants_of(
    subject_id: str, recording: RecordingFacts, patient: PatientFacts
) -> list[Fact[Grant]]:
    """Return the grants to *subject_id* that reach the recording, in force or not.

    A grant that names both a recording and a patient reaches where both are met.
    """
    return [
        fact
        for fact in (*recording.grants, *patient.grants)
        if fact.entity.subject_id == subject_id
        and fact.entity.recording_id in (None, recording.recording.entity.id)
        and fact.entity.patient_id in (None, patient.subject.id)
    ]


def _approved(
    grant: Grant,
    subject: SubjectFacts,
    patient: PatientFacts,
    now: Instant,
    lifted: Obstacle | None,
) -> bool:
    """Whether somebody who may has approved *grant*.

    A share needs the patient, or a guardian or delegate of theirs with SHARE, and no block
    between patient and subject; every other grant needs another person than its holder.
    """
    approver = grant.approved_by
    if not approver:
        return False
    if grant.kind is not GrantKind.SHARE:
        return approver not in subject.person_ids
    if is_blocked(subject.subject.id, patient, now, lifted):
        return False
    if approver == patient.subject.id:
        return True
    return not is_blocked(approver, patient, now) and any(
        delegated(fact.entity, Action.SHARE, patient, now, None) is not None
        for fact in delegations_of(approver, patient)
    )


def _by_hold(found: Relations, subject: SubjectFacts, recording: RecordingFacts) -> None:
    """Find the viewers whom a legal hold names."""
    for hold in recording.recording.entity.holds:
        if subject.subject.id in hold.viewers:
            found.add(Relation.LEGAL, recording.recording.evidence)
            found.add_matter(hold.matter_id)


def obstacles_of_grants(
    subject_id: str, recording: RecordingFacts, patient: PatientFacts
) -> set[Obstacle]:
    """Return what may stand in the way of a grant or a relationship of care."""
    found: set[Obstacle] = set()
    for care in patient.relationships:
        if care.entity.staff_id == subject_id and care.entity.valid_to is not None:
            found.add(Obstacle.RELATIONSHIP_ENDED)
    for grant in grants_of(subject_id, recording, patient):
        if grant.entity.valid_to is not None:
            found.add(Obstacle.GRANT_ENDED)
        if grant.entity.revoked_at is not None:
            found.add(Obstacle.GRANT_REVOKED)
    return found

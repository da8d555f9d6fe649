"""The entities of the registry: what systems and people say, as they say it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from authz_service.pdp.entity_words import (
    Audience,
    CompetenceOutcome,
    ConsentScope,
    ConsentStatus,
    DelegationKind,
    EmergencyGround,
    FactKind,
    GrantKind,
    HoldKind,
    Modality,
    ParticipantKind,
    RecordingState,
    RelationshipKind,
    ReviewVerdict,
    SubjectKind,
    SubjectStatus,
)
from authz_service.pdp.model import Action, Instant


@dataclass(frozen=True, slots=True)
class Tenant:
    """An organisation, its time zone (IANA) and the ages, in years, at which proxies change."""

    id: str
    time_zone: str
    proxy_restricted_from_age: int = 11
    proxy_suspended_from_age: int = 16


@dataclass(frozen=True, slots=True)
class RoleAssignment:
    """A role held in ``[valid_from, valid_to)``; without a beginning it is not held."""

    role: str
    valid_from: Instant | None = None
    valid_to: Instant | None = None


@dataclass(frozen=True, slots=True)
class Login:
    """An account under which a subject logs in."""

    issuer: str
    subject: str


@dataclass(frozen=True, slots=True)
class Subject:
    """A person or a service. Declared kinship and sameness only ever deny."""

    id: str
    tenant_id: str
    kind: SubjectKind
    status: SubjectStatus
    birth_date: date | None = None
    roles: tuple[RoleAssignment, ...] = ()
    logins: tuple[Login, ...] = ()
    same_person_as: tuple[str, ...] = ()
    family: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Consultation:
    """An appointment, from the booking system; `patient_id` is who booked it."""

    id: str
    tenant_id: str
    patient_id: str | None = None
    modality: Modality | None = None
    started_at: Instant | None = None
    ended_at: Instant | None = None


@dataclass(frozen=True, slots=True)
class Hold:
    """A legal hold on a recording, and the subjects who may see it for the matter."""

    matter_id: str
    kind: HoldKind
    viewers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Recording:
    """A recording, from the recording pipeline; `owner_id` is whom the registry names on it."""

    id: str
    tenant_id: str
    state: RecordingState
    consultation_id: str | None = None
    owner_id: str | None = None
    sealed: bool = False
    named_viewers: tuple[str, ...] = ()
    confidential_from_proxy: bool = False
    created_at: Instant | None = None
    created_by_release: str | None = None
    retention_until: Instant | None = None
    holds: tuple[Hold, ...] = ()


@dataclass(frozen=True, slots=True)
class Participant:
    """Somebody who took part in a call."""

    subject_id: str
    kind: ParticipantKind
    joined_at: Instant | None = None
    left_at: Instant | None = None


@dataclass(frozen=True, slots=True)
class Attendance:
    """Who was in the call, from the media server; its id is the recording's."""

    id: str
    participants: tuple[Participant, ...] = ()


@dataclass(frozen=True, slots=True)
class CompetenceReview:
    """A review of a young person's competence; counts from `at` on."""

    at: Instant
    outcome: CompetenceOutcome


@dataclass(frozen=True, slots=True)
class Delegation:
    """A person who may act for a patient, for `actions`, in ``[valid_from, valid_to)``."""

    id: str
    kind: DelegationKind
    patient_id: str | None = None
    delegate_id: str | None = None
    actions: tuple[Action, ...] = ()
    valid_from: Instant | None = None
    valid_to: Instant | None = None
    revoked_at: Instant | None = None
    patient_consented_at: Instant | None = None
    competence_review: CompetenceReview | None = None


@dataclass(frozen=True, slots=True)
class Block:
    """A safeguarding block between two people; without a beginning, from always."""

    id: str
    patient_id: str
    delegate_id: str
    valid_from: Instant | None = None
    valid_to: Instant | None = None


@dataclass(frozen=True, slots=True)
class Relationship:
    """A relationship of care, in ``[valid_from, valid_to)``."""

    id: str
    kind: RelationshipKind
    patient_id: str | None = None
    staff_id: str | None = None
    valid_from: Instant | None = None
    valid_to: Instant | None = None


@dataclass(frozen=True, slots=True)
class GrantReview:
    """A review of an emergency access."""

    at: Instant
    by: str
    verdict: ReviewVerdict


@dataclass(frozen=True, slots=True)
class Grant:
    """A right given to one person, on one recording or on all of one patient."""

    id: str
    kind: GrantKind
    subject_id: str | None = None
    recording_id: str | None = None
    patient_id: str | None = None
    actions: tuple[Action, ...] = ()
    valid_from: Instant | None = None
    valid_to: Instant | None = None
    revoked_at: Instant | None = None
    matter_id: str | None = None
    ground: EmergencyGround | None = None
    reason: str | None = None
    approved_by: str | None = None
    review: GrantReview | None = None


@dataclass(frozen=True, slots=True)
class Consent:
    """What a patient agreed to; the latest effective one that is not in the future counts."""

    id: str
    patient_id: str
    scope: ConsentScope
    status: ConsentStatus
    effective_at: Instant | None = None


@dataclass(frozen=True, slots=True)
class ContainmentScope:
    """What a containment covers: the conjunction of the fields that are set."""

    audience: Audience | None = None
    tenant_id: str | None = None
    action: Action | None = None
    created_by_release: str | None = None
    recording_ids: tuple[str, ...] = ()
    created_from: Instant | None = None
    created_to: Instant | None = None


@dataclass(frozen=True, slots=True)
class Containment:
    """Access switched off for what its scope covers, until it is lifted."""

    id: str
    scope: ContainmentScope
    reason: str | None = None
    set_by: str | None = None
    set_at: Instant | None = None
    lifted_by: str | None = None
    lifted_at: Instant | None = None


Entity = (
    Tenant
    | Subject
    | Consultation
    | Recording
    | Attendance
    | Delegation
    | Block
    | Relationship
    | Grant
    | Consent
    | Containment
)

ENTITY_TYPES: dict[FactKind, type[Entity]] = {
    FactKind.TENANT: Tenant,
    FactKind.SUBJECT: Subject,
    FactKind.CONSULTATION: Consultation,
    FactKind.RECORDING: Recording,
    FactKind.ATTENDANCE: Attendance,
    FactKind.DELEGATION: Delegation,
    FactKind.BLOCK: Block,
    FactKind.RELATIONSHIP: Relationship,
    FactKind.GRANT: Grant,
    FactKind.CONSENT: Consent,
    FactKind.CONTAINMENT: Containment,
}

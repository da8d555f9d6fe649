"""What is known: the entities of the registry, and the values that a check rests on."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from typing import Generic, NamedTuple, TypeVar

from authz_service.pdp.model import Action, Evidence, Instant


class FactKind(StrEnum):
    """The kinds of facts; each is the name of its entity in the import format."""

    TENANT = "tenant"
    SUBJECT = "subject"
    CONSULTATION = "consultation"
    RECORDING = "recording"
    ATTENDANCE = "attendance"
    DELEGATION = "delegation"
    BLOCK = "block"
    RELATIONSHIP = "relationship"
    GRANT = "grant"
    CONSENT = "consent"
    CONTAINMENT = "containment"


class SubjectKind(StrEnum):
    """Kinds of subjects."""

    PATIENT = "PATIENT"
    STAFF = "STAFF"
    SERVICE = "SERVICE"


class SubjectStatus(StrEnum):
    """The state of a subject's account."""

    ACTIVE = "ACTIVE"
    SUSPENDED = "SUSPENDED"
    DECEASED = "DECEASED"


class Modality(StrEnum):
    """How a consultation was held."""

    AUDIO = "AUDIO"
    VIDEO = "VIDEO"
    SWITCHED = "SWITCHED"


class RecordingState(StrEnum):
    """The state of a recording."""

    PROCESSING = "PROCESSING"
    ACTIVE = "ACTIVE"
    RESTRICTED = "RESTRICTED"
    QUARANTINED = "QUARANTINED"
    DELETED = "DELETED"


class HoldKind(StrEnum):
    """What a legal hold does: forbid deletion, or forbid viewing as well."""

    PRESERVE = "PRESERVE"
    FREEZE = "FREEZE"


class ParticipantKind(StrEnum):
    """As what somebody took part in a call."""

    PATIENT = "PATIENT"
    CLINICIAN = "CLINICIAN"
    INTERPRETER = "INTERPRETER"
    CHAPERONE = "CHAPERONE"
    OBSERVER = "OBSERVER"


class DelegationKind(StrEnum):
    """On what ground somebody acts for a patient."""

    PARENTAL = "PARENTAL"
    CONSENTED = "CONSENTED"
    LASTING_POWER = "LASTING_POWER"
    DEPUTY = "DEPUTY"
    CARER = "CARER"


class CompetenceOutcome(StrEnum):
    """What a review of a young person's competence found."""

    PROXY_CONTINUES = "PROXY_CONTINUES"
    PROXY_ENDS = "PROXY_ENDS"


class RelationshipKind(StrEnum):
    """Kinds of relationships of care."""

    TREATING_TEAM = "TREATING_TEAM"
    REFERRAL = "REFERRAL"
    APPOINTMENT = "APPOINTMENT"


class GrantKind(StrEnum):
    """Kinds of grants."""

    SHARE = "SHARE"
    LEGAL = "LEGAL"
    QUALITY = "QUALITY"
    EMERGENCY = "EMERGENCY"


class EmergencyGround(StrEnum):
    """On what ground emergency access was opened."""

    CONSENT = "CONSENT"
    LEGAL_REQUIREMENT = "LEGAL_REQUIREMENT"
    PUBLIC_INTEREST = "PUBLIC_INTEREST"
    VITAL_INTEREST = "VITAL_INTEREST"


class ReviewVerdict(StrEnum):
    """What a review of an emergency access found."""

    JUSTIFIED = "JUSTIFIED"
    UNJUSTIFIED = "UNJUSTIFIED"


class ConsentScope(StrEnum):
    """What a consent is to."""

    TRAINING = "TRAINING"
    RESEARCH = "RESEARCH"


class ConsentStatus(StrEnum):
    """Whether a consent stands."""

    ACTIVE = "ACTIVE"
    WITHDRAWN = "WITHDRAWN"


class Audience(StrEnum):
    """Whom a containment stops."""

    PATIENTS = "PATIENTS"
    STAFF = "STAFF"
    EVERYONE = "EVERYONE"


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

_KINDS: dict[type, FactKind] = {entity: kind for kind, entity in ENTITY_TYPES.items()}
_KIND_NAMES: dict[type, str] = {entity: kind.value for kind, entity in ENTITY_TYPES.items()}

E_co = TypeVar("E_co", bound=Entity, covariant=True)


@dataclass(frozen=True, slots=True)
class Fact(Generic[E_co]):
    """An entity, with who said so and when they saw it.

    Attributes:
        entity: What is said.
        source: The system that says it.
        observed_at: When that system saw it.
        revision: The registry's revision that wrote it; 0 before it is stored.
    """

    entity: E_co
    source: str
    observed_at: Instant
    revision: int = 0

    @property
    def kind(self) -> FactKind:
        """The kind of the entity."""
        return _KINDS[type(self.entity)]

    @property
    def evidence(self) -> Evidence:
        """This fact, as a record names it."""
        return Evidence(_KIND_NAMES[type(self.entity)], self.entity.id, self.revision)


@dataclass(frozen=True, slots=True)
class FactReference:
    """Names one fact."""

    kind: FactKind
    id: str


class Standing(StrEnum):
    """What the facts say together of whose recording it is."""

    AGREED = "AGREED"
    INCOMPLETE = "INCOMPLETE"
    CONFLICT = "CONFLICT"


@dataclass(frozen=True, slots=True)
class Attribution:
    """Whose recording it is by the recording's own facts, before the patient is looked at.

    Attributes:
        standing: Whether booking, owner and attendance agree.
        patient_id: The one patient whom all those that speak name; None where none or several.
        disagreements: What disagrees or is missing, in words without personal data.
    """

    standing: Standing
    patient_id: str | None
    disagreements: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SubjectFacts:
    """What is known of who asks.

    Attributes:
        subject: The subject.
        person_ids: Every id of the same person, the subject's own included.
    """

    subject: Subject
    person_ids: frozenset[str]


@dataclass(frozen=True, slots=True)
class RecordingFacts:
    """What is known of a recording.

    Attributes:
        recording: The recording.
        consultation: The consultation it is of, if known.
        attendance: Who was in the call, if known.
        grants: Grants on this one recording.
        attribution: Whose it is by these facts.
        ownership: The facts that name the patient. Made once, because most checks that are
            allowed are allowed to the owner.
    """

    recording: Fact[Recording]
    consultation: Fact[Consultation] | None
    attendance: Fact[Attendance] | None
    grants: tuple[Fact[Grant], ...]
    attribution: Attribution
    ownership: tuple[Evidence, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Name the facts that name the patient."""
        witnesses = (self.recording, self.consultation, self.attendance)
        ownership = tuple(fact.evidence for fact in witnesses if fact is not None)
        object.__setattr__(self, "ownership", ownership)


@dataclass(frozen=True, slots=True)
class PatientFacts:
    """What is known of the person whom a recording is about.

    Attributes:
        subject: The patient.
        restricted_from: From when proxies are restricted; None where not known.
        suspended_from: From when parental delegations are suspended; None where not known.
        person_ids: Every id of the same person, the patient's own included.
        family_ids: Every id of every declared relative.
        delegations: Delegations by or for the patient.
        blocks: Safeguarding blocks that protect the patient.
        relationships: Relationships of care.
        grants: Grants on all recordings of the patient.
        consents: Consents, given and withdrawn.
    """

    subject: Subject
    restricted_from: Instant | None
    suspended_from: Instant | None
    person_ids: frozenset[str]
    family_ids: frozenset[str] = frozenset()
    delegations: tuple[Fact[Delegation], ...] = ()
    blocks: tuple[Fact[Block], ...] = ()
    relationships: tuple[Fact[Relationship], ...] = ()
    grants: tuple[Fact[Grant], ...] = ()
    consents: tuple[Fact[Consent], ...] = ()


class Facts(NamedTuple):
    """All that one question rests on, at one revision of the registry.

    A tuple, because one is made for every check.

    Attributes:
        subject: Who asks; None where no fact knows them.
        recording: The recording; None where no fact knows it.
        patient: The person whom the recording's attribution names; None where nobody is known.
        containments: The containments, lifted ones included.
        revision: The registry's revision at which all of this is true.
    """

    subject: SubjectFacts | None
    recording: RecordingFacts | None
    patient: PatientFacts | None
    containments: tuple[Containment, ...] = ()
    revision: int = 0

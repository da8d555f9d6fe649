"""The closed lists of the registry: kinds, states and outcomes of its entities."""

from __future__ import annotations

from enum import StrEnum


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

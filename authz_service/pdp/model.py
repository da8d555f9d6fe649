"""The vocabulary of a question and of its answer: closed lists and frozen values."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

Instant = datetime
"""A point in time: an aware datetime in UTC, to the microsecond."""

_ID = re.compile(r"[A-Za-z0-9]+(?:[._-][A-Za-z0-9]+)*")
MAX_ID_LENGTH = 128


def is_id(text: str) -> bool:
    """Whether *text* is a well-formed id: matched whole, never mended."""
    return len(text) <= MAX_ID_LENGTH and _ID.fullmatch(text) is not None


class Action(StrEnum):
    """What a subject wants to do with a recording."""

    LIST = "LIST"
    VIEW = "VIEW"
    THUMBNAIL = "THUMBNAIL"
    DOWNLOAD = "DOWNLOAD"
    READ_METADATA = "READ_METADATA"
    EXPORT = "EXPORT"
    SHARE = "SHARE"
    DELETE = "DELETE"


class Effect(StrEnum):
    """The answer."""

    ALLOW = "ALLOW"
    DENY = "DENY"


class Assurance(StrEnum):
    """How sure the caller is of who the subject is."""

    SINGLE_FACTOR = "SINGLE_FACTOR"
    MULTI_FACTOR = "MULTI_FACTOR"


class PurposeOfUse(StrEnum):
    """What an access is for: codes of HL7 v3 ActReason, a closed list."""

    PATRQT = "PATRQT"
    FAMRQT = "FAMRQT"
    PWATRNY = "PWATRNY"
    TREAT = "TREAT"
    ETREAT = "ETREAT"
    BTG = "BTG"
    HOPERAT = "HOPERAT"
    HQUALIMP = "HQUALIMP"
    HLEGAL = "HLEGAL"
    HCOMPL = "HCOMPL"
    HRESCH = "HRESCH"
    HMARKT = "HMARKT"


class Relation(StrEnum):
    """What a subject is to a recording; derived from facts, never stated by a caller."""

    OWNER = "owner"
    ATTENDING = "attending"
    OTHER_PARTICIPANT = "other_participant"
    TREATING = "treating"
    GUARDIAN = "guardian"
    DELEGATE = "delegate"
    GRANTEE = "grantee"
    EMERGENCY = "emergency"
    LEGAL = "legal"
    QUALITY = "quality"
    CUSTODIAN = "custodian"


class Condition(StrEnum):
    """What else a rule may ask for, by name."""

    MFA = "mfa"
    RECENT_AUTHENTICATION = "recent_authentication"
    SEALED = "sealed"
    CONFIDENTIAL_FROM_PROXY = "confidential_from_proxy"
    PROXY_RESTRICTED = "proxy_restricted"
    TRAINING_CONSENT = "training_consent"
    RESEARCH_CONSENT = "research_consent"
    MATTER_MATCHES = "matter_matches"


class Reason(StrEnum):
    """Why an answer is what it is; the order of judgement is in `reasons.py`."""

    RULE_ALLOWED = "RULE_ALLOWED"
    ALLOWED = "ALLOWED"
    NOT_AVAILABLE = "NOT_AVAILABLE"
    INVALID_REQUEST = "INVALID_REQUEST"
    CONTAINED = "CONTAINED"
    SUBJECT_UNKNOWN = "SUBJECT_UNKNOWN"
    SUBJECT_SUSPENDED = "SUBJECT_SUSPENDED"
    SUBJECT_DECEASED = "SUBJECT_DECEASED"
    RECORDING_UNKNOWN = "RECORDING_UNKNOWN"
    TENANT_MISMATCH = "TENANT_MISMATCH"
    FACTS_CONFLICT = "FACTS_CONFLICT"
    FACTS_INCOMPLETE = "FACTS_INCOMPLETE"
    RECORDING_QUARANTINED = "RECORDING_QUARANTINED"
    RECORDING_DELETED = "RECORDING_DELETED"
    RECORDING_PROCESSING = "RECORDING_PROCESSING"
    RECORDING_RESTRICTED = "RECORDING_RESTRICTED"
    RETENTION_EXPIRED = "RETENTION_EXPIRED"
    LEGAL_HOLD_FROZEN = "LEGAL_HOLD_FROZEN"
    LEGAL_HOLD = "LEGAL_HOLD"
    SEALED = "SEALED"
    STAFF_OWN_RECORD = "STAFF_OWN_RECORD"
    STAFF_FAMILY_RECORD = "STAFF_FAMILY_RECORD"
    STEP_UP_REQUIRED = "STEP_UP_REQUIRED"
    DELEGATION_EXPIRED = "DELEGATION_EXPIRED"
    DELEGATION_REVOKED = "DELEGATION_REVOKED"
    DELEGATION_SCOPE = "DELEGATION_SCOPE"
    SAFEGUARDING_BLOCK = "SAFEGUARDING_BLOCK"
    PROXY_SUSPENDED = "PROXY_SUSPENDED"
    PROXY_RESTRICTED = "PROXY_RESTRICTED"
    CONFIDENTIAL_FROM_PROXY = "CONFIDENTIAL_FROM_PROXY"
    RELATIONSHIP_EXPIRED = "RELATIONSHIP_EXPIRED"
    GRANT_EXPIRED = "GRANT_EXPIRED"
    GRANT_REVOKED = "GRANT_REVOKED"
    RULE_DENIED = "RULE_DENIED"
    NO_RULE_MATCHED = "NO_RULE_MATCHED"
    PATIENT_BOUNDARY = "PATIENT_BOUNDARY"
    EMERGENCY_LIMIT = "EMERGENCY_LIMIT"
    PATIENT_UNKNOWN = "PATIENT_UNKNOWN"
    REVIEW_OVERDUE = "REVIEW_OVERDUE"


class AccessRequest(NamedTuple):
    """One well-formed question. A tuple, not a dataclass: one is made for every check.

    Attributes:
        subject_id: Who wants access.
        recording_id: To which recording.
        action: What to do with it.
        purpose_of_use: What for.
        tenant_id: The tenant that the caller acts for; None where it names none.
        assurance: How the subject was authenticated; None where not stated.
        authenticated_at: When the subject last authenticated; None where not stated.
        matter_id: The legal matter of the access; None where there is none.
    """

    subject_id: str
    recording_id: str
    action: Action
    purpose_of_use: PurposeOfUse
    tenant_id: str | None = None
    assurance: Assurance | None = None
    authenticated_at: Instant | None = None
    matter_id: str | None = None


class Situation(NamedTuple):
    """Everything that a policy may see, and nothing else: finite and hashable.

    The same situation under the same policy revision always has the same outcome, so a verdict
    may be remembered. A tuple, because it is hashed at every check.

    Attributes:
        roles: The subject's own roles that are valid now; the ruleset adds inherited ones.
        relations: What the subject is to the recording.
        action: What the subject wants to do.
        purpose_of_use: What for.
        conditions: The conditions that hold.
    """

    roles: frozenset[str]
    relations: frozenset[Relation]
    action: Action
    purpose_of_use: PurposeOfUse
    conditions: frozenset[Condition]


class Evidence(NamedTuple):
    """The fact that gave a relation.

    Attributes:
        kind: The kind of the fact.
        id: Its id.
        revision: The registry's revision that wrote it.
    """

    kind: str
    id: str
    revision: int


@dataclass(frozen=True, slots=True)
class Obligation:
    """Something that the caller must do along with the answer."""

    id: str
    parameters: tuple[tuple[str, str], ...] = ()


STEP_UP = Obligation("step-up", (("assurance", "MULTI_FACTOR"), ("max_age_seconds", "300")))
"""Come back with two factors presented within the last five minutes (RFC 9470, section 3)."""


class Decision(NamedTuple):
    """An answer with what it rests on. A tuple, because one is made for every check.

    Attributes:
        effect: May the subject?
        reason: Why.
        rule: The id of the rule that matched, if one did.
        obligations: What the caller must do.
        patient_id: The patient, where all facts agree on one; never guessed.
        situation: What the policy saw; None where something bound every policy before it.
        evidence: For each relation the facts that gave it.
    """

    effect: Effect
    reason: Reason
    rule: str | None = None
    obligations: tuple[Obligation, ...] = ()
    patient_id: str | None = None
    situation: Situation | None = None
    evidence: tuple[tuple[Relation, tuple[Evidence, ...]], ...] = ()

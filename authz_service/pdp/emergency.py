"""Break-glass: whether emergency access to a patient opens. Pure and total, in a check's order.

What is asked is a VIEW, through `emergency` alone, of a recording of that patient that is as plain
as one can be: in order, with no flag, and nothing known of it but whose and of which tenant it is.
So nothing opens where a check of such a recording would be denied all the same.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final, NamedTuple

from authz_service.pdp.entities import Recording
from authz_service.pdp.entity_words import EmergencyGround, RecordingState, SubjectKind
from authz_service.pdp.facts import (
    Attribution,
    Fact,
    Facts,
    PatientFacts,
    RecordingFacts,
    Standing,
    SubjectFacts,
)
from authz_service.pdp.invariants import CLOSED_ACCOUNTS, is_contained, kept_apart
from authz_service.pdp.model import (
    STEP_UP,
    AccessRequest,
    Action,
    Assurance,
    Condition,
    Decision,
    Effect,
    Instant,
    PurposeOfUse,
    Reason,
    Relation,
    Situation,
)
from authz_service.pdp.relations import Relations
from authz_service.pdp.ruleset import RuleMatch, Ruleset
from authz_service.pdp.situation import situation_of

APPROVER: Final = "emergency-access"
"""Who has approved what this service opens: nobody whom a subject could be."""
OPENED_ACTIONS: Final = (Action.LIST, Action.READ_METADATA, Action.VIEW)
"""What an access that is opened is for."""
REVIEW_WITHIN: Final = timedelta(days=7)
"""How old an access may become before somebody else has to have reviewed it."""
MAX_OVERDUE: Final = 3
"""With so many accesses that nobody reviewed in time, no other is opened."""

REFUSALS: Final = (
    Reason.CONTAINED,
    Reason.SUBJECT_UNKNOWN,
    Reason.SUBJECT_SUSPENDED,
    Reason.SUBJECT_DECEASED,
    Reason.PATIENT_UNKNOWN,
    Reason.TENANT_MISMATCH,
    Reason.STAFF_OWN_RECORD,
    Reason.STAFF_FAMILY_RECORD,
    Reason.NO_RULE_MATCHED,
    Reason.RULE_DENIED,
    Reason.EMERGENCY_LIMIT,
    Reason.REVIEW_OVERDUE,
    Reason.STEP_UP_REQUIRED,
)
"""Why access may be refused, in the order of judgement."""

_NO_RECORDING: Final = ""
_ASSURED: Final = frozenset({Condition.MFA, Condition.RECENT_AUTHENTICATION})


class OpeningRequest(NamedTuple):
    """One well-formed question for emergency access.

    Attributes:
        subject_id: Who wants access.
        patient_id: To whose recordings.
        purpose_of_use: What for.
        ground: On what ground.
        reason: Why, in their own words: for the grant alone, never for a record.
        tenant_id: The tenant that the caller acts for; None where it names none.
        assurance: How the subject was authenticated; None where not stated.
        authenticated_at: When the subject last authenticated; None where not stated.
        matter_id: The legal matter; None where there is none.
    """

    subject_id: str
    patient_id: str
    purpose_of_use: PurposeOfUse
    ground: EmergencyGround
    reason: str
    tenant_id: str | None = None
    assurance: Assurance | None = None
    authenticated_at: Instant | None = None
    matter_id: str | None = None


class OpeningFacts(NamedTuple):
    """All that an opening rests on, at one revision of the registry.

    Attributes:
        facts: Who asks, the patient and the containments; no recording.
        unreviewed: When each of the accesses began that nobody has reviewed, of all that this
            person has had under any of their ids.
    """

    facts: Facts
    unreviewed: tuple[Instant, ...] = ()


def judge_opening(
    request: OpeningRequest, known: OpeningFacts, ruleset: Ruleset, now: Instant
) -> Decision:
    """Judge whether *request* opens emergency access, in the light of *known*, at *now*.

    A STEP_UP_REQUIRED says that two factors, presented now, would open it.

    Raises:
        PolicyNotReadyError: The ruleset could not be evaluated.
    """
    facts = known.facts
    patient_id = facts.patient.subject.id if facts.patient else None
    view = _view(request)
    imagined = facts._replace(recording=_plain_recording(facts.patient, now))
    bound = _before_policy(view, imagined, now)
    if bound is not None or facts.subject is None:
        return Decision(Effect.DENY, bound or Reason.SUBJECT_UNKNOWN, patient_id=patient_id)
    through = Relations(evidence={Relation.EMERGENCY: ()})
    situation = situation_of(view, imagined, through, now)
    match = ruleset.match(situation)
    reason = _by_policy(situation, match, ruleset) or _limit(facts.subject, known, now)
    if reason is None and not situation.conditions >= _ASSURED:
        reason = Reason.STEP_UP_REQUIRED
    return Decision(
        Effect.ALLOW if reason is None else Effect.DENY,
        reason or Reason.RULE_ALLOWED,
        match.rule if match else None,
        (STEP_UP,) if reason is Reason.STEP_UP_REQUIRED else (),
        patient_id,
        situation,
    )


def is_overdue(began: Instant, now: Instant) -> bool:
    """Whether an access that *began* then, and that nobody reviewed, should have been by *now*."""
    return now - began > REVIEW_WITHIN


def _view(request: OpeningRequest) -> AccessRequest:
    """Return *request* as the check that it is judged as."""
    return AccessRequest(
        request.subject_id,
        _NO_RECORDING,
        Action.VIEW,
        request.purpose_of_use,
        request.tenant_id,
        request.assurance,
        request.authenticated_at,
        request.matter_id,
    )


def _plain_recording(patient: PatientFacts | None, now: Instant) -> RecordingFacts | None:
    """Return a recording of *patient* of which nothing is known but whose and what tenant's."""
    if patient is None:
        return None
    whose = patient.subject
    recording = Recording(_NO_RECORDING, whose.tenant_id, RecordingState.ACTIVE, owner_id=whose.id)
    agreed = Attribution(Standing.AGREED, whose.id)
    return RecordingFacts(Fact(recording, "", now), None, None, (), agreed)


def _before_policy(view: AccessRequest, facts: Facts, now: Instant) -> Reason | None:
    """Return the first reason to refuse that no policy is asked about, or None."""
    if facts.containments and is_contained(view, facts, now):
        return Reason.CONTAINED
    if facts.subject is None:
        return Reason.SUBJECT_UNKNOWN
    subject, patient = facts.subject.subject, facts.patient
    closed = CLOSED_ACCOUNTS[subject.status]
    if closed is not None:
        return closed
    if patient is None:
        return Reason.PATIENT_UNKNOWN
    tenant_id = patient.subject.tenant_id
    if subject.tenant_id != tenant_id or view.tenant_id not in (None, tenant_id):
        return Reason.TENANT_MISMATCH
    return kept_apart(subject, patient)


def _by_policy(situation: Situation, match: RuleMatch | None, ruleset: Ruleset) -> Reason | None:
    """Return why the policy does not open it, whatever assurance is presented; None where it may.

    Every opening takes both conditions, so what a rule gives without them only opens nothing.
    """
    if situation.conditions >= _ASSURED:
        assured = match
    else:
        with_both = situation.conditions | _ASSURED
        assured = ruleset.match(situation._replace(conditions=with_both))
    if _allows(assured):
        return None
    if _allows(match):
        return Reason.EMERGENCY_LIMIT
    return Reason.NO_RULE_MATCHED if match is None else Reason.RULE_DENIED


def _limit(subject: SubjectFacts, known: OpeningFacts, now: Instant) -> Reason | None:
    """Return what binds an opening that the policy allows, or None."""
    if subject.subject.kind is not SubjectKind.STAFF or APPROVER in subject.person_ids:
        return Reason.EMERGENCY_LIMIT
    overdue = sum(is_overdue(began, now) for began in known.unreviewed)
    return Reason.REVIEW_OVERDUE if overdue >= MAX_OVERDUE else None


def _allows(match: RuleMatch | None) -> bool:
    """Whether a rule allows."""
    return match is not None and match.effect is Effect.ALLOW

"""What a policy may see of a question: roles, relations, action, purpose and conditions."""

from __future__ import annotations

from datetime import timedelta

from authz_service.pdp.delegations import delegations_of, in_force
from authz_service.pdp.entities import Subject
from authz_service.pdp.entity_words import (
    CompetenceOutcome,
    ConsentScope,
    ConsentStatus,
    SubjectKind,
)
from authz_service.pdp.facts import Facts, PatientFacts
from authz_service.pdp.model import AccessRequest, Assurance, Condition, Instant, Situation
from authz_service.pdp.reasons import Obstacle
from authz_service.pdp.relations import Relations

RECENT = timedelta(minutes=5)
"""How long ago an authentication may be and still be recent."""
SKEW = timedelta(seconds=5)
"""How far ahead of ours a caller's clock may be."""

_ROLES_BY_KIND: dict[SubjectKind, frozenset[str]] = {
    SubjectKind.PATIENT: frozenset({"patient"}),
    SubjectKind.STAFF: frozenset(),
    SubjectKind.SERVICE: frozenset({"service"}),
}
_SCOPES = (
    (ConsentScope.TRAINING, Condition.TRAINING_CONSENT),
    (ConsentScope.RESEARCH, Condition.RESEARCH_CONSENT),
)
_NONE: frozenset[Condition] = frozenset()
_GAINED = {Obstacle.ASSURANCE: frozenset({Condition.MFA, Condition.RECENT_AUTHENTICATION})}
_CLEARED = {
    Obstacle.PROXY_RESTRICTED: frozenset({Condition.PROXY_RESTRICTED}),
    Obstacle.CONFIDENTIAL_FROM_PROXY: frozenset({Condition.CONFIDENTIAL_FROM_PROXY}),
}


def situation_of(
    request: AccessRequest, facts: Facts, relations: Relations, now: Instant
) -> Situation:
    """Return what the policy may see of *request*."""
    return Situation(
        roles_of(facts.subject.subject, now) if facts.subject else frozenset(),
        frozenset(relations.evidence),
        request.action,
        request.purpose_of_use,
        frozenset(_conditions(request, facts, relations, now)),
    )


def with_lifted(situation: Situation, obstacle: Obstacle) -> Situation:
    """Return *situation* with an obstacle that is a condition, or the lack of one, lifted."""
    roles, relations, action, purpose, conditions = situation
    conditions = conditions.union(_GAINED.get(obstacle, _NONE)) - _CLEARED.get(obstacle, _NONE)
    return Situation(roles, relations, action, purpose, conditions)


def roles_of(subject: Subject, now: Instant) -> frozenset[str]:
    """Return the roles that *subject* holds at *now*, that of its kind included."""
    by_kind = _ROLES_BY_KIND[subject.kind]
    if not subject.roles:
        return by_kind
    return by_kind.union(
        [
            assigned.role
            for assigned in subject.roles
            if in_force(assigned.valid_from, assigned.valid_to, now)
        ]
    )


def is_recent(authenticated_at: Instant | None, now: Instant) -> bool:
    """Whether an authentication is of the last five minutes, clocks five seconds apart."""
    return authenticated_at is not None and now - RECENT <= authenticated_at <= now + SKEW


def impossible_conditions(request: AccessRequest, now: Instant) -> frozenset[Condition]:
    """Return the conditions that hold for no recording whatever, as *request* stands at *now*.

    Whatever becomes of the facts, and however late the question is judged: an authentication that
    is too old gets no younger.
    """
    found = set()
    if request.assurance is not Assurance.MULTI_FACTOR:
        found.add(Condition.MFA)
    if request.authenticated_at is None or request.authenticated_at < now - RECENT:
        found.add(Condition.RECENT_AUTHENTICATION)
    if not request.matter_id:
        found.add(Condition.MATTER_MATCHES)
    return frozenset(found)


def _conditions(
    request: AccessRequest, facts: Facts, relations: Relations, now: Instant
) -> list[Condition]:
    """Return the conditions that hold."""
    holding = []
    if request.assurance is Assurance.MULTI_FACTOR:
        holding.append(Condition.MFA)
    if is_recent(request.authenticated_at, now):
        holding.append(Condition.RECENT_AUTHENTICATION)
    if facts.recording is not None:
        recording = facts.recording.recording.entity
        if recording.sealed:
            holding.append(Condition.SEALED)
        if recording.confidential_from_proxy:
            holding.append(Condition.CONFIDENTIAL_FROM_PROXY)
    if facts.patient is not None:
        holding += _conditions_of_patient(request.subject_id, facts.patient, now)
    if relations.legal_matters and request.matter_id in relations.legal_matters:
        holding.append(Condition.MATTER_MATCHES)
    return holding


def _conditions_of_patient(subject_id: str, patient: PatientFacts, now: Instant) -> list[Condition]:
    """Return the conditions that come from what is known of the patient."""
    holding = []
    if is_proxy_restricted(subject_id, patient, now):
        holding.append(Condition.PROXY_RESTRICTED)
    if patient.consents:
        holding.extend(condition for scope, condition in _SCOPES if consents(patient, scope, now))
    return holding


def is_proxy_restricted(subject_id: str, patient: PatientFacts, now: Instant) -> bool:
    """Whether the patient is of an age at which proxies need a review, and this one has none.

    A review counts from its own instant on, for the person whose delegation it stands on, and
    only if it was held at or after the age from which proxies are restricted. Where the patient's
    age is not known the proxy is restricted.
    """
    start, end = patient.restricted_from, patient.suspended_from
    if start is None or end is None:
        return True
    if not start <= now < end:
        return False
    return not any(
        review.outcome is CompetenceOutcome.PROXY_CONTINUES and start <= review.at <= now
        for fact in delegations_of(subject_id, patient)
        if (review := fact.entity.competence_review) is not None
    )


def consents(patient: PatientFacts, scope: ConsentScope, now: Instant) -> bool:
    """Whether the latest consent for *scope* that is not in the future is active.

    Of two at the same instant the withdrawal counts.
    """
    effective = [
        (fact.entity.effective_at, fact.entity.status is ConsentStatus.WITHDRAWN)
        for fact in patient.consents
        if fact.entity.scope is scope
        and fact.entity.effective_at is not None
        and fact.entity.effective_at <= now
    ]
    return bool(effective) and not max(effective)[1]

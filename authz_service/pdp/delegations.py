"""Who acts for a patient: delegations, the blocks against them, and the age that ends them."""

from __future__ import annotations

from authz_service.pdp.entities import Delegation
from authz_service.pdp.entity_words import CompetenceOutcome, DelegationKind, SubjectStatus
from authz_service.pdp.facts import Fact, PatientFacts
from authz_service.pdp.model import Action, Instant, Relation
from authz_service.pdp.reasons import Obstacle

_NEEDS_CONSENT = frozenset({DelegationKind.CONSENTED, DelegationKind.CARER})
_AGE_OBSTACLES = frozenset({Obstacle.SUSPENDED_BY_AGE, Obstacle.SUSPENDED_BY_REVIEW})


def in_force(valid_from: Instant | None, valid_to: Instant | None, now: Instant) -> bool:
    """Whether *now* is in ``[valid_from, valid_to)``; without a beginning nothing is in force."""
    return valid_from is not None and valid_from <= now and (valid_to is None or now < valid_to)


def delegations_of(subject_id: str, patient: PatientFacts) -> list[Fact[Delegation]]:
    """Return the delegations between *subject_id* and the patient, in force or not."""
    return [fact for fact in patient.delegations if fact.entity.delegate_id == subject_id]


def is_blocked(
    subject_id: str, patient: PatientFacts, now: Instant, lifted: Obstacle | None = None
) -> bool:
    """Whether a safeguarding block keeps *subject_id* from the patient at *now*."""
    if lifted is Obstacle.BLOCK:
        return False
    for fact in patient.blocks:
        block = fact.entity
        began = block.valid_from is None or block.valid_from <= now
        ended = block.valid_to is not None and block.valid_to <= now
        if block.delegate_id == subject_id and began and not ended:
            return True
    return False


def delegated(
    delegation: Delegation,
    action: Action,
    patient: PatientFacts,
    now: Instant,
    lifted: Obstacle | None,
) -> Relation | None:
    """Return the relation that *delegation* gives for *action*, blocks aside."""
    valid_to = None if lifted is Obstacle.DELEGATION_ENDED else delegation.valid_to
    revoked = delegation.revoked_at is not None and lifted is not Obstacle.DELEGATION_REVOKED
    scoped = action in delegation.actions or lifted is Obstacle.DELEGATION_SCOPE
    deceased = (
        patient.subject.status is SubjectStatus.DECEASED and lifted is not Obstacle.PATIENT_DECEASED
    )
    if revoked or deceased or not scoped or not in_force(delegation.valid_from, valid_to, now):
        return None
    consented_at = delegation.patient_consented_at
    if delegation.kind is DelegationKind.PARENTAL:
        return _parental(delegation, consented_at, patient, now, lifted)
    if delegation.kind in _NEEDS_CONSENT and (consented_at is None or consented_at > now):
        return None
    return Relation.DELEGATE


def _parental(
    delegation: Delegation,
    consented_at: Instant | None,
    patient: PatientFacts,
    now: Instant,
    lifted: Obstacle | None,
) -> Relation | None:
    """Return what a parental delegation in force gives, by the patient's age.

    Up to the suspension age it makes a guardian; from then on it makes a delegate, where the
    patient agreed at or after that age (NHS proxy guidance DAPB3051: presumed capacity at 16).
    """
    if patient.suspended_from is None or delegation.delegate_id is None:
        return None
    ended = proxy_ended(delegation.delegate_id, patient, now)
    if ended and lifted is not Obstacle.SUSPENDED_BY_REVIEW:
        return None
    if now < patient.suspended_from:
        return Relation.GUARDIAN
    if consented_at is not None and patient.suspended_from <= consented_at <= now:
        return Relation.DELEGATE
    return Relation.GUARDIAN if lifted is Obstacle.SUSPENDED_BY_AGE else None


def proxy_ended(delegate_id: str, patient: PatientFacts, now: Instant) -> bool:
    """Whether a review held by *now* ended this person's proxy; it counts for all of theirs."""
    return any(
        review.outcome is CompetenceOutcome.PROXY_ENDS and review.at <= now
        for fact in delegations_of(delegate_id, patient)
        if (review := fact.entity.competence_review) is not None
    )


def obstacles_of_delegations(
    subject_id: str, action: Action, patient: PatientFacts
) -> set[Obstacle]:
    """Return what may stand between *subject_id* and the patient, blocks included."""
    found: set[Obstacle] = {Obstacle.BLOCK} if patient.blocks else set()
    for fact in delegations_of(subject_id, patient):
        delegation = fact.entity
        if delegation.valid_to is not None:
            found.add(Obstacle.DELEGATION_ENDED)
        if delegation.revoked_at is not None:
            found.add(Obstacle.DELEGATION_REVOKED)
        if action not in delegation.actions:
            found.add(Obstacle.DELEGATION_SCOPE)
        if delegation.kind is DelegationKind.PARENTAL:
            found |= _AGE_OBSTACLES
        if patient.subject.status is SubjectStatus.DECEASED:
            found.add(Obstacle.PATIENT_DECEASED)
    return found

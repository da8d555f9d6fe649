"""Each obstacle between a subject and an ALLOW, as changes of facts that would take it away.

Of several facts in the way each is tried alone, then all. Whether the answer would turn is not
judged here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import NamedTuple

from authz_service.pdp.delegations import delegations_of
from authz_service.pdp.entities import CompetenceReview, Delegation, Entity, Grant
from authz_service.pdp.entity_words import CompetenceOutcome, DelegationKind, SubjectStatus
from authz_service.pdp.facts import Facts, PatientFacts, RecordingFacts
from authz_service.pdp.imagining import Change, Edit, each_then_all
from authz_service.pdp.model import AccessRequest, Assurance, Instant, Reason
from authz_service.pdp.reasons import REASONS_OF_OBSTACLES, Obstacle
from authz_service.pdp.relations import grants_of


class _About(NamedTuple):
    """A question, with what is known of the recording and its patient."""

    request: AccessRequest
    recording: RecordingFacts
    patient: PatientFacts
    now: Instant


def lifting(reason: Reason, request: AccessRequest, facts: Facts, now: Instant) -> Iterator[Change]:
    """Yield what may turn a denial of the policy, or of what binds its ALLOW.

    The obstacles that *reason* names come first, the others after them, in the order of `Obstacle`.
    """
    if facts.recording is None or facts.patient is None:
        return
    about = _About(request, facts.recording, facts.patient, now)
    named = [each for each in Obstacle if REASONS_OF_OBSTACLES[each] is reason]
    for obstacle in (*named, *(each for each in Obstacle if each not in named)):
        if obstacle is Obstacle.ASSURANCE:
            asked = request._replace(assurance=Assurance.MULTI_FACTOR, authenticated_at=now)
            yield Change("the subject authenticates with two factors, just now", request=asked)
            continue
        words, entities = _LIFTED[obstacle]
        yield from each_then_all(words, [Edit(entity) for entity in entities(about)])


def _delegations(about: _About) -> list[Delegation]:
    """Return the delegations between the subject and the patient."""
    return [fact.entity for fact in delegations_of(about.request.subject_id, about.patient)]


def _grants(about: _About) -> list[Grant]:
    """Return the grants to the subject that reach the recording."""
    found = grants_of(about.request.subject_id, about.recording, about.patient)
    return [fact.entity for fact in found]


def _delegation_without_end(about: _About) -> Iterable[Entity]:
    return [replace(one, valid_to=None) for one in _delegations(about) if one.valid_to]


def _patient_alive(about: _About) -> Iterable[Entity]:
    if about.patient.subject.status is SubjectStatus.DECEASED:
        yield replace(about.patient.subject, status=SubjectStatus.ACTIVE)


def _delegation_unrevoked(about: _About) -> Iterable[Entity]:
    return [replace(one, revoked_at=None) for one in _delegations(about) if one.revoked_at]


def _delegation_for_the_action(about: _About) -> Iterable[Entity]:
    action = about.request.action
    return [
        replace(one, actions=(*one.actions, action))
        for one in _delegations(about)
        if action not in one.actions
    ]


def _block_ended(about: _About) -> Iterable[Entity]:
    return [
        replace(fact.entity, valid_to=about.now)
        for fact in about.patient.blocks
        if fact.entity.delegate_id == about.request.subject_id
    ]


def _agreed_of_age(about: _About) -> Iterable[Entity]:
    """Agreement at or after the age of suspension keeps a parental delegation alive."""
    return [
        replace(one, patient_consented_at=about.now)
        for one in _delegations(about)
        if one.kind is DelegationKind.PARENTAL
    ]


def _not_ended_by_review(about: _About) -> Iterable[Entity]:
    return [
        replace(one, competence_review=None)
        for one in _delegations(about)
        if one.competence_review and one.competence_review.outcome is CompetenceOutcome.PROXY_ENDS
    ]


def _continued_by_review(about: _About) -> Iterable[Entity]:
    review = CompetenceReview(about.now, CompetenceOutcome.PROXY_CONTINUES)
    return [replace(one, competence_review=review) for one in _delegations(about)]


def _not_confidential(about: _About) -> Iterable[Entity]:
    recording = about.recording.recording.entity
    if recording.confidential_from_proxy:
        yield replace(recording, confidential_from_proxy=False)


def _care_without_end(about: _About) -> Iterable[Entity]:
    return [
        replace(fact.entity, valid_to=None)
        for fact in about.patient.relationships
        if fact.entity.staff_id == about.request.subject_id and fact.entity.valid_to
    ]


def _grant_without_end(about: _About) -> Iterable[Entity]:
    return [replace(one, valid_to=None) for one in _grants(about) if one.valid_to]


def _grant_unrevoked(about: _About) -> Iterable[Entity]:
    return [replace(one, revoked_at=None) for one in _grants(about) if one.revoked_at]


_LIFTED: dict[Obstacle, tuple[str, Callable[[_About], Iterable[Entity]]]] = {
    Obstacle.DELEGATION_ENDED: ("delegation {} has no end", _delegation_without_end),
    Obstacle.PATIENT_DECEASED: ("patient {} is alive", _patient_alive),
    Obstacle.DELEGATION_REVOKED: ("delegation {} is not revoked", _delegation_unrevoked),
    Obstacle.DELEGATION_SCOPE: ("delegation {} names this action", _delegation_for_the_action),
    Obstacle.BLOCK: ("safeguarding block {} ends", _block_ended),
    Obstacle.SUSPENDED_BY_AGE: ("the patient, now of age, agrees to delegation {}", _agreed_of_age),
    Obstacle.SUSPENDED_BY_REVIEW: (
        "there is no review on delegation {} that ends the proxy",
        _not_ended_by_review,
    ),
    Obstacle.PROXY_RESTRICTED: (
        "a review of competence on delegation {} lets the proxy continue",
        _continued_by_review,
    ),
    Obstacle.CONFIDENTIAL_FROM_PROXY: (
        "recording {} is not confidential from proxies",
        _not_confidential,
    ),
    Obstacle.RELATIONSHIP_ENDED: ("relationship {} has no end", _care_without_end),
    Obstacle.GRANT_ENDED: ("grant {} has no end", _grant_without_end),
    Obstacle.GRANT_REVOKED: ("grant {} is not revoked", _grant_unrevoked),
}
"""What each obstacle is without, in words, and the facts as they would be then."""

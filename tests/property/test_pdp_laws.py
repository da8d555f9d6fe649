"""Laws that hold in every world, under the worst policy and under the shipped one."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from authz_service.pdp import entities as e
from authz_service.pdp import entity_words as w
from authz_service.pdp import facts as f
from authz_service.pdp.assembly import World
from authz_service.pdp.corroboration import standing
from authz_service.pdp.decide import decide
from authz_service.pdp.model import (
    AccessRequest,
    Action,
    Assurance,
    Decision,
    Effect,
    Reason,
    Relation,
)
from authz_service.pdp.reasons import reason_for
from authz_service.pdp.ruleset import Ruleset
from authz_service.policy.source import BundleSource
from tests.property.pdp_worlds import (
    CONTAINMENTS,
    INSTANTS,
    NOW,
    ODD_WORLDS,
    OPEN,
    REQUESTS,
    SUPPORTED_REQUESTS,
    WORLDS,
    as_fact,
)

_POLICIES = Path(__file__).resolve().parents[2] / "policies"

Known = list[f.Fact[Any]]


@cache
def _shipped() -> Ruleset:
    return BundleSource(_POLICIES).load().ruleset


RULESETS = st.sampled_from(("open", "shipped")).map(
    lambda name: OPEN if name == "open" else _shipped()
)


def _decide(known: Known, request: AccessRequest, ruleset: Ruleset) -> Decision:
    facts = World(known).facts_for(request.subject_id, request.recording_id)
    return decide(request, facts, ruleset, NOW)


@given(REQUESTS, RULESETS)
def test_without_facts_nothing_is_allowed(request: AccessRequest, ruleset: Ruleset) -> None:
    assert _decide([], request, ruleset).effect is Effect.DENY


@given(ODD_WORLDS, REQUESTS, RULESETS)
def test_every_question_has_an_answer_and_always_the_same(
    known: Known, request: AccessRequest, ruleset: Ruleset
) -> None:
    """Total and deterministic, however odd the facts; an ALLOW is one rule's."""
    decision = _decide(known, request, ruleset)

    assert decision == _decide(known, request, ruleset)
    assert (decision.effect is Effect.ALLOW) == (decision.reason is Reason.RULE_ALLOWED)
    assert decision.effect is Effect.DENY or decision.rule is not None
    assert bool(decision.obligations) == (decision.reason is Reason.STEP_UP_REQUIRED)


@given(WORLDS | ODD_WORLDS, REQUESTS | SUPPORTED_REQUESTS, RULESETS)
def test_an_effect_that_nobody_wants_explained_is_the_same(
    known: Known, request: AccessRequest, ruleset: Ruleset
) -> None:
    """Lists ask so. An ALLOW is the same in all of it; of a denial, only the search is missing."""
    facts = World(known).facts_for(request.subject_id, request.recording_id)
    explained = decide(request, facts, ruleset, NOW)

    short = decide(request, facts, ruleset, NOW, explain=False)

    searched = explained.situation is not None and explained.reason not in {
        Reason.PATIENT_BOUNDARY,
        Reason.EMERGENCY_LIMIT,
    }
    if explained.effect is Effect.ALLOW or not searched:
        assert short == explained
    else:
        reason = Reason.NO_RULE_MATCHED if explained.rule is None else Reason.RULE_DENIED
        assert short == explained._replace(reason=reason, obligations=())


@given(WORLDS, REQUESTS, st.randoms(use_true_random=False))
def test_the_order_in_which_facts_are_told_does_not_matter(
    known: Known, request: AccessRequest, random: Any
) -> None:
    by_name: dict[tuple[str, str], f.Fact[Any]] = {(x.kind, x.entity.id): x for x in known}
    unique = list(by_name.values())
    shuffled = random.sample(unique, len(unique))

    first = _decide(unique, request, OPEN)
    second = _decide(shuffled, request, OPEN)

    assert first._replace(evidence=()) == second._replace(evidence=())
    assert {k: set(v) for k, v in first.evidence} == {k: set(v) for k, v in second.evidence}


@given(WORLDS, SUPPORTED_REQUESTS, RULESETS)
def test_no_allow_outlives_the_facts_that_it_rests_on(
    known: Known, request: AccessRequest, ruleset: Ruleset
) -> None:
    """Take away one fact: an ALLOW that remains rests on others, and never on what is gone."""
    decision = _decide(known, request, ruleset)
    assume(decision.effect is Effect.ALLOW)

    for relation, evidence in decision.evidence:
        for fact in evidence:
            rest = [one for one in known if one.evidence != fact]
            after = _decide(rest, request, ruleset)
            remaining = dict(after.evidence)
            assert fact not in remaining.get(relation, ())
            if dict(decision.evidence) == {relation: (fact,)}:
                assert after.effect is Effect.DENY
            if relation is Relation.OWNER:
                assert after.effect is Effect.DENY


@given(WORLDS, SUPPORTED_REQUESTS, RULESETS)
def test_an_allow_needs_all_three_witnesses(
    known: Known, request: AccessRequest, ruleset: Ruleset
) -> None:
    """Recording, consultation, attendance, patient and subject: without any of them, no."""
    assume(_decide(known, request, ruleset).effect is Effect.ALLOW)
    facts = World(known).facts_for(request.subject_id, request.recording_id)
    assert facts.recording is not None
    assert facts.recording.consultation is not None
    pillars = {
        (w.FactKind.RECORDING, request.recording_id),
        (w.FactKind.CONSULTATION, facts.recording.consultation.entity.id),
        (w.FactKind.ATTENDANCE, request.recording_id),
        (w.FactKind.SUBJECT, facts.recording.attribution.patient_id),
        (w.FactKind.SUBJECT, request.subject_id),
    }

    for pillar in pillars:
        rest = [one for one in known if (one.kind, one.entity.id) != pillar]
        assert _decide(rest, request, ruleset).effect is Effect.DENY


def _last(known: Known, made: Any) -> dict[str, f.Fact[Any]]:
    return {one.entity.id: one for one in known if type(one.entity) is made}


def _block(known: Known, request: AccessRequest) -> Known:
    return [
        *known,
        *(
            as_fact(e.Block(f"more-{number}", patient_id, request.subject_id))
            for number, patient_id in enumerate(("p1", "p2"))
        ),
    ]


def _family(known: Known, request: AccessRequest) -> Known:
    return _declared(known, request, "family")


def _same_person(known: Known, request: AccessRequest) -> Known:
    return _declared(known, request, "same_person_as")


def _declared(known: Known, request: AccessRequest, field: str) -> Known:
    subject = _last(known, e.Subject).get(request.subject_id)
    if subject is None:
        return known
    declared = (*getattr(subject.entity, field), "p1")
    return [*known, replace(subject, entity=replace(subject.entity, **{field: declared}))]


def _revocation(known: Known, _request: AccessRequest) -> Known:
    revoked = [
        replace(one, entity=replace(one.entity, revoked_at=INSTANTS[0]))
        for made in (e.Grant, e.Delegation)
        for one in _last(known, made).values()
    ]
    return [*known, *revoked]


def _freeze(known: Known, request: AccessRequest) -> Known:
    recording = _last(known, e.Recording).get(request.recording_id)
    if recording is None:
        return known
    holds = (*recording.entity.holds, e.Hold("more", w.HoldKind.FREEZE))
    return [*known, replace(recording, entity=replace(recording.entity, holds=holds))]


def _withdrawal(known: Known, _request: AccessRequest) -> Known:
    return [
        *known,
        *(
            as_fact(e.Consent(f"more-{n}", who, scope, w.ConsentStatus.WITHDRAWN, NOW))
            for n, (who, scope) in enumerate(product(("p1", "p2"), w.ConsentScope))
        ),
    ]


@pytest.mark.parametrize(
    "deny_more",
    [_block, _family, _same_person, _revocation, _freeze, _withdrawal],
    ids=lambda one: one.__name__.strip("_"),
)
@given(known=WORLDS, request_=SUPPORTED_REQUESTS, ruleset=RULESETS)
def test_what_only_denies_never_opens(
    deny_more: Any, known: Known, request_: AccessRequest, ruleset: Ruleset
) -> None:
    """A block, kinship, a revocation, a freeze, a withdrawal: added to any world, no DENY opens."""
    before = _decide(known, request_, ruleset)

    after = _decide(deny_more(known, request_), request_, ruleset)

    assert not (before.effect is Effect.DENY and after.effect is Effect.ALLOW)


@given(WORLDS, SUPPORTED_REQUESTS, CONTAINMENTS)
def test_a_containment_never_opens(
    known: Known, request: AccessRequest, containment: e.Containment
) -> None:
    before = _decide(known, request, OPEN)

    after = _decide([*known, as_fact(containment)], request, OPEN)

    assert after == before or after.reason is Reason.CONTAINED


@given(WORLDS, SUPPORTED_REQUESTS, RULESETS)
def test_a_conflict_denies_everybody(
    known: Known, request: AccessRequest, ruleset: Ruleset
) -> None:
    """Whatever else is known, once a second patient attended nobody is allowed anything."""
    attendance = _last(known, e.Attendance)[request.recording_id]
    more = tuple(e.Participant(who, w.ParticipantKind.PATIENT) for who in ("p1", "p2"))
    entity = replace(attendance.entity, participants=(*attendance.entity.participants, *more))
    mixed = [*known, replace(attendance, entity=entity)]

    facts = World(mixed).facts_for(request.subject_id, request.recording_id)
    decision = decide(request, facts, ruleset, NOW)

    assert facts.recording is not None
    assert standing(facts.recording, facts.patient) is f.Standing.CONFLICT
    assert decision.effect is Effect.DENY
    assert decision.patient_id is None


@given(ODD_WORLDS | WORLDS, REQUESTS, RULESETS)
def test_a_caller_that_may_not_explain_hears_three_words(
    known: Known, request: AccessRequest, ruleset: Ruleset
) -> None:
    """And for somebody without any relation it is one word, whatever there is to know."""
    decision = _decide(known, request, ruleset)

    told = reason_for(decision.reason, may_explain=False)

    assert told in {Reason.ALLOWED, Reason.NOT_AVAILABLE, Reason.STEP_UP_REQUIRED}
    if decision.situation is None or not decision.situation.relations:
        assert told is Reason.NOT_AVAILABLE


@given(ODD_WORLDS | WORLDS, REQUESTS, RULESETS)
def test_what_such_a_caller_hears_follows_from_the_effect_and_the_step_up_alone(
    known: Known, request: AccessRequest, ruleset: Ruleset
) -> None:
    """Whatever the reason is; and a step-up is told where that very step-up would open it."""
    decision = _decide(known, request, ruleset)
    stepped_up = request._replace(assurance=Assurance.MULTI_FACTOR, authenticated_at=NOW)
    would_open = _decide(known, stepped_up, ruleset).effect is Effect.ALLOW

    told = reason_for(decision.reason, may_explain=False)

    expected = {
        (Effect.ALLOW, True): Reason.ALLOWED,
        (Effect.ALLOW, False): Reason.ALLOWED,
        (Effect.DENY, True): Reason.STEP_UP_REQUIRED,
        (Effect.DENY, False): Reason.NOT_AVAILABLE,
    }
    assert told is expected[decision.effect, would_open]
    assert bool(decision.obligations) == (told is Reason.STEP_UP_REQUIRED)


@given(WORLDS, SUPPORTED_REQUESTS)
def test_the_patient_boundary(known: Known, request: AccessRequest) -> None:
    """Under the worst policy a patient reaches another's recording by right alone.

    By right is: a delegation, or a grant that is not for an emergency, of theirs, for this
    patient, for this action. To have been in the room, to be in the team or a hold's viewer is no
    right.
    """
    facts = World(known).facts_for(request.subject_id, request.recording_id)
    decision = decide(request, facts, OPEN, NOW)
    assume(facts.subject is not None)
    assert facts.subject is not None
    assume(facts.subject.subject.kind is w.SubjectKind.PATIENT)

    if decision.effect is Effect.ALLOW and decision.patient_id != request.subject_id:
        assert facts.patient is not None
        assert facts.recording is not None
        rights: list[Any] = [one.entity for one in facts.patient.delegations]
        rights += [one.entity for one in (*facts.patient.grants, *facts.recording.grants)]
        assert any(_is_right(one, request) for one in rights)


def _is_right(entity: Any, request: AccessRequest) -> bool:
    in_force = (
        entity.revoked_at is None
        and entity.valid_from is not None
        and entity.valid_from <= NOW
        and (entity.valid_to is None or entity.valid_to > NOW)
        and request.action in entity.actions
    )
    if isinstance(entity, e.Delegation):
        return in_force and entity.delegate_id == request.subject_id
    emergency = entity.kind is w.GrantKind.EMERGENCY
    return in_force and not emergency and entity.subject_id == request.subject_id


_EMERGENCIES = st.builds(
    e.Grant,
    st.just("glass"),
    st.just(w.GrantKind.EMERGENCY),
    st.sampled_from(("p3", "s2", "v1")),
    patient_id=st.just("p1"),
    actions=st.just(tuple(Action)),
    valid_from=st.just(NOW),
    approved_by=st.just("emergency-access"),
)


@given(WORLDS, SUPPORTED_REQUESTS, _EMERGENCIES, st.sampled_from(Assurance))
def test_emergency_access_alone_is_for_staff_to_look_with_two_factors(
    known: Known, request: AccessRequest, opened: e.Grant, assurance: Assurance
) -> None:
    """Under the worst policy, and whatever the grant says that it is for."""
    request = request._replace(
        subject_id=str(opened.subject_id), recording_id="r1", assurance=assurance
    )
    known = [*known, as_fact(opened)]
    decision = _decide(known, request, OPEN)
    facts = World(known).facts_for(request.subject_id, "r1")
    situation = decision.situation

    if (
        decision.effect is Effect.ALLOW
        and situation
        and situation.relations == {Relation.EMERGENCY}
    ):
        assert facts.subject is not None
        assert facts.subject.subject.kind is w.SubjectKind.STAFF
        assert request.action in {"LIST", "READ_METADATA", "VIEW"}
        assert assurance is Assurance.MULTI_FACTOR

"""Break-glass and the check agree: nothing opens that would stay shut, and the other way round."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from authz_service.pdp import entities as e
from authz_service.pdp import entity_words as w
from authz_service.pdp import facts as f
from authz_service.pdp.assembly import World
from authz_service.pdp.decide import decide
from authz_service.pdp.emergency import (
    APPROVER,
    OPENED_ACTIONS,
    REFUSALS,
    OpeningFacts,
    OpeningRequest,
    judge_opening,
)
from authz_service.pdp.model import (
    AccessRequest,
    Action,
    Assurance,
    Decision,
    Effect,
    PurposeOfUse,
    Reason,
)
from authz_service.pdp.ruleset import Ruleset
from tests.opening_facts import known_in
from tests.property.pdp_worlds import (
    CONTAINMENTS,
    INSTANTS,
    NOW,
    ODD_WORLDS,
    SUBJECTS,
    as_fact,
)
from tests.property.test_pdp_laws import RULESETS

Known = list[f.Fact[Any]]
PURPOSES = st.sampled_from((PurposeOfUse.BTG, PurposeOfUse.ETREAT, PurposeOfUse.TREAT))
OPENINGS = st.builds(
    OpeningRequest,
    st.sampled_from(("s1", "s1", "s1", "s2", "p3", "v1", "nobody")),
    st.sampled_from(("p1", "p1", "p2", "s2", "nobody")),
    PURPOSES,
    st.sampled_from(w.EmergencyGround),
    st.just("found unconscious"),
    st.sampled_from((None, None, "t1", "t2")),
    st.sampled_from((Assurance.MULTI_FACTOR, Assurance.MULTI_FACTOR, None, *Assurance)),
    st.sampled_from((NOW, NOW, None, *INSTANTS)),
)
ROLES = (e.RoleAssignment("emergency_clinician", INSTANTS[0]),)
ACTIVE = w.SubjectStatus.ACTIVE
SOUND: list[e.Entity] = [
    e.Tenant("t1", "Europe/Oslo", 12, 16),
    e.Subject("p1", "t1", w.SubjectKind.PATIENT, ACTIVE),
    e.Subject("p2", "t1", w.SubjectKind.PATIENT, ACTIVE),
    e.Subject("p3", "t1", w.SubjectKind.PATIENT, ACTIVE, roles=ROLES),
    e.Subject("s1", "t1", w.SubjectKind.STAFF, ACTIVE, roles=ROLES),
    e.Subject("s2", "t1", w.SubjectKind.STAFF, ACTIVE, roles=ROLES),
    e.Subject("v1", "t1", w.SubjectKind.SERVICE, ACTIVE, roles=ROLES),
]
IN_ANY_SPAN = CONTAINMENTS.map(
    lambda one: replace(one, scope=replace(one.scope, created_from=None, created_to=None))
)
"""Containments that ask for no more of a recording than is known before there is one."""
PEOPLE = st.builds(
    lambda people, contained: [as_fact(one) for one in (*SOUND, *people, *contained)],
    st.lists(SUBJECTS, max_size=3),
    st.just([]) | st.just([]) | st.lists(IN_ANY_SPAN, max_size=1),
)


def _with_plain_recording(known: Known, opening: OpeningRequest) -> Known:
    """Return *known* with a sound recording of the patient and what an opening would leave."""
    patient_id, tenant_id = opening.patient_id, _tenant_of(known, opening.patient_id)
    attended = (e.Participant(patient_id, w.ParticipantKind.PATIENT),)
    grant = e.Grant(
        "em",
        w.GrantKind.EMERGENCY,
        opening.subject_id,
        patient_id=patient_id,
        actions=OPENED_ACTIONS,
        valid_from=NOW,
        approved_by=APPROVER,
    )
    recording = e.Recording(
        "plain",
        tenant_id,
        w.RecordingState.ACTIVE,
        "its-call",
        patient_id,
        created_at=INSTANTS[0],
    )
    added: tuple[e.Entity, ...] = (
        e.Consultation("its-call", tenant_id, patient_id, None, INSTANTS[0]),
        recording,
        e.Attendance("plain", attended),
        grant,
    )
    return [*known, *(as_fact(one) for one in added)]


def _tenant_of(known: Known, subject_id: str) -> str:
    ids = {
        one.entity.id: one.entity.tenant_id for one in known if isinstance(one.entity, e.Subject)
    }
    return str(ids.get(subject_id, "t1"))


def _opened(known: Known, opening: OpeningRequest, ruleset: Ruleset) -> Decision:
    facts = known_in(World(known), opening.subject_id, opening.patient_id)
    return judge_opening(opening, facts, ruleset, NOW)


def _viewed(known: Known, opening: OpeningRequest, ruleset: Ruleset) -> Decision:
    request = AccessRequest(
        opening.subject_id,
        "plain",
        Action.VIEW,
        opening.purpose_of_use,
        opening.tenant_id,
        opening.assurance,
        opening.authenticated_at,
    )
    facts = World(_with_plain_recording(known, opening)).facts_for(opening.subject_id, "plain")
    return decide(request, facts, ruleset, NOW)


@given(PEOPLE, OPENINGS, RULESETS)
def test_nothing_opens_that_would_not_be_shown(
    known: Known, opening: OpeningRequest, ruleset: Ruleset
) -> None:
    """An opening that leaves its holder before a closed door would only look like help."""
    opened = _opened(known, opening, ruleset).effect

    assert opened is Effect.DENY or _viewed(known, opening, ruleset).effect is Effect.ALLOW


@given(PEOPLE, OPENINGS, RULESETS)
def test_what_such_a_grant_would_show_to_staff_who_are_sure_opens(
    known: Known, opening: OpeningRequest, ruleset: Ruleset
) -> None:
    """Where nobody's review is overdue, and both factors were presented now."""
    sure = opening._replace(assurance=Assurance.MULTI_FACTOR, authenticated_at=NOW)
    subject = known_in(World(known), sure.subject_id, sure.patient_id).facts.subject
    is_staff = subject is not None and subject.subject.kind is w.SubjectKind.STAFF

    opened = _opened(known, sure, ruleset).effect is Effect.ALLOW

    viewed = _viewed(known, sure, ruleset).effect is Effect.ALLOW
    assert opened == (viewed and is_staff)


@given(PEOPLE, OPENINGS, RULESETS)
def test_whom_two_factors_are_asked_of_they_open_it(
    known: Known, opening: OpeningRequest, ruleset: Ruleset
) -> None:
    decision = _opened(known, opening, ruleset)
    sure = opening._replace(assurance=Assurance.MULTI_FACTOR, authenticated_at=NOW)

    assured = _opened(known, sure, ruleset)

    assert (decision.reason is Reason.STEP_UP_REQUIRED) <= (assured.effect is Effect.ALLOW)
    assert bool(decision.obligations) == (decision.reason is Reason.STEP_UP_REQUIRED)


@given(ODD_WORLDS, OPENINGS, RULESETS)
def test_every_opening_has_an_answer_and_always_the_same(
    known: Known, opening: OpeningRequest, ruleset: Ruleset
) -> None:
    """Total and deterministic, however odd the facts."""
    decision = _opened(known, opening, ruleset)

    assert decision == _opened(known, opening, ruleset)
    assert (decision.effect is Effect.ALLOW) == (decision.reason is Reason.RULE_ALLOWED)
    assert decision.effect is Effect.ALLOW or decision.reason in REFUSALS


@given(PEOPLE, OPENINGS, RULESETS, st.lists(st.sampled_from(INSTANTS), max_size=5))
def test_more_accesses_that_nobody_reviewed_open_nothing(
    known: Known, opening: OpeningRequest, ruleset: Ruleset, began: list[Any]
) -> None:
    facts = known_in(World(known), opening.subject_id, opening.patient_id)
    without = judge_opening(opening, OpeningFacts(facts.facts), ruleset, NOW)

    after = judge_opening(opening, OpeningFacts(facts.facts, tuple(began)), ruleset, NOW)

    assert after.effect is Effect.DENY or without.effect is Effect.ALLOW
    if sum(one == INSTANTS[0] for one in began) >= 3:
        assert after.effect is Effect.DENY

"""What an explanation says is true: its change, applied to the facts, turns the answer."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import date
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from authz_service.pdp import entities as e
from authz_service.pdp import entity_words as w
from authz_service.pdp import facts as f
from authz_service.pdp.assembly import World
from authz_service.pdp.decide import decide
from authz_service.pdp.explain import Explanation, explain
from authz_service.pdp.imagining import Change
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
from tests.property.pdp_worlds import (
    CONTAINMENTS,
    INSTANTS,
    NOW,
    ODD_WORLDS,
    REQUESTS,
    SOUND,
    SUPPORTED_REQUESTS,
    WORLDS,
    as_fact,
)
from tests.property.test_pdp_laws import RULESETS, _shipped

Known = list[f.Fact[Any]]

CONTAINED = st.tuples(WORLDS, st.lists(CONTAINMENTS.map(as_fact), max_size=2)).map(
    lambda both: both[0] + both[1]
)
_PROXY = e.Delegation(
    "d1",
    w.DelegationKind.PARENTAL,
    "p2",
    "p3",
    (Action.VIEW,),
    INSTANTS[0],
    competence_review=e.CompetenceReview(INSTANTS[1], w.CompetenceOutcome.PROXY_CONTINUES),
)
_SHARE = e.Grant(
    "g1", w.GrantKind.SHARE, "p3", None, "p2", (Action.VIEW,), INSTANTS[0], approved_by="p2"
)
_CARE = e.Relationship("l1", w.RelationshipKind.REFERRAL, "p2", "s2", INSTANTS[0])
_CHILD, _ADULT, _TEEN = date(2012, 1, 1), date(1990, 1, 1), date(2009, 1, 1)


def _hindered(
    right: e.Delegation | e.Grant | e.Relationship,
    hindrance: dict[str, Any],
    born: date,
    of_recording: dict[str, Any],
    more: list[e.Entity],
) -> Known:
    """Return a sound world in which somebody has a right to r2, and something is in the way."""
    fields = {key for key in hindrance if hasattr(right, key)}
    hindered = replace(right, **{key: hindrance[key] for key in fields})
    patient = e.Subject("p2", "t1", w.SubjectKind.PATIENT, w.SubjectStatus.ACTIVE, born)
    known = [as_fact(one) for one in (*SOUND, patient, hindered, *more)]
    return [
        replace(one, entity=replace(one.entity, **of_recording))
        if isinstance(one.entity, e.Recording)
        else one
        for one in known
    ]


HINDERED = st.builds(
    _hindered,
    st.sampled_from((_PROXY, _PROXY, _SHARE, _CARE)),
    st.sampled_from(
        (
            {},
            {"valid_to": NOW},
            {"revoked_at": NOW},
            {"actions": (Action.LIST,)},
            {"competence_review": None},
            {"competence_review": e.CompetenceReview(INSTANTS[1], w.CompetenceOutcome.PROXY_ENDS)},
        )
    ),
    st.sampled_from((_CHILD, _CHILD, _TEEN, _ADULT)),
    st.sampled_from(
        (
            {},
            {},
            {},
            {"confidential_from_proxy": True},
            {"state": w.RecordingState.QUARANTINED},
            {"sealed": True},
            {"retention_until": NOW},
            {"holds": (e.Hold("m1", w.HoldKind.FREEZE), e.Hold("m2", w.HoldKind.FREEZE))},
        )
    ),
    st.sampled_from(
        (
            [],
            [],
            [e.Block("b1", "p2", "p3"), e.Block("b2", "p2", "p3")],
            [e.Containment("k1", e.ContainmentScope(action=Action.VIEW))],
            [_SHARE, _PROXY],
        )
    ),
)
"""A world in which one or two things are in the way of what somebody may."""
HINDERED_REQUESTS = st.builds(
    AccessRequest,
    st.sampled_from(("p2", "p3", "p3", "p3", "s2")),
    st.just("r2"),
    st.just(Action.VIEW),
    st.sampled_from((PurposeOfUse.FAMRQT, PurposeOfUse.FAMRQT, PurposeOfUse.TREAT)),
    st.none(),
    st.sampled_from((None, Assurance.MULTI_FACTOR)),
    st.just(NOW),
)
DISPUTED = st.sampled_from(((), (), ("r1", "r2")))


def changed(known: Known, change: Change) -> Known:
    """Return *known* as it would be after *change*: each fact replaced, or gone."""
    edits = {edit.reference: edit for edit in change.edits}
    last = {f.FactReference(one.kind, one.entity.id): one for one in known}
    assert edits.keys() <= last.keys(), "a change names a fact that there is"
    return [
        replace(one, entity=edits[reference].entity) if reference in edits else one
        for reference, one in last.items()
        if reference not in edits or not edits[reference].is_gone
    ]


def after(
    known: Known,
    request: AccessRequest,
    ruleset: Ruleset,
    change: Change,
    disputed: tuple[str, ...],
) -> Decision:
    """Return the answer after *change*, out of facts that were put together anew."""
    asked = change.request or request
    left = () if change.settles else disputed
    world = World(changed(known, change), left)
    return decide(asked, world.facts_for(asked.subject_id, asked.recording_id), ruleset, NOW)


def explained(
    known: Known, request: AccessRequest, ruleset: Ruleset, disputed: tuple[str, ...] = ()
) -> tuple[Explanation, f.Facts]:
    facts = World(known, disputed).facts_for(request.subject_id, request.recording_id)
    return explain(request, facts, ruleset, NOW), facts


@given(
    CONTAINED | HINDERED | ODD_WORLDS,
    HINDERED_REQUESTS | REQUESTS | SUPPORTED_REQUESTS,
    RULESETS,
    DISPUTED,
)
def test_the_nearest_change_turns_the_answer(
    known: Known, request: AccessRequest, ruleset: Ruleset, disputed: tuple[str, ...]
) -> None:
    """Each change that is named, applied alone to all facts, gives the answer that is foretold."""
    explanation, facts = explained(known, request, ruleset, disputed)

    assert explanation.decision == decide(request, facts, ruleset, NOW)
    if explanation.nearest is not None:
        for change in explanation.nearest.changes:
            turned = after(known, request, ruleset, change, disputed)
            assert turned.effect is not explanation.decision.effect
            assert turned.reason is explanation.nearest.reason_after


@given(CONTAINED | HINDERED, HINDERED_REQUESTS | SUPPORTED_REQUESTS, RULESETS)
def test_a_denial_that_names_an_obstacle_has_a_change_of_that_kind(
    known: Known, request: AccessRequest, ruleset: Ruleset
) -> None:
    """Where assurance, an end, a revocation or a scope is the reason, the change is told."""
    explanation, _ = explained(known, request, ruleset)

    if explanation.decision.reason in {
        Reason.STEP_UP_REQUIRED,
        Reason.DELEGATION_REVOKED,
        Reason.DELEGATION_SCOPE,
        Reason.RELATIONSHIP_EXPIRED,
        Reason.GRANT_EXPIRED,
        Reason.GRANT_REVOKED,
        Reason.CONFIDENTIAL_FROM_PROXY,
        Reason.SAFEGUARDING_BLOCK,
    }:
        assert explanation.nearest is not None
        assert explanation.nearest.reason_after is Reason.RULE_ALLOWED


@given(WORLDS | ODD_WORLDS, REQUESTS | SUPPORTED_REQUESTS, RULESETS)
def test_every_relation_is_explained_by_facts_that_were_looked_at(
    known: Known, request: AccessRequest, ruleset: Ruleset
) -> None:
    """The relations are those that the policy saw, and no fact behind one is unheard of."""
    explanation, _ = explained(known, request, ruleset)
    situation = explanation.decision.situation

    assert {relation for relation, _ in explanation.relations} == (
        situation.relations if situation else set()
    )
    for _, facts in explanation.relations:
        assert facts
        assert set(facts) <= set(explanation.facts)
        assert all(fact.source and fact.observed_at for fact in facts)
    assert set(explanation.changed) <= set(explanation.facts)
    assert (explanation.policy is None) == (situation is None)


def test_random_worlds_have_changes_worth_telling() -> None:
    """Denials and ALLOWs that a change turns both turn up, for many reasons."""
    found: Counter[str] = Counter()

    @settings(max_examples=500, deadline=None, database=None)
    @given(HINDERED, HINDERED_REQUESTS)
    def count(known: Known, request: AccessRequest) -> None:
        explanation, _ = explained(known, request, _shipped())
        if explanation.nearest is not None:
            found[explanation.decision.reason] += 1
            found[explanation.decision.effect] += 1

    count()

    assert found[Effect.ALLOW] >= 8, found
    assert found[Effect.DENY] >= 25, found
    assert len(found) >= 10, found

"""From the policy's verdict to the answer: default deny, limits, and the nearest single change."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from authz_service.pdp.decide import decide
from authz_service.pdp.entities import Entity, Hold, Subject
from authz_service.pdp.entity_words import (
    DelegationKind,
    GrantKind,
    HoldKind,
    ParticipantKind,
    SubjectKind,
    SubjectStatus,
)
from authz_service.pdp.errors import PolicyNotReadyError
from authz_service.pdp.facts import Facts
from authz_service.pdp.model import (
    STEP_UP,
    Action,
    Assurance,
    Condition,
    Decision,
    Effect,
    Reason,
    Relation,
    Situation,
)
from authz_service.pdp.reasons import EXPLAINED_TO_ALL, REASONS_OF_OBSTACLES, Obstacle, reason_for
from tests.unit.pdp.pdp_story import (
    ANA,
    ASSURED,
    BEA,
    BEFORE,
    EVERYTHING,
    NOON,
    NOTHING,
    RECORDING,
    REQUEST,
    RulesetOf,
    asked,
    attended,
    block,
    by,
    care,
    delegation,
    grant,
    world,
)

_TWO_FACTORS = {"assurance": Assurance.MULTI_FACTOR}
_BEA_AS_STAFF = replace(BEA, kind=SubjectKind.STAFF)
_EMERGENCY = grant(GrantKind.EMERGENCY, approved_by="emergency-access")
_WITH_MFA = RulesetOf(lambda one: bool(one.relations) and Condition.MFA in one.conditions)


def test_without_facts_the_answer_is_no() -> None:
    assert decide(REQUEST, Facts(None, None, None), EVERYTHING, NOON) == Decision(
        Effect.DENY, Reason.SUBJECT_UNKNOWN
    )


def test_without_a_rule_the_answer_is_no() -> None:
    decision = asked(ruleset=NOTHING)

    assert (decision.effect, decision.reason) == (Effect.DENY, Reason.NO_RULE_MATCHED)
    assert (decision.rule, decision.obligations, decision.patient_id) == (None, (), "ana")
    assert decision.situation is not None


def test_a_rule_that_denies_is_named() -> None:
    closed = RulesetOf(lambda _one: True, denies=lambda _one: True)

    decision = asked(ruleset=closed, **ASSURED)

    assert (decision.effect, decision.reason, decision.rule) == (
        Effect.DENY,
        Reason.RULE_DENIED,
        "closed",
    )


def test_an_allow_says_what_it_rests_on() -> None:
    decision = asked()

    assert (decision.effect, decision.reason, decision.rule) == (
        Effect.ALLOW,
        Reason.RULE_ALLOWED,
        "open",
    )
    assert decision.patient_id == "ana"
    assert [relation for relation, _ in decision.evidence] == [Relation.OWNER]


def test_a_ruleset_that_fails_fails_the_question() -> None:
    """A fault in the policy is no answer, least of all an ALLOW."""

    def broken(_situation: Situation) -> bool:
        raise PolicyNotReadyError("it broke")

    with pytest.raises(PolicyNotReadyError):
        asked(ruleset=RulesetOf(broken))


def test_step_up_carries_its_obligation() -> None:
    decision = asked(ruleset=_WITH_MFA)

    assert (decision.effect, decision.reason) == (Effect.DENY, Reason.STEP_UP_REQUIRED)
    assert decision.obligations == (STEP_UP,)


@pytest.mark.parametrize(
    ("subject", "changes", "asking", "expected"),
    [
        pytest.param(BEA, [], {}, Reason.NO_RULE_MATCHED, id="no-relation"),
        pytest.param(
            BEA,
            [attended(("bea", ParticipantKind.CLINICIAN))],
            {},
            Reason.PATIENT_BOUNDARY,
            id="patient-in-a-clinicians-place",
        ),
        pytest.param(
            BEA, [care(staff_id="bea")], {}, Reason.PATIENT_BOUNDARY, id="patient-in-the-team"
        ),
        pytest.param(
            BEA,
            [replace(RECORDING, holds=(Hold("m", HoldKind.FREEZE, ("bea",)),))],
            {},
            Reason.PATIENT_BOUNDARY,
            id="patient-as-viewer-of-a-hold",
        ),
        pytest.param(BEA, [delegation()], {}, Reason.RULE_ALLOWED, id="delegation"),
        pytest.param(BEA, [grant()], {}, Reason.RULE_ALLOWED, id="share"),
        pytest.param(
            BEA,
            [grant(GrantKind.QUALITY, approved_by="bok")],
            {},
            Reason.RULE_ALLOWED,
            id="quality-grant",
        ),
        pytest.param(
            BEA,
            [attended(("bea", ParticipantKind.CLINICIAN)), delegation(actions=(Action.LIST,))],
            {},
            Reason.PATIENT_BOUNDARY,
            id="delegation-for-another-action",
        ),
        pytest.param(BEA, [_EMERGENCY], _TWO_FACTORS, Reason.EMERGENCY_LIMIT, id="emergency"),
        pytest.param(
            BEA,
            [_EMERGENCY, attended(("bea", ParticipantKind.OBSERVER))],
            _TWO_FACTORS,
            Reason.PATIENT_BOUNDARY,
            id="emergency-and-attendance",
        ),
        pytest.param(
            BEA, [_EMERGENCY, grant(id="sh")], {}, Reason.RULE_ALLOWED, id="emergency-and-share"
        ),
        pytest.param(
            _BEA_AS_STAFF, [_EMERGENCY], _TWO_FACTORS, Reason.RULE_ALLOWED, id="staff-emergency"
        ),
        pytest.param(
            _BEA_AS_STAFF, [_EMERGENCY], {}, Reason.EMERGENCY_LIMIT, id="emergency-one-factor"
        ),
        pytest.param(
            _BEA_AS_STAFF,
            [_EMERGENCY],
            {**_TWO_FACTORS, "action": Action.DOWNLOAD},
            Reason.EMERGENCY_LIMIT,
            id="emergency-download",
        ),
        pytest.param(
            _BEA_AS_STAFF,
            [_EMERGENCY, attended(("bea", ParticipantKind.CLINICIAN))],
            {"action": Action.DOWNLOAD},
            Reason.RULE_ALLOWED,
            id="emergency-beside-attendance",
        ),
        pytest.param(
            replace(BEA, kind=SubjectKind.SERVICE),
            [_EMERGENCY],
            _TWO_FACTORS,
            Reason.RULE_ALLOWED,
            id="service-is-custodian-besides",
        ),
    ],
)
def test_what_binds_every_allow(
    subject: Subject, changes: list[Entity], asking: dict[str, Any], expected: Reason
) -> None:
    """Under a policy that allows everybody everything through every relation."""
    decision = asked(subject, *changes, subject_id="bea", **asking)

    assert decision.reason is expected
    assert (decision.effect is Effect.ALLOW) == (expected is Reason.RULE_ALLOWED)


def test_the_patient_passes_the_boundary_for_every_action() -> None:
    assert {asked(action=action).effect for action in Action} == {Effect.ALLOW}


def test_emergency_alone_is_judged_by_what_the_policy_would_allow_without_it() -> None:
    """Another relation that the policy does not honour does not help."""
    ruleset = by(Relation.EMERGENCY)
    changes = (_BEA_AS_STAFF, _EMERGENCY, attended(("bea", ParticipantKind.CLINICIAN)))

    decision = asked(*changes, subject_id="bea", action=Action.DOWNLOAD, ruleset=ruleset)

    assert decision.reason is Reason.EMERGENCY_LIMIT


# ---- the nearest single change: each thing in the way, in the order in which they are lifted


def _only(relation: Relation, *needs: Condition, without: Condition | None = None) -> RuleOf:
    def rule(situation: Situation) -> bool:
        return (
            relation in situation.relations
            and situation.conditions.issuperset(needs)
            and without not in situation.conditions
        )

    return rule


RuleOf = Callable[[Situation], bool]
_MANY_WAYS: tuple[RuleOf, ...] = (
    _only(Relation.OTHER_PARTICIPANT, Condition.MFA, Condition.RECENT_AUTHENTICATION),
    _only(Relation.DELEGATE),
    _only(Relation.GUARDIAN),
    _only(Relation.ATTENDING, without=Condition.PROXY_RESTRICTED),
    _only(Relation.ATTENDING, without=Condition.CONFIDENTIAL_FROM_PROXY),
    _only(Relation.TREATING),
    _only(Relation.QUALITY),
    _only(Relation.LEGAL),
)
_WAYS = RulesetOf(lambda situation: any(rule(situation) for rule in _MANY_WAYS))
_OBSERVER = attended(("bea", ParticipantKind.OBSERVER), ("bea", ParticipantKind.CLINICIAN))
_ENDED = delegation(id="d1", valid_to=NOON)
_REVOKED = delegation(id="d2", revoked_at=BEFORE)
_SCOPE = delegation(id="d3", actions=(Action.LIST,))
_PARENT = delegation(id="d4", kind=DelegationKind.PARENTAL)
_CARE_OVER = care(staff_id="bea", valid_to=NOON)
_QUALITY_OVER = grant(GrantKind.QUALITY, id="g1", approved_by="bok", valid_to=NOON)
_LEGAL_REVOKED = grant(GrantKind.LEGAL, id="g2", approved_by="bok", revoked_at=BEFORE)
_LAST = (
    (Reason.RELATIONSHIP_EXPIRED, _CARE_OVER),
    (Reason.GRANT_EXPIRED, _QUALITY_OVER),
    (Reason.GRANT_REVOKED, _LEGAL_REVOKED),
)
_UNKNOWN_AGE = replace(ANA, birth_date=None)
_PRIVATE = replace(RECORDING, confidential_from_proxy=True)
_SEQUENCES: dict[str, tuple[tuple[Entity, ...], tuple[tuple[Reason, Entity], ...]]] = {
    "delegations": (
        (_PRIVATE, _BEA_AS_STAFF),
        (
            (Reason.STEP_UP_REQUIRED, attended(("bea", ParticipantKind.OBSERVER))),
            (Reason.DELEGATION_EXPIRED, _ENDED),
            (Reason.DELEGATION_REVOKED, _REVOKED),
            (Reason.DELEGATION_SCOPE, _SCOPE),
            (Reason.PROXY_SUSPENDED, _PARENT),
            *_LAST,
        ),
    ),
    "death": (
        (replace(ANA, status=SubjectStatus.DECEASED), _BEA_AS_STAFF),
        (
            (Reason.STEP_UP_REQUIRED, attended(("bea", ParticipantKind.OBSERVER))),
            (Reason.DELEGATION_EXPIRED, delegation()),
            *_LAST,
        ),
    ),
    "block": (
        (block(), _BEA_AS_STAFF),
        (
            (Reason.STEP_UP_REQUIRED, attended(("bea", ParticipantKind.OBSERVER))),
            (Reason.SAFEGUARDING_BLOCK, delegation()),
            *_LAST,
        ),
    ),
}


def _steps() -> list[object]:
    return [
        pytest.param(name, step, id=f"{name}-{step}")
        for name, (_, steps) in _SEQUENCES.items()
        for step in range(len(steps) + 1)
    ]


@pytest.mark.parametrize(("name", "step"), _steps())
def test_the_nearest_single_change_names_the_reason(name: str, step: int) -> None:
    """Many ways in, each with one thing in it; the ways are closed one after the other."""
    base, steps = _SEQUENCES[name]
    expected = [reason for reason, _ in steps] + [Reason.NO_RULE_MATCHED]

    decision = asked(
        *base, *(entity for _, entity in steps[step:]), subject_id="bea", ruleset=_WAYS
    )

    assert decision.reason is expected[step]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param(
            [_UNKNOWN_AGE, _PRIVATE, _OBSERVER], Reason.STEP_UP_REQUIRED, id="assurance-first"
        ),
        pytest.param(
            [_UNKNOWN_AGE, _PRIVATE, attended(("bea", ParticipantKind.CLINICIAN))],
            Reason.PROXY_RESTRICTED,
            id="restriction-before-confidentiality",
        ),
        pytest.param(
            [_UNKNOWN_AGE, _PRIVATE, attended(("bea", ParticipantKind.CLINICIAN)), _CARE_OVER],
            Reason.PROXY_RESTRICTED,
            id="conditions-before-relationships",
        ),
        pytest.param(
            [
                _UNKNOWN_AGE,
                _PRIVATE,
                attended(("bea", ParticipantKind.CLINICIAN)),
                delegation(),
                block(),
            ],
            Reason.SAFEGUARDING_BLOCK,
            id="block-before-conditions",
        ),
    ],
)
def test_conditions_are_cleared_after_delegations_and_before_the_rest(
    changes: list[Entity], expected: Reason
) -> None:
    assert asked(_BEA_AS_STAFF, *changes, subject_id="bea", ruleset=_WAYS).reason is expected


def test_confidentiality_is_named_where_it_alone_is_in_the_way() -> None:
    ruleset = RulesetOf(_only(Relation.ATTENDING, without=Condition.CONFIDENTIAL_FROM_PROXY))

    decision = asked(_PRIVATE, subject_id="bok", ruleset=ruleset)

    assert decision.reason is Reason.CONFIDENTIAL_FROM_PROXY


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param([_ENDED], Reason.DELEGATION_EXPIRED, id="ended"),
        pytest.param([_REVOKED], Reason.DELEGATION_REVOKED, id="revoked"),
        pytest.param([_SCOPE], Reason.DELEGATION_SCOPE, id="scope"),
        pytest.param([_PARENT], Reason.PROXY_SUSPENDED, id="age"),
        pytest.param([delegation(), block()], Reason.SAFEGUARDING_BLOCK, id="block"),
        pytest.param([grant(), block()], Reason.SAFEGUARDING_BLOCK, id="block-of-a-share"),
        pytest.param([_CARE_OVER], Reason.RELATIONSHIP_EXPIRED, id="care"),
        pytest.param([_QUALITY_OVER], Reason.GRANT_EXPIRED, id="grant-ended"),
        pytest.param([_LEGAL_REVOKED], Reason.GRANT_REVOKED, id="grant-revoked"),
        pytest.param([], Reason.NO_RULE_MATCHED, id="nothing"),
    ],
)
def test_one_thing_alone_in_the_way_is_named(changes: list[Entity], expected: Reason) -> None:
    """With two factors, now, and under a policy that allows everything through every relation."""
    assert asked(_BEA_AS_STAFF, *changes, subject_id="bea", **ASSURED).reason is expected


def test_two_things_in_one_way_name_none() -> None:
    decision = asked(
        delegation(valid_to=NOON, revoked_at=BEFORE), subject_id="bea", ruleset=_WAYS, **ASSURED
    )

    assert decision.reason is Reason.NO_RULE_MATCHED


def test_a_change_that_would_be_stopped_after_the_policy_is_no_change() -> None:
    """Restored, the emergency grant would still give no DOWNLOAD; so it is not the reason."""
    over = replace(_EMERGENCY, valid_to=NOON)

    view = asked(_BEA_AS_STAFF, over, subject_id="bea", **ASSURED)
    download = asked(_BEA_AS_STAFF, over, subject_id="bea", action=Action.DOWNLOAD, **ASSURED)

    assert (view.reason, download.reason) == (Reason.GRANT_EXPIRED, Reason.NO_RULE_MATCHED)


def test_a_deny_rule_that_a_change_lifts_is_not_the_reason() -> None:
    ruleset = RulesetOf(lambda _one: True, denies=lambda one: Condition.MFA not in one.conditions)

    assert asked(ruleset=ruleset).reason is Reason.STEP_UP_REQUIRED


def test_every_obstacle_has_a_reason_and_they_are_tried_in_the_contracts_order() -> None:
    named = list(dict.fromkeys(REASONS_OF_OBSTACLES[one] for one in sorted(Obstacle)))

    assert named == [
        Reason.STEP_UP_REQUIRED,
        Reason.DELEGATION_EXPIRED,
        Reason.DELEGATION_REVOKED,
        Reason.DELEGATION_SCOPE,
        Reason.SAFEGUARDING_BLOCK,
        Reason.PROXY_SUSPENDED,
        Reason.PROXY_RESTRICTED,
        Reason.CONFIDENTIAL_FROM_PROXY,
        Reason.RELATIONSHIP_EXPIRED,
        Reason.GRANT_EXPIRED,
        Reason.GRANT_REVOKED,
    ]


@pytest.mark.parametrize("reason", list(Reason))
def test_a_caller_that_may_not_explain_hears_one_of_four_words(reason: Reason) -> None:
    expected = {
        Reason.RULE_ALLOWED: Reason.ALLOWED,
        Reason.STEP_UP_REQUIRED: Reason.STEP_UP_REQUIRED,
        Reason.INVALID_REQUEST: Reason.INVALID_REQUEST,
    }.get(reason, Reason.NOT_AVAILABLE)

    assert reason_for(reason, may_explain=False) is expected
    assert reason_for(reason, may_explain=True) is reason
    assert Reason.RULE_ALLOWED in EXPLAINED_TO_ALL


def test_the_policy_is_asked_about_roles_and_relations_and_nothing_else() -> None:
    seen: list[Situation] = []

    def watch(situation: Situation) -> bool:
        seen.append(situation)
        return False

    request = REQUEST._replace(action=Action.LIST, assurance=Assurance.MULTI_FACTOR)
    facts = world(replace(ANA, birth_date=date(2014, 1, 1))).facts_for("ana", "rec")
    decide(request, facts, RulesetOf(watch), NOON)

    assert seen[0] == Situation(
        frozenset({"patient"}),
        frozenset({Relation.OWNER}),
        Action.LIST,
        REQUEST.purpose_of_use,
        frozenset({Condition.MFA}),
    )

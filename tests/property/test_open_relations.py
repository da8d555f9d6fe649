"""Whatever may be allowed is allowed through a relation that a list looks at."""

from __future__ import annotations

from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from authz_service.pdp.assembly import World
from authz_service.pdp.decide import decide
from authz_service.pdp.facts import Fact
from authz_service.pdp.model import (
    AccessRequest,
    Action,
    Condition,
    Effect,
    PurposeOfUse,
    Relation,
    Situation,
)
from authz_service.pdp.ruleset import Ruleset
from authz_service.pdp.situation import impossible_conditions
from authz_service.policy.open_relations import open_relations
from authz_service.policy.source import BundleSource
from tests.property.pdp_worlds import (
    NOW,
    ODD_WORLDS,
    OPEN,
    REQUESTS,
    SUPPORTED_REQUESTS,
    WORLDS,
)
from tests.property.policy_oracle import (
    CONDITIONS,
    PlainPolicy,
    PlainRule,
    bundle_of,
    policies,
    situations,
    verdict,
)

_POLICIES = Path(__file__).resolve().parents[2] / "policies"
_CONDITIONS = frozenset(Condition)


@cache
def shipped() -> Ruleset:
    return BundleSource(_POLICIES).load().ruleset


conditions = st.frozensets(st.sampled_from([Condition(word) for word in CONDITIONS]))
OWN = PlainRule("allow", ["*"], ["owner"], ["watch"], ["care"], {"mfa": True})
HERS = Situation(
    frozenset(),
    frozenset({Relation.OWNER}),
    Action.LIST,
    PurposeOfUse.TREAT,
    frozenset({Condition.MFA}),
)


@settings(max_examples=200, deadline=None)
@given(policies, st.lists(situations, min_size=20, max_size=20), conditions)
@example(PlainPolicy([OWN], []), [HERS], frozenset({Condition.SEALED}))
def test_every_allowed_situation_has_an_open_relation(
    policy: PlainPolicy, asked: list[Situation], impossible: frozenset[Condition]
) -> None:
    """Under any policy, as a plain restatement of what policies mean has it."""
    rules = bundle_of(policy).rules

    for each in asked:
        match = verdict(policy, each)
        if match is None or match.effect is Effect.DENY:
            continue
        out = impossible - each.conditions
        assert each.relations & open_relations(rules, each.action, each.purpose_of_use, out)


@given(WORLDS | ODD_WORLDS, REQUESTS | SUPPORTED_REQUESTS, st.sampled_from((OPEN, "shipped")))
def test_every_allowed_recording_is_reached(
    known: list[Fact[Any]], request: AccessRequest, policy: Any
) -> None:
    """In any world, by what the request itself makes impossible, an hour before as at the time."""
    ruleset: Ruleset = shipped() if policy == "shipped" else policy
    facts = World(known).facts_for(request.subject_id, request.recording_id)
    decision = decide(request, facts, ruleset, NOW)
    if decision.situation is None:
        return

    for earlier in (timedelta(0), timedelta(hours=1)):
        impossible = impossible_conditions(request, NOW - earlier)
        assert impossible.isdisjoint(decision.situation.conditions)
        if decision.effect is Effect.ALLOW:
            assert decision.situation.relations & ruleset.open_relations(
                request.action, request.purpose_of_use, impossible
            )


@pytest.mark.parametrize(
    ("action", "purpose", "possible", "expected"),
    [
        pytest.param("LIST", "PATRQT", "", "owner", id="her-own"),
        pytest.param("LIST", "FAMRQT", "", "delegate grantee guardian", id="for-the-family"),
        pytest.param("LIST", "TREAT", "mfa", "attending grantee treating", id="for-care"),
        pytest.param("LIST", "TREAT", "", "", id="for-care-with-one-factor"),
        pytest.param("LIST", "HLEGAL", "mfa", "", id="legal-without-a-matter"),
        pytest.param("LIST", "HLEGAL", "matter_matches", "legal", id="an-executor"),
        pytest.param("EXPORT", "PATRQT", "mfa", "", id="a-copy-without-fresh-sign-in"),
        pytest.param("EXPORT", "PATRQT", "mfa recent_authentication", "owner", id="a-copy"),
        pytest.param("DELETE", "PATRQT", "mfa", "", id="deletion-is-for-services"),
        pytest.param("LIST", "HMARKT", "mfa", "", id="for-marketing"),
    ],
)
def test_what_no_rule_can_allow_is_left_out(
    action: str, purpose: str, possible: str, expected: str
) -> None:
    """Under the shipped policy a list looks at no more than it must."""
    impossible = _CONDITIONS - {Condition(word) for word in possible.split()}

    found = shipped().open_relations(Action(action), PurposeOfUse(purpose), impossible)

    assert sorted(found) == expected.split()

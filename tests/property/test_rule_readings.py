"""A policy that explains itself says what Casbin decides: rule by rule, in the policy's words."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from authz_service.pdp.model import Effect, Situation
from authz_service.pdp.ruleset import PolicyReading, RuleMatch
from authz_service.policy.casbin_ruleset import CasbinRuleset
from tests.property.policy_oracle import (
    GROUPS,
    PlainPolicy,
    bundle_of,
    policies,
    situations,
    verdict,
)


def told(reading: PolicyReading) -> RuleMatch | None:
    """Return the verdict that the readings come to: the first denial, else the last permission."""
    matched = [each for each in reading.rules if each.matched]
    denying = [each for each in matched if each.effect is Effect.DENY]
    deciding = denying[:1] or matched[-1:]
    return RuleMatch(deciding[0].effect, deciding[0].rule) if deciding else None


@pytest.mark.slow
@settings(max_examples=250, deadline=None)
@given(policies, st.lists(situations, min_size=20, max_size=20))
def test_the_readings_come_to_the_verdict(policy: PlainPolicy, asked: list[Situation]) -> None:
    """5,000 situations; the oracle, Casbin and the explanation agree in all of them."""
    ruleset = CasbinRuleset(bundle_of(policy))

    for each in asked:
        reading = ruleset.explain(each)
        assert told(reading) == ruleset.match(each) == verdict(policy, each)
        assert [one.rule for one in reading.rules] == [
            f"r{number}" for number in range(len(policy.rules))
        ]


@settings(max_examples=100, deadline=None)
@given(policies, situations)
def test_what_is_unmet_is_what_the_rule_asks_for_and_the_situation_has_not(
    policy: PlainPolicy, asked: Situation
) -> None:
    """A cell is unmet where none of its words is there; a condition, where it is not as asked."""
    reading = CasbinRuleset(bundle_of(policy)).explain(asked)
    has = {
        "role": set(reading.effective_roles),
        "relation": {str(each) for each in asked.relations},
        "action": {str(asked.action)},
        "purpose": {str(asked.purpose_of_use)},
    }

    for plain, rule in zip(policy.rules, reading.rules, strict=True):
        expected = set()
        for name, cell in zip(has, plain[1:5], strict=True):
            meant = {word for each in cell for word in GROUPS.get(each, [each])}
            if cell != ["*"] and meant.isdisjoint(has[name]):
                expected.add((name, frozenset(meant)))
        conditions = {
            word if wanted else f"not {word}"
            for word, wanted in plain.when.items()
            if (word in asked.conditions) is not wanted
        }
        cells = [each.split(" ", 1) for each in rule.unmet[: len(expected)]]
        assert {(name, frozenset(words.split("|"))) for name, words in cells} == expected
        assert set(rule.unmet[len(expected) :]) == conditions

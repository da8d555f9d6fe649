"""Every scenario question explained: the answer is the expected one, and its rule fits."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from authz_service.pdp.assembly import World
from authz_service.pdp.entity_plain import parse_instant
from authz_service.pdp.explain import explain
from authz_service.pdp.model import AccessRequest, Decision, Effect
from authz_service.pdp.ruleset import RuleReading
from tests.golden.bundles import ruleset_of
from tests.golden.pdp_target import PdpTarget
from tests.golden.runner import is_played, play
from tests.golden.scenarios import OWN, SHARED, Case, load
from tests.golden.target import Setting, Target

_ALL = [*(load(SHARED) if SHARED.is_dir() else []), *load(OWN)]
_CASES = [
    case
    for case in _ALL
    if is_played(case) and not case.expects_status and case.rpc == "CheckAccess"
]


class ExplainedTarget(PdpTarget):
    """Answers by explaining; what the explanation says of its answer is compared on the way."""

    def _decision(self, request: AccessRequest) -> Decision:
        decision = super()._decision(request)
        world = World(self._facts.values(), self._disputed)
        facts = world.facts_for(request.subject_id, request.recording_id)
        explanation = explain(request, facts, self._ruleset, self._now)
        assert explanation.decision == decision
        assert (explanation.policy is not None) == (decision.situation is not None)
        rules = {each.rule: each for each in explanation.policy.rules} if explanation.policy else {}
        _compare_rules(decision, rules)
        return explanation.decision


def _compare_rules(decision: Decision, rules: dict[str, RuleReading]) -> None:
    """The rule that decided matched; without one that allows, nothing is allowed."""
    if decision.rule is not None:
        assert rules[decision.rule].matched
    if decision.effect is Effect.ALLOW:
        assert rules[str(decision.rule)].effect is Effect.ALLOW
        assert not any(each.matched and each.effect is Effect.DENY for each in rules.values())
    elif decision.rule is None:
        assert not any(each.matched for each in rules.values())


@asynccontextmanager
async def _opened(setting: Setting) -> AsyncIterator[Target]:
    yield ExplainedTarget(ruleset_of(setting.rules), parse_instant(setting.clock), setting.plain)


@pytest.mark.parametrize("case", [pytest.param(case, id=case.id) for case in _CASES])
async def test_the_explained_answer_is_the_expected_one(case: Case) -> None:
    await play(case, _opened)

"""Casbin's verdict: default deny, deny overrides, remembered, and never invented."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

import casbin
import pytest

from authz_service.pdp.errors import PolicyNotReadyError, PolicyRefusedError
from authz_service.pdp.model import Action, Effect, PurposeOfUse, Situation
from authz_service.pdp.ruleset import RuleMatch
from authz_service.policy import casbin_ruleset
from authz_service.policy.casbin_ruleset import CasbinRuleset
from authz_service.policy.source import BundleSource, compiled
from tests.unit.policy.policy_files import OWN_RULE, bundle_of, ruleset_of, situation, write_bundle

RULES = """\
p, no-marketing, deny, *, *, *, HMARKT, always
p, sealed, deny, *, *, VIEW|LIST, *, sealed and not mfa
p, first, allow, patient, owner, VIEW, PATRQT, always
p, second, allow, *, owner, VIEW|LIST, PATRQT, always
p, no-support, deny, support, *, *, *, always
"""
OWN = situation("patient", "owner")


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        pytest.param(OWN, RuleMatch(Effect.ALLOW, "second"), id="last-rule-that-allows"),
        pytest.param(situation("", "owner"), RuleMatch(Effect.ALLOW, "second"), id="no-role"),
        pytest.param(situation("patient"), None, id="no-relation"),
        pytest.param(situation(), None, id="nothing"),
        pytest.param(situation("patient", "owner", Action.DELETE), None, id="action-of-no-rule"),
        pytest.param(
            situation("patient", "owner", purpose=PurposeOfUse.TREAT), None, id="another-purpose"
        ),
        pytest.param(
            situation(purpose=PurposeOfUse.HMARKT),
            RuleMatch(Effect.DENY, "no-marketing"),
            id="star-matches-nobody-with-nothing",
        ),
        pytest.param(
            situation("patient", "owner", conditions="sealed"),
            RuleMatch(Effect.DENY, "sealed"),
            id="deny-outranks-allow",
        ),
        pytest.param(
            situation("patient", "owner", conditions="sealed mfa"),
            RuleMatch(Effect.ALLOW, "second"),
            id="condition-lifts-the-deny",
        ),
        pytest.param(
            situation("support", "", Action.VIEW, PurposeOfUse.HMARKT, "sealed"),
            RuleMatch(Effect.DENY, "no-marketing"),
            id="first-rule-that-denies",
        ),
        pytest.param(
            situation("patient support", "owner"),
            RuleMatch(Effect.DENY, "no-support"),
            id="deny-after-allow-outranks-it",
        ),
        pytest.param(situation("stranger", "owner", Action.SHARE), None, id="role-of-no-rule"),
    ],
)
def test_the_deciding_rule(asked: Situation, expected: RuleMatch | None) -> None:
    """Nothing is allowed that no rule allows, and one rule that denies outranks all others."""
    ruleset = ruleset_of(rules=RULES)

    assert ruleset.match(asked) == expected
    assert ruleset.match(asked) == expected, "remembered"


def test_rows_that_are_equal_but_for_their_id_are_all_rules() -> None:
    twice = OWN_RULE + OWN_RULE.replace("own", "also-own", 1)

    assert ruleset_of(rules=twice).match(OWN) == RuleMatch(Effect.ALLOW, "also-own")


def test_a_verdict_is_remembered_not_evaluated_again(monkeypatch: pytest.MonkeyPatch) -> None:
    ruleset = ruleset_of(rules=RULES)
    before = ruleset.match(OWN), ruleset.match(situation())
    monkeypatch.setattr(ruleset, "_enforcer", None)

    assert (ruleset.match(OWN), ruleset.match(situation())) == before
    with pytest.raises(PolicyNotReadyError):
        ruleset.match(situation("patient", "owner", Action.DELETE))


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(casbin_ruleset, "MAX_REMEMBERED", 3)
    ruleset = ruleset_of(rules=RULES)

    for number in range(10):
        assert ruleset.match(situation(f"role-{number} patient", "owner")) is not None
        assert len(ruleset._verdicts) <= 3


class Broken:
    """An enforcer that answers or raises what a test wants."""

    def __init__(self, answer: object) -> None:
        self._answer = answer

    def enforce_ex(self, asked: Situation) -> object:
        if isinstance(self._answer, BaseException):
            raise self._answer
        return self._answer


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(RuntimeError("invalid policy size"), id="raises"),
        pytest.param(SystemError("AST constructor recursion depth mismatch"), id="system-error"),
        pytest.param((True, []), id="allowed-by-no-rule"),
        pytest.param((True, ["r", "deny"]), id="allowed-by-a-rule-that-denies"),
        pytest.param((False, ["r", "allow"]), id="denied-by-a-rule-that-allows"),
        pytest.param((True, ["r", "Allow"]), id="unknown-effect"),
        pytest.param((True, ["r"]), id="short-row"),
        pytest.param((1, ["r", "allow"]), id="number-for-a-truth-value"),
        pytest.param(None, id="nothing"),
    ],
)
def test_a_fault_is_never_a_match(answer: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """On doubt nothing is allowed, and nothing is remembered."""
    ruleset = ruleset_of(rules=RULES)
    sound = ruleset._enforcer
    monkeypatch.setattr(ruleset, "_enforcer", Broken(answer))

    with pytest.raises(PolicyNotReadyError):
        ruleset.match(OWN)

    monkeypatch.setattr(ruleset, "_enforcer", sound)
    assert ruleset.match(OWN) == RuleMatch(Effect.ALLOW, "second")


def test_a_disabled_enforcer_allows_nothing() -> None:
    """Casbin's own switch for `allow everything` is a fault here."""
    ruleset = ruleset_of(rules=RULES)
    ruleset._enforcer.enable_enforce(enabled=False)

    with pytest.raises(PolicyNotReadyError):
        ruleset.match(situation())


def test_a_policy_that_cannot_be_evaluated_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = bundle_of(rules=RULES)
    monkeypatch.setattr(CasbinRuleset, "_meets", lambda *_: "yes")

    with pytest.raises(PolicyRefusedError) as refused:
        compiled(bundle)

    assert [problem.kind for problem in refused.value.problems] == ["invalid"]


def test_a_policy_that_casbin_does_not_take_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(casbin_ruleset, "casbin_model", lambda: "[matchers]\nm = True")

    with pytest.raises(PolicyNotReadyError, match="casbin refused it"):
        ruleset_of(rules=RULES)


def test_casbin_writes_no_policies_and_no_requests_to_the_log(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    with caplog.at_level(logging.DEBUG):
        for name in casbin_ruleset._CASBIN_LOGGERS:
            logger = logging.getLogger(name)  # noqa: TID251  # Casbin's own, as it was at first
            monkeypatch.setattr(logger, "disabled", False)
            logger.setLevel(logging.NOTSET)
        ruleset = ruleset_of(rules=RULES)
        ruleset.match(OWN)
        ruleset.match(situation())
        logging.getLogger("casbin.enforcer").disabled = False  # noqa: TID251  # as dictConfig does
        ruleset.match(situation("support"))

    assert caplog.records == []


def test_casbin_is_the_maintained_one() -> None:
    """The end of the other line does not name the rule that allowed."""
    enforcer = ruleset_of()._enforcer

    assert isinstance(enforcer, casbin.Enforcer)
    assert enforcer.enforce_ex(OWN) == (
        True,
        ["own", "allow", "patient", "owner", "VIEW", "PATRQT", "always"],
    )


def test_many_threads_come_to_the_same_verdicts() -> None:
    """Two rulesets evaluated at once from several threads: each answers by its own rules."""
    first, second = ruleset_of(rules=RULES), ruleset_of(rules=OWN_RULE)
    asked = [situation(f"role-{number} patient", "owner") for number in range(60)]
    together = threading.Barrier(4)
    wrong: list[Situation] = []

    def ask(ruleset: CasbinRuleset, expected: RuleMatch) -> None:
        together.wait()
        wrong.extend(each for each in asked if ruleset.match(each) != expected)

    threads = [
        threading.Thread(target=ask, args=(ruleset, RuleMatch(Effect.ALLOW, rule)))
        for ruleset, rule in [(first, "second"), (second, "own")] * 2
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert wrong == []


def test_a_later_load_leaves_an_earlier_ruleset_as_it_was(tmp_path: Path) -> None:
    """A policy is never loaded into a live enforcer."""
    directory = write_bundle(tmp_path)
    before = BundleSource(directory).load().ruleset
    write_bundle(directory, rules=OWN_RULE.replace("allow", "deny"))
    after = BundleSource(directory).load().ruleset

    assert before.match(OWN) == RuleMatch(Effect.ALLOW, "own")
    assert after.match(OWN) == RuleMatch(Effect.DENY, "own")

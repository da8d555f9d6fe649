"""Casbin's verdicts are those of a plain restatement of what a policy means."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from authz_service.pdp.errors import PolicyProblem, PolicyRefusedError
from authz_service.pdp.model import Action, PurposeOfUse, Situation
from authz_service.policy.bundle import Bundle, parse_bundle
from authz_service.policy.casbin_ruleset import CasbinRuleset
from authz_service.policy.directory import BundleFile
from authz_service.policy.model_conf import casbin_model
from tests.property.policy_oracle import (
    PlainPolicy,
    PlainRule,
    bundle_of,
    policies,
    situations,
    verdict,
)

SOUND = {
    "model.conf": casbin_model() + "\n",
    "roles.csv": "# who\ng, emergency_clinician, clinician\ng, scribe, none\n",
    "groups.csv": "g2, watch, LIST\ng2, watch, VIEW\ng3, care, TREAT\n",
    "rules.csv": """\
# Nobody, for marketing.
p, no-marketing, deny , *                , *              , *           , HMARKT  , always
# Sealed.
p, sealed      , deny , scribe           , *              , *           , *       , not mfa
p, own         , allow, patient          , owner          , watch|EXPORT, PATRQT  , always

p, care        , allow, clinician|support, attending|legal, watch       , care|BTG, mfa and sealed
""",
    "cases/day.yaml": """\
clock: "2021-03-10T09:00:00Z"
facts:
- tenant: {id: t, time_zone: UTC}
- subject: {id: pat, tenant_id: t, kind: PATIENT, status: ACTIVE}
cases:
- id: unknown
  says: Unknown.
  ask: {subject: pat, recording: rec, action: VIEW, purpose_of_use: PATRQT}
  expect: {effect: DENY, reason: RECORDING_UNKNOWN}
""",
}
NOBODY = Situation(frozenset(), frozenset(), Action.VIEW, PurposeOfUse.HMARKT, frozenset())
FOR_ALL = PlainRule("deny", ["*"], ["*"], ["*"], ["*"], {})


@pytest.mark.slow
@settings(max_examples=250, deadline=None)
@given(policies, st.lists(situations, min_size=20, max_size=20))
@example(PlainPolicy([FOR_ALL], []), [NOBODY])
@example(PlainPolicy([FOR_ALL._replace(role=["patient"])], [("lead", "patient")]), [NOBODY])
def test_casbin_agrees_with_the_oracle(policy: PlainPolicy, asked: list[Situation]) -> None:
    """Deny overrides, default deny, groups, inheritance, empty roles and relations: 5,000 times."""
    bundle = bundle_of(policy)
    ruleset, fresh = CasbinRuleset(bundle), CasbinRuleset(bundle)

    for each in asked:
        expected = verdict(policy, each)
        assert ruleset.match(each) == expected
        assert ruleset.match(each._replace()) == expected, "remembered"
    for each in reversed(asked):
        assert fresh.match(each) == ruleset.match(each), "asked first or last"


def test_random_policies_are_worth_asking() -> None:
    """The generator finds all three outcomes often enough to tell them apart."""
    outcomes: Counter[str] = Counter()

    @settings(max_examples=300, deadline=None, database=None)
    @given(policies, situations)
    def count(policy: PlainPolicy, asked: Situation) -> None:
        match = verdict(policy, asked)
        outcomes[match.effect if match else "none"] += 1

    count()

    assert all(outcomes[outcome] >= 10 for outcome in ("ALLOW", "DENY", "none")), outcomes


edits = st.lists(
    st.tuples(
        st.integers(0, 999),
        st.sampled_from(["replace", "insert", "delete", "cut", "repeat"]),
        st.sampled_from([bytes([byte]) for byte in b" ,|#*\n\r\t\"'pgdenyallow\x00\xff\xef.-_AZ09"])
        | st.binary(min_size=1, max_size=3),
    ),
    min_size=1,
    max_size=3,
)


def edited(content: bytes, changes: list[tuple[int, str, bytes]]) -> bytes:
    for where, what, new in changes:
        at = where % (len(content) + 1)
        before, after = content[:at], content[at:]
        content = {
            "replace": before + new + after[len(new) :],
            "insert": before + new + after,
            "delete": before + after[len(new) :],
            "cut": before,
            "repeat": before + before[-20:] + after,
        }[what]
    return content


def parsed(texts: dict[str, bytes]) -> tuple[Bundle | None, tuple[PolicyProblem, ...]]:
    try:
        return parse_bundle(BundleFile(name, content) for name, content in texts.items()), ()
    except PolicyRefusedError as refused:
        return None, refused.problems


def words(cell: str) -> set[str]:
    groups = {"watch": {"LIST", "VIEW"}, "care": {"TREAT"}}
    named = [word.strip(" ") for word in cell.split("|")]
    return {meant for word in named for meant in groups.get(word, {word})}


@settings(max_examples=400, deadline=None)
@given(edits)
def test_a_damaged_file_of_rules_is_refused_or_every_line_is_accounted_for(
    changes: list[tuple[int, str, bytes]],
) -> None:
    """No damage makes a line vanish: what loads is what a reader sees, line by line."""
    content = edited(SOUND["rules.csv"].encode(), changes)
    texts = {**{name: text.encode() for name, text in SOUND.items()}, "rules.csv": content}
    bundle, problems = parsed(texts)
    if bundle is None:
        assert {problem.file for problem in problems} == {"rules.csv"}
        return

    lines = {
        number: [cell.strip(" ") for cell in line.split(",")]
        for number, line in enumerate(content.decode().split("\n"), start=1)
        if line.strip(" ") and not line.strip(" ").startswith("#")
    }
    assert [rule.line for rule in bundle.rules] == list(lines)
    for rule in bundle.rules:
        row, name, effect, role, relation, action, purpose, when = lines[rule.line]
        assert (row, name, effect) == ("p", rule.id, rule.effect.lower())
        assert [words(role), words(relation), words(action), words(purpose)] == [
            rule.roles,
            rule.relations,
            rule.actions,
            rule.purposes,
        ]
        negated = [part for part in when.split(" and ") if part.strip(" ").startswith("not ")]
        counted = len(rule.when.holding) + len(rule.when.absent)
        assert counted == (0 if when == "always" else when.count(" and ") + 1)
        assert len(rule.when.absent) == len(negated)


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(sorted(set(SOUND) - {"rules.csv"})), edits)
def test_a_damaged_file_is_refused_in_words(
    name: str, changes: list[tuple[int, str, bytes]]
) -> None:
    """Whatever is in a file, the answer is a bundle or a list of problems, never a crash."""
    texts = {each: text.encode() for each, text in SOUND.items()}
    texts[name] = edited(texts[name], changes)
    bundle, problems = parsed(texts)
    if bundle is None:
        assert all(problem.message and problem.hint for problem in problems)
        assert {problem.file for problem in problems} <= {name, "rules.csv"}
        return

    assert len(bundle.rules) == 4
    if name == "model.conf":
        told = [line for line in texts[name].decode().splitlines() if not line.startswith("#")]
        assert [" ".join(line.split()) for line in told if line.strip()] == (
            casbin_model().splitlines()
        )

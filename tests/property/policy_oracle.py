"""What a policy means, restated in a few plain lines, and random policies to hold it against."""

from __future__ import annotations

from typing import NamedTuple

from hypothesis import strategies as st

from authz_service.pdp.model import (
    Action,
    Condition,
    Effect,
    PurposeOfUse,
    Relation,
    Situation,
)
from authz_service.pdp.ruleset import RuleMatch
from authz_service.policy.bundle import Bundle, parse_bundle
from authz_service.policy.directory import BundleFile
from authz_service.policy.model_conf import casbin_model

ROLES = ["lead", "emergency_clinician", "clinician", "support", "patient"]
"""A role may inherit those behind it."""
RELATIONS = ["owner", "treating", "legal"]
ACTIONS = ["LIST", "VIEW", "EXPORT"]
PURPOSES = ["PATRQT", "TREAT", "HMARKT"]
CONDITIONS = ["mfa", "sealed", "matter_matches"]
GROUPS = {"watch": ["LIST", "VIEW"], "care": ["TREAT", "PATRQT"]}


class PlainRule(NamedTuple):
    """A rule as lists of words; of ``*`` alone where everything matches."""

    effect: str
    role: list[str]
    relation: list[str]
    action: list[str]
    purpose: list[str]
    when: dict[str, bool]


class PlainPolicy(NamedTuple):
    """Rules, and pairs of roles of which the first inherits the second."""

    rules: list[PlainRule]
    inherits: list[tuple[str, str]]


def verdict(policy: PlainPolicy, asked: Situation) -> RuleMatch | None:
    """The oracle: the first rule that denies, else the last that allows, else nothing."""
    held = set(asked.roles)
    while more := {low for high, low in policy.inherits if high in held} - held:
        held |= more

    def covers(cell: list[str], words: set[str]) -> bool:
        meant = {word for each in cell for word in GROUPS.get(each, [each])}
        return cell == ["*"] or not meant.isdisjoint(words)

    found = None
    for number, rule in enumerate(policy.rules):
        if (
            covers(rule.role, held)
            and covers(rule.relation, set(asked.relations))
            and covers(rule.action, {asked.action})
            and covers(rule.purpose, {asked.purpose_of_use})
            and all((word in asked.conditions) is wanted for word, wanted in rule.when.items())
        ):
            if rule.effect == "deny":
                return RuleMatch(Effect.DENY, f"r{number}")
            found = RuleMatch(Effect.ALLOW, f"r{number}")
    return found


def bundle_of(policy: PlainPolicy) -> Bundle:
    """Return *policy* as the loader reads it from files."""
    rules = "".join(f"p, r{number}, {_cells(rule)}\n" for number, rule in enumerate(policy.rules))
    roles = "".join(f"g, {high}, {low}\n" for high, low in policy.inherits)
    if not any(high == "lead" for high, _ in policy.inherits):
        roles += "g, lead, none\n"
    kinds = {"watch": "g2", "care": "g3"}
    groups = "".join(
        f"{kinds[name]}, {name}, {w}\n" for name, words in GROUPS.items() for w in words
    )
    texts = {
        "rules.csv": rules,
        "roles.csv": roles,
        "groups.csv": groups,
        "model.conf": casbin_model() + "\n",
    }
    return parse_bundle(BundleFile(name, text.encode()) for name, text in texts.items())


def _cells(rule: PlainRule) -> str:
    when = [word if wanted else f"not {word}" for word, wanted in rule.when.items()]
    cells = ("|".join(cell) for cell in (rule.role, rule.relation, rule.action, rule.purpose))
    return ", ".join([rule.effect, *cells, " and ".join(when) or "always"])


def _some(words: list[str]) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(words), min_size=1, max_size=2, unique=True)


def _cell(words: list[str]) -> st.SearchStrategy[list[str]]:
    return st.just(["*"]) | _some(words)


def _rules(effect: str) -> st.SearchStrategy[PlainRule]:
    relation = _some(RELATIONS) if effect == "allow" else _cell(RELATIONS)
    return st.builds(
        PlainRule,
        st.just(effect),
        _cell(ROLES),
        relation,
        _cell([*ACTIONS, "watch"]),
        _cell([*PURPOSES, "care"]),
        st.dictionaries(st.sampled_from(CONDITIONS), st.booleans(), max_size=2),
    )


_DESCENDING = [(high, low) for at, high in enumerate(ROLES) for low in ROLES[at + 1 :]]

policies = st.builds(
    PlainPolicy,
    st.lists(_rules("allow") | _rules("allow") | _rules("deny"), min_size=1, max_size=6),
    st.lists(st.sampled_from(_DESCENDING), max_size=4, unique=True),
)

situations = st.builds(
    Situation,
    st.frozensets(st.sampled_from([*ROLES, "unheard-of"]), max_size=2),
    st.frozensets(st.sampled_from([Relation(word) for word in RELATIONS]), max_size=2),
    st.sampled_from([Action(word) for word in [*ACTIONS, "DELETE"]]),
    st.sampled_from([PurposeOfUse(word) for word in PURPOSES]),
    st.frozensets(st.sampled_from([Condition(word) for word in CONDITIONS])),
)

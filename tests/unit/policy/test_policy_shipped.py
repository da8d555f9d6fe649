"""The shipped bundle: sound, explained rule by rule, and tried rule by rule."""

from __future__ import annotations

import itertools
import random
from pathlib import Path

import pytest

from authz_service.pdp.model import Action, Condition, PurposeOfUse, Relation, Situation
from authz_service.pdp.ruleset import RuleMatch
from authz_service.policy.bundle import parse_bundle
from authz_service.policy.casbin_ruleset import CasbinRuleset
from authz_service.policy.directory import BundleFile, read_directory
from authz_service.policy.source import BundleSource, try_bundle
from authz_service.policy.vocabulary import PRODUCT_ROLES
from authz_service.tables.findings import Findings
from tests.unit.policy.policy_files import SHIPPED

SHARED = Path(__file__).parents[4] / "shared" / "scenarios" / "README.md"
SHARED_GROUPS = {
    "g2": {"watch": "LIST VIEW THUMBNAIL READ_METADATA"},
    "g3": {"care": "TREAT ETREAT", "proxy": "FAMRQT PWATRNY"},
}


def test_the_shipped_bundle_loads_with_all_its_cases() -> None:
    loaded = BundleSource(SHIPPED).load()

    assert loaded.rules >= 20
    assert loaded.cases >= 2 * loaded.rules


def test_every_shipped_rule_decides_a_case() -> None:
    assert try_bundle(SHIPPED).unexercised == ()


def test_every_shipped_rule_says_what_it_protects() -> None:
    """A line that begins a rule follows a comment, and the comment ends a sentence."""
    lines = (SHIPPED / "rules.csv").read_text().splitlines()

    bare = [
        line
        for above, line in itertools.pairwise(lines)
        if line.startswith("p,") and not (above.startswith("# ") and above.endswith("."))
    ]
    assert bare == []


def test_the_shipped_cases_use_every_word_of_the_vocabulary() -> None:
    """A role, relation or purpose that nothing shows is one that nobody has thought about."""
    text = "".join(path.read_text() for path in sorted(SHIPPED.rglob("*.csv")))
    text += "".join(path.read_text() for path in sorted((SHIPPED / "cases").glob("*.yaml")))

    words = [*PRODUCT_ROLES, *Relation, *PurposeOfUse, *Condition, *Action]
    assert [word for word in words if word not in text] == []


def test_the_guide_names_every_word_of_the_vocabulary() -> None:
    guide = (SHIPPED.parent / "docs" / "policy.md").read_text()

    words = [*PRODUCT_ROLES, *Relation, *PurposeOfUse, *Condition, *Action]
    assert [word for word in words if f"`{word}`" not in guide] == []


def shared_ruleset() -> CasbinRuleset:
    rows = [line for line in SHARED.read_text().splitlines() if line.startswith("p, ")]
    groups = [
        f"{row_type}, {name}, {word}"
        for row_type, named in SHARED_GROUPS.items()
        for name, words in named.items()
        for word in words.split()
    ]
    replaced = {
        "rules.csv": rows,
        "groups.csv": groups,
        "roles.csv": ["g, emergency_clinician, clinician"],
    }
    model = next(f for f in read_directory(SHIPPED, Findings()) if f.name == "model.conf")
    files = [
        BundleFile(name, "".join(f"{x}\n" for x in t).encode()) for name, t in replaced.items()
    ]
    return CasbinRuleset(parse_bundle([model, *files]))


def some(chance: random.Random, words: list[str], most: int) -> list[str]:
    return chance.sample(words, chance.randint(0, most))


def situations(count: int) -> list[Situation]:
    chance = random.Random(2020)
    return [
        Situation(
            frozenset(some(chance, sorted(PRODUCT_ROLES), 2)),
            frozenset(Relation(word) for word in some(chance, sorted(Relation), 2)),
            chance.choice(list(Action)),
            chance.choice(list(PurposeOfUse)),
            frozenset(Condition(word) for word in some(chance, sorted(Condition), 6)),
        )
        for _ in range(count)
    ]


def effect_of(match: RuleMatch | None) -> str | None:
    return match.effect if match else None


@pytest.mark.skipif(not SHARED.exists(), reason="the shared scenarios are not beside the project")
def test_the_shipped_policy_gives_the_answers_of_the_shared_default() -> None:
    """Written in other words; more only for compliance, where the shared default has no rule."""
    shipped, shared = BundleSource(SHIPPED).load().ruleset, shared_ruleset()

    differing = {
        asked.purpose_of_use
        for asked in situations(1500)
        if effect_of(shipped.match(asked)) != effect_of(shared.match(asked))
    }
    assert differing <= {PurposeOfUse.HCOMPL}

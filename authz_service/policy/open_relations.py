"""Through which relations a policy may allow something at all: what a list need not even look at.

Set logic on the rules as they were parsed. It decides nothing: each recording that is left in goes
before Casbin, and what is left out is what no rule that allows is written for.
"""

from __future__ import annotations

from collections.abc import Iterable

from authz_service.pdp.model import Action, Condition, Effect, PurposeOfUse, Relation
from authz_service.policy.rules import Rule
from authz_service.tables.cells import EVERYTHING

_EVERY_RELATION = frozenset(Relation)


def open_relations(
    rules: Iterable[Rule],
    action: Action,
    purpose_of_use: PurposeOfUse,
    impossible: frozenset[Condition],
) -> frozenset[Relation]:
    """Return the relations that the rules name which may allow; `Ruleset` says what they mean."""
    found: set[Relation] = set()
    for rule in rules:
        if (
            rule.effect is Effect.ALLOW
            and _holds(rule.actions, action)
            and _holds(rule.purposes, purpose_of_use)
            and rule.when.holding.isdisjoint(impossible)
        ):
            found |= _relations_of(rule)
    return frozenset(found)


def _holds(cell: frozenset[str], word: str) -> bool:
    """Whether *cell* names *word*, or everything."""
    return word in cell or EVERYTHING in cell


def _relations_of(rule: Rule) -> frozenset[Relation]:
    """Return the relations that *rule* names."""
    if EVERYTHING in rule.relations:
        return _EVERY_RELATION
    return frozenset(Relation(word) for word in rule.relations)

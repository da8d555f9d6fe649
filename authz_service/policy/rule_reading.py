"""How each rule stands to a situation, in the rule's own words: for people who ask why.

Set logic on the rules as they were parsed. It decides nothing: Casbin gave the verdict, and who
explains it holds the two against each other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from authz_service.pdp.model import Action, Condition, PurposeOfUse, Relation, Situation
from authz_service.pdp.ruleset import RuleReading
from authz_service.policy.rules import Rule, When
from authz_service.tables.cells import EVERYTHING

_ORDER = {
    word.value: number
    for words in (Relation, Action, PurposeOfUse)
    for number, word in enumerate(words)
}


def reading_of(rule: Rule, situation: Situation) -> RuleReading:
    """Return how *rule* stands to *situation*, whose roles are those that count, inherited too."""
    return RuleReading(rule.id, rule.effect, tuple(_unmet(rule, situation)))


def _unmet(rule: Rule, situation: Situation) -> Iterator[str]:
    """Yield what of *rule* does not hold, in the order of its cells."""
    for name, cell, words in (
        ("role", rule.roles, situation.roles),
        ("relation", rule.relations, {each.value for each in situation.relations}),
        ("action", rule.actions, {situation.action.value}),
        ("purpose", rule.purposes, {situation.purpose_of_use.value}),
    ):
        if EVERYTHING not in cell and cell.isdisjoint(words):
            yield f"{name} {_joined(cell)}"
    yield from _unmet_conditions(rule.when, situation.conditions)


def _unmet_conditions(when: When, holding: frozenset[Condition]) -> Iterator[str]:
    """Yield the conditions that should hold and do not, then those that should not and do."""
    yield from (each.value for each in Condition if each in when.holding - holding)
    yield from (f"not {each.value}" for each in Condition if each in when.absent & holding)


def _joined(cell: Iterable[str]) -> str:
    """Return the words of a cell as rules.csv would have them."""
    return "|".join(sorted(cell, key=lambda word: (_ORDER.get(word, 0), word)))

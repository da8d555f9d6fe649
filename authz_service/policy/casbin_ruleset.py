"""The only module that imports Casbin: a parsed bundle compiled to a ruleset.

One private enforcer per ruleset, made from rows in memory and never reloaded. Casbin gives every
verdict; a verdict is remembered per situation, which is exact because a situation is all that a
rule may see.
"""

from __future__ import annotations

import logging
import threading

import casbin

from authz_service.pdp.errors import PolicyNotReadyError
from authz_service.pdp.model import (
    Action,
    Condition,
    Effect,
    PurposeOfUse,
    Relation,
    Situation,
)
from authz_service.pdp.ruleset import PolicyReading, RuleMatch
from authz_service.policy.bundle import Bundle
from authz_service.policy.model_conf import casbin_model
from authz_service.policy.open_relations import open_relations
from authz_service.policy.rule_reading import reading_of
from authz_service.policy.rules import Rule, When
from authz_service.policy.vocabulary import ALWAYS
from authz_service.tables.cells import EVERYTHING

MAX_REMEMBERED = 65_536
"""How many verdicts a ruleset remembers; one more, and it begins again with none."""

_EFFECTS = {"allow": Effect.ALLOW, "deny": Effect.DENY}
_CASBIN_LOGGERS = ("casbin", "casbin.enforcer", "casbin.policy", "casbin.role")

_Asked = tuple[Action, PurposeOfUse, frozenset[Condition]]

_EVALUATION = threading.Lock()
"""Held while Casbin evaluates, by whichever ruleset: it parses its matcher each time, and CPython
3.11's parser counts its depth for all threads together.
"""


class CasbinRuleset:
    """A policy as Casbin evaluates it. Immutable but for what it remembers.

    `match` may be called from any thread: a remembered verdict is one look into a dict, without
    a lock; a new situation is evaluated under one lock for the whole process, for some hundred
    microseconds. Two threads may evaluate the same new situation; both come to the same verdict.
    """

    def __init__(self, bundle: Bundle) -> None:
        """Compile *bundle*.

        Raises:
            PolicyNotReadyError: Casbin does not accept it.
        """
        self.revision = bundle.revision
        self._rules = bundle.rules
        self._roles = bundle.roles
        self._words: dict[str, frozenset[str]] = {}
        self._when: dict[str, When] = {}
        self._verdicts: dict[Situation, RuleMatch | None] = {}
        self._open: dict[_Asked, frozenset[Relation]] = {}
        rows = [self._row(rule) for rule in bundle.rules]
        try:
            self._enforcer = self._enforcer_of(rows)
        except Exception as wrong:
            # Casbin raises whatever it likes; a policy that it refuses is no policy.
            raise PolicyNotReadyError(f"casbin refused it, {type(wrong).__name__}") from wrong

    def match(self, situation: Situation) -> RuleMatch | None:
        """Return the first rule that denies *situation*, else the last that allows it, or None.

        First and last as in rules.csv.
        """
        try:
            return self._verdicts[situation]
        except KeyError:
            return self._remember(situation)

    def open_relations(
        self, action: Action, purpose_of_use: PurposeOfUse, impossible: frozenset[Condition]
    ) -> frozenset[Relation]:
        """Return the relations through which a rule may allow; see `Ruleset`.

        Remembered: all three come from closed sets, so there are few.
        """
        asked = action, purpose_of_use, impossible
        known = self._open.get(asked)
        if known is None:
            known = self._open[asked] = open_relations(self._rules, *asked)
        return known

    def explain(self, situation: Situation) -> PolicyReading:
        """Return how every rule stands to *situation*; see `Ruleset`."""
        roles = self._with_inherited(situation.roles)
        asked = situation._replace(roles=roles)
        return PolicyReading(roles, [reading_of(rule, asked) for rule in self._rules])

    def _with_inherited(self, roles: frozenset[str]) -> frozenset[str]:
        """Return *roles* with all that they inherit."""
        return roles.union(*(self._roles[role] for role in roles if role in self._roles))

    def _remember(self, situation: Situation) -> RuleMatch | None:
        """Evaluate *situation* and keep the verdict."""
        with _EVALUATION:
            verdict = self._evaluate(situation)
            if len(self._verdicts) >= MAX_REMEMBERED:
                self._verdicts.clear()
            self._verdicts[situation] = verdict
        return verdict

    def _evaluate(self, situation: Situation) -> RuleMatch | None:
        """Ask Casbin, with inherited roles added to the subject's own."""
        roles = self._with_inherited(situation.roles)
        try:
            allowed, row = self._enforcer.enforce_ex(situation._replace(roles=roles))
            found = RuleMatch(_EFFECTS[row[1]], row[0]) if row else None
        except Exception as wrong:
            # Whatever it was, there is no verdict; only an answer of Casbin's may allow.
            raise PolicyNotReadyError(f"evaluation failed, {type(wrong).__name__}") from wrong
        if allowed is not (found is not None and found.effect is Effect.ALLOW):
            raise PolicyNotReadyError("verdict and deciding rule contradict each other")
        return found

    def _enforcer_of(self, rows: list[list[str]]) -> casbin.Enforcer:
        """Return an enforcer that holds *rows* and knows the matcher's functions."""
        _silence()
        model = casbin.Enforcer.new_model(text=casbin_model())
        for row in rows:
            if not model.add_policy("p", "p", row):
                raise ValueError(row[0])
        enforcer = casbin.Enforcer(model)
        enforcer.add_function("has_role", self._has_role)
        enforcer.add_function("has_relation", self._has_relation)
        enforcer.add_function("wants_action", self._wants_action)
        enforcer.add_function("has_purpose", self._has_purpose)
        enforcer.add_function("meets", self._meets)
        return enforcer

    def _row(self, rule: Rule) -> list[str]:
        """Return *rule* as Casbin's row, its cells entered among those that functions know."""
        cells = ["|".join(sorted(words)) for words in _cells(rule)]
        self._words.update(zip(cells, _cells(rule), strict=True))
        when = _written(rule.when)
        self._when[when] = rule.when
        return [rule.id, rule.effect.value.lower(), *cells, when]

    def _has_role(self, situation: Situation, cell: str) -> bool:
        """Whether the subject has one of the roles; ``*`` holds for one without any."""
        return cell == EVERYTHING or not self._words[cell].isdisjoint(situation.roles)

    def _has_relation(self, situation: Situation, cell: str) -> bool:
        """Whether the subject has one of the relations; ``*`` holds for one without any."""
        return cell == EVERYTHING or not self._words[cell].isdisjoint(situation.relations)

    def _wants_action(self, situation: Situation, cell: str) -> bool:
        """Whether the action is one of the cell's."""
        return cell == EVERYTHING or situation.action in self._words[cell]

    def _has_purpose(self, situation: Situation, cell: str) -> bool:
        """Whether the purpose is one of the cell's."""
        return cell == EVERYTHING or situation.purpose_of_use in self._words[cell]

    def _meets(self, situation: Situation, cell: str) -> bool:
        """Whether every condition that must hold does, and none that must not."""
        when = self._when[cell]
        return when.holding <= situation.conditions and when.absent.isdisjoint(situation.conditions)


def _cells(rule: Rule) -> tuple[frozenset[str], ...]:
    """Return the sets of words of *rule*, in the model's order."""
    return rule.roles, rule.relations, rule.actions, rule.purposes


def _written(when: When) -> str:
    """Return *when* in one spelling: equal conditions, equal text."""
    parts = [condition.value for condition in Condition if condition in when.holding]
    parts += [f"not {condition.value}" for condition in Condition if condition in when.absent]
    return " and ".join(parts) or ALWAYS


def _silence() -> None:
    """Keep Casbin from logging whole policies and requests, which it does at INFO and WARNING."""
    for name in _CASBIN_LOGGERS:
        logger = logging.getLogger(name)  # noqa: TID251  # the only way to Casbin's own loggers
        logger.disabled = True
        logger.setLevel(logging.CRITICAL + 1)  # `disabled` alone is undone by logging.config

"""The plug for a compiled policy: what it is asked, and what it answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from authz_service.pdp.model import (
    Action,
    Condition,
    Effect,
    PurposeOfUse,
    Relation,
    Situation,
)


class RuleMatch(NamedTuple):
    """The rule that decided a situation.

    Attributes:
        effect: What the rule says.
        rule: The rule's id.
    """

    effect: Effect
    rule: str


class RuleReading(NamedTuple):
    """One rule, held against a situation.

    Attributes:
        rule: The rule's id.
        effect: What it says where it matches.
        unmet: What of it does not hold, in the policy's words, as in ``relation guardian`` or
            ``not mfa``; nothing where it matches.
    """

    rule: str
    effect: Effect
    unmet: tuple[str, ...] = ()

    @property
    def matched(self) -> bool:
        """Whether it matches."""
        return not self.unmet


class PolicyReading(NamedTuple):
    """A whole policy, held against a situation.

    Attributes:
        effective_roles: The subject's own roles, with all that they inherit.
        rules: Every rule, in the policy's order.
    """

    effective_roles: frozenset[str]
    rules: Sequence[RuleReading]


class Ruleset(Protocol):
    """A compiled policy. Immutable: a changed policy is another ruleset."""

    @property
    def revision(self) -> str:
        """SHA-256 of the bundle that it was compiled from, in lower-case hex."""
        ...

    def match(self, situation: Situation) -> RuleMatch | None:
        """Return the rule that decides *situation*, or None where no rule matches.

        A rule that denies outranks every rule that allows. Total: a fault in the evaluation is
        raised as `PolicyNotReadyError` and never becomes a match.
        """
        ...

    def open_relations(
        self, action: Action, purpose_of_use: PurposeOfUse, impossible: frozenset[Condition]
    ) -> frozenset[Relation]:
        """Return the relations through which a rule may allow *action* for *purpose_of_use*.

        Never too few: `match` allows no situation of that action and purpose in which none of the
        *impossible* conditions holds and none of these relations is there. Perhaps too many: who
        the subject is, and what denies, is not looked at.
        """
        ...

    def explain(self, situation: Situation) -> PolicyReading:
        """Return how every rule stands to *situation*.

        Agrees with `match`: the first rule that matches and denies, else the last that matches
        and allows, is the one that decides. For people who ask why, never on the way to an answer.
        """
        ...

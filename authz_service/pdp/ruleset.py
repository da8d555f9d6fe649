"""The plug for a compiled policy: what it is asked, and what it answers."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from authz_service.pdp.model import Effect, Situation


class RuleMatch(NamedTuple):
    """The rule that decided a situation.

    Attributes:
        effect: What the rule says.
        rule: The rule's id.
    """

    effect: Effect
    rule: str


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

"""Golden decisions are asked of the decision itself; they must hold before a policy may serve."""

from __future__ import annotations

from dataclasses import dataclass

from authz_service.pdp.assembly import World
from authz_service.pdp.decide import decide
from authz_service.pdp.errors import PolicyNotReadyError, PolicyProblem
from authz_service.pdp.model import Decision, Effect, Reason
from authz_service.pdp.ruleset import Ruleset
from authz_service.policy.bundle import Bundle
from authz_service.policy.case_files import Case


@dataclass(frozen=True, slots=True)
class CaseOutcome:
    """What came of one case.

    Attributes:
        case: The case.
        decision: What was decided; None where the policy could not be evaluated.
    """

    case: Case
    decision: Decision | None

    @property
    def holds(self) -> bool:
        """Whether the decision is the one that the case expects."""
        expected, decision = self.case.expected, self.decision
        return (
            decision is not None
            and (decision.effect, decision.reason) == (expected.effect, expected.reason)
            and expected.rule in (None, decision.rule)
        )

    def problem(self) -> PolicyProblem:
        """Return how this case failed, for one that does not hold."""
        expected, came = self.case.expected, "no decision"
        if self.decision is not None:
            came = _answer(self.decision.effect, self.decision.reason, self.decision.rule)
        wanted = _answer(expected.effect, expected.reason, expected.rule)
        return PolicyProblem(
            "case_failed",
            *self.case.place,
            f"{self.case.id}: expected {wanted}, came out as {came}",
            f"the case says: {self.case.says}",
        )


@dataclass(frozen=True, slots=True)
class Trial:
    """What came of all cases of a bundle.

    Attributes:
        revision: The policy that was tried.
        rules: How many rules it has.
        outcomes: The outcome of every case, in order.
        unexercised: The ids of rules that decided no case, in the order of rules.csv.
    """

    revision: str
    rules: int
    outcomes: tuple[CaseOutcome, ...]
    unexercised: tuple[str, ...]

    @property
    def failures(self) -> tuple[CaseOutcome, ...]:
        """The outcomes that are not as expected."""
        return tuple(outcome for outcome in self.outcomes if not outcome.holds)


def try_cases(bundle: Bundle, ruleset: Ruleset) -> Trial:
    """Ask every case of *bundle* of *ruleset*. Blocks for some milliseconds a case."""
    outcomes = tuple(CaseOutcome(case, _decision(case, ruleset)) for case in bundle.cases)
    deciding = {outcome.decision.rule for outcome in outcomes if outcome.decision is not None}
    unexercised = tuple(rule.id for rule in bundle.rules if rule.id not in deciding)
    return Trial(bundle.revision, len(bundle.rules), outcomes, unexercised)


def _decision(case: Case, ruleset: Ruleset) -> Decision | None:
    """Return what is decided, or None where the policy cannot be evaluated."""
    facts = World(case.facts).facts_for(case.request.subject_id, case.request.recording_id)
    try:
        return decide(case.request, facts, ruleset, case.now)
    except PolicyNotReadyError:
        return None


def _answer(effect: Effect, reason: Reason, rule: str | None) -> str:
    """Return an answer in words."""
    return f"{effect} {reason}" + (f" by {rule}" if rule else "")

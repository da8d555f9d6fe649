"""The nearest single change that would turn an answer: imagined, and judged anew by `decide`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from authz_service.pdp.decide import decide
from authz_service.pdp.ending import ending
from authz_service.pdp.facts import Facts
from authz_service.pdp.imagining import Change, imagined
from authz_service.pdp.lifting import lifting
from authz_service.pdp.looked_at import facts_in
from authz_service.pdp.model import AccessRequest, Decision, Effect, Instant, Reason
from authz_service.pdp.opening import opening
from authz_service.pdp.ruleset import Ruleset


class NearestChange(NamedTuple):
    """A change that turns the answer; of several, any one of them alone does.

    Attributes:
        changes: The change; for an ALLOW each fact whose end alone turns it to the same denial.
        reason_after: The reason that the answer has then.
    """

    changes: Sequence[Change]
    reason_after: Reason

    @property
    def description(self) -> str:
        """What would be different, in words."""
        return ", or ".join(change.description for change in self.changes)


def nearest_change(
    request: AccessRequest, facts: Facts, ruleset: Ruleset, now: Instant, decision: Decision
) -> NearestChange | None:
    """Return what would turn *decision*, which is the answer to *request*; None if nothing would.

    Of a denial by the policy it is what lifts the obstacle that the reason names; of what binds
    before the policy, the lifting of that one thing, if the rest then allows. Of an ALLOW it is
    the end of a fact on which it rests alone, else the lack of a second factor.

    Raises:
        PolicyNotReadyError: The ruleset could not be evaluated.
    """
    if decision.effect is Effect.ALLOW:
        return _turning_to_denial(request, facts, ruleset, now, decision)
    found = opening if decision.situation is None else lifting
    for change in found(decision.reason, request, facts, now):
        after = _after(change, request, facts, ruleset, now)
        if after.effect is Effect.ALLOW:
            return NearestChange((change,), after.reason)
    return None


def _turning_to_denial(
    request: AccessRequest, facts: Facts, ruleset: Ruleset, now: Instant, decision: Decision
) -> NearestChange | None:
    """Return what would take an ALLOW away."""
    turning: list[tuple[Change, Reason]] = []
    for change in ending(facts_in(request, facts), decision, request.subject_id, now):
        after = _after(change, request, facts, ruleset, now)
        if after.effect is Effect.DENY:
            turning.append((change, after.reason))
    if turning:
        reason = turning[0][1]
        return NearestChange([change for change, why in turning if why is reason], reason)
    plain = request._replace(assurance=None, authenticated_at=None)
    change = Change("the subject has authenticated with one factor, or not lately", request=plain)
    after = _after(change, request, facts, ruleset, now)
    return NearestChange((change,), after.reason) if after.effect is Effect.DENY else None


def _after(
    change: Change, request: AccessRequest, facts: Facts, ruleset: Ruleset, now: Instant
) -> Decision:
    """Return the answer as it would be after *change*."""
    return decide(change.request or request, imagined(facts, change), ruleset, now)

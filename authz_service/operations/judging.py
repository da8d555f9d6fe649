"""The question for a list, asked of one candidate at a time."""

from __future__ import annotations

from typing import NamedTuple

from authz_service.operations.lists import CandidateQuestion, ListKey, ListRequest
from authz_service.pdp.decide import decide
from authz_service.pdp.facts import Facts
from authz_service.pdp.model import AccessRequest, Decision, Effect, Instant, Reason
from authz_service.pdp.ruleset import Ruleset
from authz_service.pdp.situation import impossible_conditions

_NO_RECORDING = ""


class Row(NamedTuple):
    """A recording that is on the page.

    Attributes:
        key: Where it stands.
        request: The question about it.
        decision: The ALLOW.
    """

    key: ListKey
    request: AccessRequest
    decision: Decision


class Judging:
    """Asks of each candidate what the list is asked, by one ruleset.

    A candidate goes through the same steps as a check. Only why it is denied is not searched
    for: nobody hears of it.
    """

    def __init__(self, request: ListRequest, ruleset: Ruleset) -> None:
        """Ask as *request* does, by *ruleset*."""
        self._ruleset = ruleset
        self._subject_id, self._patient_id = request.subject_id, request.patient_id
        self._circumstances = (
            request.action,
            request.purpose_of_use,
            request.tenant_id,
            request.assurance,
            request.authenticated_at,
            request.matter_id,
        )
        self._request = request

    def question(self, now: Instant) -> CandidateQuestion:
        """Return which recordings have to be judged at *now* or later."""
        asked = self._request
        impossible = impossible_conditions(self._about(_NO_RECORDING), now)
        return CandidateQuestion(
            asked.subject_id,
            self._ruleset.open_relations(asked.action, asked.purpose_of_use, impossible),
            asked.patient_id,
            asked.created_from,
            asked.created_to,
        )

    def judged(self, key: ListKey, facts: Facts, now: Instant) -> Row | Reason | None:
        """Return the row of a candidate; why it is denied; or None where it is another patient's.

        A denial by the policy is told apart no further than `decide` does without a search.
        """
        request = self._about(key.recording_id)
        decision = decide(request, facts, self._ruleset, now, explain=False)
        if decision.effect is not Effect.ALLOW:
            return decision.reason
        if self._patient_id is not None and self._patient_id != decision.patient_id:
            return None
        return Row(key, request, decision)

    def is_closed(self, facts: Facts, now: Instant) -> bool:
        """Whether every recording is denied for what *facts* say of the subject alone.

        Asked of no recording, what is denied for another reason than that there is none would be
        denied of each: an unknown or closed account, or a containment that names no recordings.
        """
        nothing = facts._replace(recording=None, patient=None)
        decision = decide(self._about(_NO_RECORDING), nothing, self._ruleset, now)
        return decision.reason is not Reason.RECORDING_UNKNOWN

    def _about(self, recording_id: str) -> AccessRequest:
        """Return the question about one recording."""
        return AccessRequest(self._subject_id, recording_id, *self._circumstances)

"""The decision: a pure function of the request, the facts, the ruleset and the time."""

from __future__ import annotations

from collections.abc import Sequence

from authz_service.pdp.corroboration import corroborated_patient_id
from authz_service.pdp.delegations import obstacles_of_delegations
from authz_service.pdp.facts import Facts
from authz_service.pdp.invariants import after_policy, before_policy
from authz_service.pdp.model import (
    STEP_UP,
    AccessRequest,
    Condition,
    Decision,
    Effect,
    Instant,
    Reason,
    Relation,
    Situation,
)
from authz_service.pdp.reasons import (
    CONDITION_OBSTACLES,
    REASONS_OF_OBSTACLES,
    Obstacle,
)
from authz_service.pdp.relations import Relations, obstacles_of_grants, relations_of
from authz_service.pdp.ruleset import RuleMatch, Ruleset
from authz_service.pdp.situation import situation_of, with_lifted

_ASSURED = frozenset({Condition.MFA, Condition.RECENT_AUTHENTICATION})
_ONLY_ASSURANCE = (Obstacle.ASSURANCE,)


def decide(
    request: AccessRequest, facts: Facts, ruleset: Ruleset, now: Instant, *, explain: bool = True
) -> Decision:
    """Judge *request* in the light of *facts* under *ruleset* at *now*. Pure and total.

    What binds every policy comes first, then the policy, then what binds every ALLOW. Without a
    matching ALLOW rule the answer is DENY.

    Without *explain* a denial by the policy is not searched for what would have turned it: its
    reason says only that a rule denied, or that none matched, and it obliges to nothing. All
    else is the same, the effect always: the search begins after it is known.

    Raises:
        PolicyNotReadyError: The ruleset could not be evaluated.
    """
    bound = before_policy(request, facts, now)
    if bound is not None:
        return Decision(Effect.DENY, bound, patient_id=_patient_id(facts))
    patient_id = facts.recording.attribution.patient_id if facts.recording else None
    relations = relations_of(request, facts, now)
    situation = situation_of(request, facts, relations, now)
    evidence = tuple(relations.evidence.items())
    match = ruleset.match(situation)
    if match is None or match.effect is Effect.DENY:
        reason = Reason.NO_RULE_MATCHED if match is None else Reason.RULE_DENIED
        if explain:
            nearest = _nearest_reason(request, facts, ruleset, now, situation, relations)
            reason = nearest or reason
        rule = match.rule if match else None
        obligations = (STEP_UP,) if reason is Reason.STEP_UP_REQUIRED else ()
        return Decision(Effect.DENY, reason, rule, obligations, patient_id, situation, evidence)
    limit = _limit(request, facts, ruleset, situation, relations)
    effect, reason = (Effect.ALLOW, Reason.RULE_ALLOWED) if limit is None else (Effect.DENY, limit)
    return Decision(effect, reason, match.rule, (), patient_id, situation, evidence)


def _patient_id(facts: Facts) -> str | None:
    """Return the patient, where all facts agree on one."""
    return corroborated_patient_id(facts.recording, facts.patient) if facts.recording else None


def _limit(
    request: AccessRequest,
    facts: Facts,
    ruleset: Ruleset,
    situation: Situation,
    relations: Relations,
) -> Reason | None:
    """Return what binds the ALLOW that a rule has just given, or None."""
    patient_id = facts.patient.subject.id if facts.patient else None
    by_emergency_alone = Relation.EMERGENCY in situation.relations and not _allows(
        ruleset.match(situation._replace(relations=situation.relations - {Relation.EMERGENCY}))
    )
    return after_policy(
        facts,
        situation,
        relations,
        patient_is_subject=request.subject_id == patient_id,
        by_emergency_alone=by_emergency_alone,
    )


def _allows(match: RuleMatch | None) -> bool:
    """Whether a rule allows."""
    return match is not None and match.effect is Effect.ALLOW


def _nearest_reason(
    request: AccessRequest,
    facts: Facts,
    ruleset: Ruleset,
    now: Instant,
    situation: Situation,
    relations: Relations,
) -> Reason | None:
    """Return the reason of the first single change that would have turned the answer."""
    for obstacle in _candidates(request, facts, situation):
        if obstacle in CONDITION_OBSTACLES:
            imagined, changed = relations, with_lifted(situation, obstacle)
        else:
            imagined = relations_of(request, facts, now, obstacle)
            changed = situation_of(request, facts, imagined, now)
        if changed == situation or not _allows(ruleset.match(changed)):
            continue
        if _limit(request, facts, ruleset, changed, imagined) is None:
            return REASONS_OF_OBSTACLES[obstacle]
    return None


def _candidates(request: AccessRequest, facts: Facts, situation: Situation) -> Sequence[Obstacle]:
    """Return the obstacles that there is anything to lift of, in the order of trial.

    The others change nothing. For a stranger to a patient who has named nobody, which is most
    denials, there is assurance and nothing else.
    """
    assured = situation.conditions >= _ASSURED
    if situation.conditions <= _ASSURED and _names_nobody(facts):
        return () if assured else _ONLY_ASSURANCE
    found: set[Obstacle] = set()
    if not assured:
        found.add(Obstacle.ASSURANCE)
    if Condition.PROXY_RESTRICTED in situation.conditions:
        found.add(Obstacle.PROXY_RESTRICTED)
    if Condition.CONFIDENTIAL_FROM_PROXY in situation.conditions:
        found.add(Obstacle.CONFIDENTIAL_FROM_PROXY)
    if facts.recording is not None and facts.patient is not None:
        found |= obstacles_of_delegations(request.subject_id, request.action, facts.patient)
        found |= obstacles_of_grants(request.subject_id, facts.recording, facts.patient)
    return sorted(found)


def _names_nobody(facts: Facts) -> bool:
    """Whether no delegation, block, relationship or grant is about the patient or recording."""
    recording, patient = facts.recording, facts.patient
    return patient is None or not (
        patient.relationships
        or patient.delegations
        or patient.blocks
        or patient.grants
        or (recording is not None and recording.grants)
    )

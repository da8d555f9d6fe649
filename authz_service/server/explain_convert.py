"""An explanation into its message."""

from __future__ import annotations

from collections.abc import Iterable

from authz_service.api.v1 import entities_pb2 as pb_entities
from authz_service.api.v1 import recording_access_pb2 as pb
from authz_service.identity.caller_rules import CallerRule
from authz_service.operations.explain_access import AS_OF, Explained
from authz_service.pdp.entity_words import FactKind
from authz_service.pdp.explain import Explanation
from authz_service.pdp.looked_at import KnownFact
from authz_service.pdp.model import Instant, Situation
from authz_service.server.convert import (
    EFFECT_NUMBERS,
    REASON_NUMBERS,
    fill_response,
    instant_from_proto,
    set_instant,
)

_KIND_NUMBERS = {kind: pb_entities.FactKind.Value(f"FACT_KIND_{kind.name}") for kind in FactKind}


def as_of_in(message: pb.ExplainAccessRequest) -> Instant | None:
    """Return the instant that *message* asks about; None for now.

    Raises:
        InvalidRequestError: It does not exist.
    """
    return instant_from_proto(message.as_of, AS_OF) if message.HasField("as_of") else None


def explanation_to_proto(explained: Explained, rule: CallerRule) -> pb.ExplainAccessResponse:
    """Return the explanation as the caller of *rule*, which may explain, is told it."""
    record, explanation = explained
    decision, policy = explanation.decision, explanation.policy
    response = pb.ExplainAccessResponse(
        rule=decision.rule or "",
        patient_id=decision.patient_id or "",
        disagreements=explanation.disagreements,
        facts=_facts(explanation.facts),
    )
    fill_response(response.answer, record, rule)
    if record.as_of is not None:
        set_instant(response.as_of, record.as_of)
    if decision.situation is not None and policy is not None:
        _fill_situation(response.situation, explanation, decision.situation, policy.effective_roles)
        for reading in policy.rules:
            response.rules.add(
                rule=reading.rule,
                effect=EFFECT_NUMBERS[reading.effect],
                matched=reading.matched,
                unmet=reading.unmet,
            )
    nearest = explanation.nearest
    if nearest is not None:
        response.nearest_change.description = nearest.description
        response.nearest_change.reason_after = REASON_NUMBERS[nearest.reason_after]  # type: ignore[assignment]  # enums are ints
        response.nearest_change.facts.extend(_facts(explanation.changed))
    return response


def _fill_situation(
    message: pb.ExplainedSituation,
    explanation: Explanation,
    situation: Situation,
    effective_roles: frozenset[str],
) -> None:
    """Put what the policy saw into *message*, in the order of its words."""
    message.roles.extend(sorted(situation.roles))
    message.effective_roles.extend(sorted(effective_roles))
    message.conditions.extend(sorted(each.value for each in situation.conditions))
    for relation, facts in explanation.relations:
        message.relations.add(relation=relation.value, facts=_facts(facts))


def _facts(facts: Iterable[KnownFact]) -> list[pb.ExplainedFact]:
    """Return *facts* as messages; what nobody knows of one is left out."""
    found = []
    for fact in facts:
        message = pb.ExplainedFact(revision=fact.revision, source=fact.source)
        message.reference.kind = _KIND_NUMBERS[fact.reference.kind]
        message.reference.id = fact.reference.id
        if fact.observed_at is not None:
            set_instant(message.observed_at, fact.observed_at)
        found.append(message)
    return found

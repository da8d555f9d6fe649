"""Why an answer is what it is. Pure, and never on the way to an answer.

The answer is that of `decide`; everything else is read off the same facts under the same ruleset.
"""

from __future__ import annotations

from dataclasses import dataclass

from authz_service.pdp.corroboration import standing
from authz_service.pdp.decide import decide
from authz_service.pdp.entities import Entity
from authz_service.pdp.entity_words import FactKind
from authz_service.pdp.errors import PolicyNotReadyError
from authz_service.pdp.facts import Fact, FactReference, Facts, Standing
from authz_service.pdp.looked_at import KnownFact, facts_in, known, looked_at
from authz_service.pdp.model import AccessRequest, Decision, Effect, Evidence, Instant, Relation
from authz_service.pdp.nearest_change import NearestChange, nearest_change
from authz_service.pdp.ruleset import PolicyReading, RuleReading, Ruleset


@dataclass(frozen=True, slots=True)
class Explanation:
    """An answer, and how it came about.

    Attributes:
        decision: The answer.
        disagreements: What disagrees or is missing about whose recording it is.
        relations: What the subject is to the recording, each with the facts that gave it.
        policy: Every rule, held against the situation; None where no policy was asked.
        nearest: What would turn the answer; None where no single change does.
        changed: The facts that it would change.
        facts: The facts that were looked at.
    """

    decision: Decision
    disagreements: tuple[str, ...] = ()
    relations: tuple[tuple[Relation, tuple[KnownFact, ...]], ...] = ()
    policy: PolicyReading | None = None
    nearest: NearestChange | None = None
    changed: tuple[KnownFact, ...] = ()
    facts: tuple[KnownFact, ...] = ()


def explain(request: AccessRequest, facts: Facts, ruleset: Ruleset, now: Instant) -> Explanation:
    """Explain the answer to *request* in the light of *facts* under *ruleset* at *now*.

    Raises:
        PolicyNotReadyError: The ruleset could not be evaluated, or its rules say something else
            than its verdict does.
    """
    decision = decide(request, facts, ruleset, now)
    policy = None
    if decision.situation is not None:
        policy = ruleset.explain(decision.situation)
        if _deciding(policy) != decision.rule:
            raise PolicyNotReadyError("verdict and explanation contradict each other")
    nearest = nearest_change(request, facts, ruleset, now, decision)
    stored = {FactReference(fact.kind, fact.entity.id): fact for fact in facts_in(request, facts)}
    edits = [edit for change in nearest.changes for edit in change.edits] if nearest else []
    return Explanation(
        decision,
        _disagreements(facts),
        tuple(
            (relation, tuple(dict.fromkeys(_of_evidence(each, stored) for each in evidence)))
            for relation, evidence in decision.evidence
        ),
        policy,
        nearest,
        tuple(_named(edit.reference, stored) for edit in edits),
        looked_at(request, facts, now),
    )


def _deciding(policy: PolicyReading) -> str | None:
    """Return the rule that decides by how all rules stand: first denial, else last permission."""
    matched = [reading for reading in policy.rules if reading.matched]
    denying = [each for each in matched if each.effect is Effect.DENY]
    return _first(denying) or _first(matched[::-1])


def _first(readings: list[RuleReading]) -> str | None:
    """Return the id of the first of *readings*."""
    return readings[0].rule if readings else None


def _disagreements(facts: Facts) -> tuple[str, ...]:
    """Return what disagrees or is missing about whose recording it is."""
    recording = facts.recording
    if recording is None:
        return ()
    said = recording.attribution.disagreements
    if facts.patient is None and recording.attribution.patient_id is not None:
        return (*said, "the patient is not known")
    if (
        recording.attribution.standing
        is not standing(recording, facts.patient)
        is (Standing.CONFLICT)
    ):
        return (*said, "the patient is of another tenant")
    return said


def _of_evidence(evidence: Evidence, stored: dict[FactReference, Fact[Entity]]) -> KnownFact:
    """Return a fact that gave a relation."""
    return _named(FactReference(FactKind(evidence.kind), evidence.id), stored)


def _named(reference: FactReference, stored: dict[FactReference, Fact[Entity]]) -> KnownFact:
    """Return a fact by its name, with who said so as far as the facts carry it."""
    fact = stored.get(reference)
    return KnownFact(reference) if fact is None else known(fact)

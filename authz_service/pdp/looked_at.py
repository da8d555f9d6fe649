"""Which facts a question looked at, with who said so and when."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from authz_service.pdp.delegations import delegations_of
from authz_service.pdp.entities import Entity
from authz_service.pdp.entity_words import FactKind
from authz_service.pdp.facts import Fact, FactReference, Facts
from authz_service.pdp.invariants import is_contained
from authz_service.pdp.model import AccessRequest, Instant
from authz_service.pdp.relations import grants_of


class KnownFact(NamedTuple):
    """A fact that an explanation names.

    Attributes:
        reference: Which.
        revision: The registry's revision that wrote it; 0 where facts do not carry it.
        source: Who says so; empty where facts do not carry it.
        observed_at: When they saw it; None where facts do not carry it.
    """

    reference: FactReference
    revision: int = 0
    source: str = ""
    observed_at: Instant | None = None


def known(fact: Fact[Entity]) -> KnownFact:
    """Return *fact* as an explanation names it."""
    reference = FactReference(fact.kind, fact.entity.id)
    return KnownFact(reference, fact.revision, fact.source, fact.observed_at)


def facts_in(request: AccessRequest, facts: Facts) -> Iterator[Fact[Entity]]:
    """Yield the facts about the recording, then those between the subject and the patient."""
    recording, patient, subject_id = facts.recording, facts.patient, request.subject_id
    if recording is not None:
        witnesses = (recording.recording, recording.consultation, recording.attendance)
        yield from (fact for fact in witnesses if fact is not None)
    if patient is None:
        return
    yield from delegations_of(subject_id, patient)
    yield from (fact for fact in patient.blocks if fact.entity.delegate_id == subject_id)
    yield from (fact for fact in patient.relationships if fact.entity.staff_id == subject_id)
    if recording is not None:
        yield from grants_of(subject_id, recording, patient)
    yield from patient.consents


def looked_at(request: AccessRequest, facts: Facts, now: Instant) -> tuple[KnownFact, ...]:
    """Return the facts that *request* looked at: of the subject, the recording and the patient.

    A containment is among them where it covers the question.
    """
    return tuple(
        dict.fromkeys((*map(KnownFact, _people(facts)), *map(known, facts_in(request, facts)),
                       *map(KnownFact, _containments(request, facts, now))))
    )  # fmt: skip


def _people(facts: Facts) -> Iterable[FactReference]:
    """Yield the subject, the patient and the patient's tenant."""
    if facts.subject is not None:
        yield FactReference(FactKind.SUBJECT, facts.subject.subject.id)
    if facts.patient is not None:
        yield FactReference(FactKind.SUBJECT, facts.patient.subject.id)
        yield FactReference(FactKind.TENANT, facts.patient.subject.tenant_id)


def _containments(request: AccessRequest, facts: Facts, now: Instant) -> Iterable[FactReference]:
    """Yield the containments in force that cover the question."""
    for each in facts.containments:
        if is_contained(request, facts._replace(containments=(each,)), now):
            yield FactReference(FactKind.CONTAINMENT, each.id)

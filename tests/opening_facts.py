"""What an opening of emergency access rests on, told naively from facts held in memory."""

from __future__ import annotations

from authz_service.pdp.assembly import World
from authz_service.pdp.emergency import OpeningFacts
from authz_service.pdp.entities import Grant
from authz_service.pdp.entity_words import GrantKind


def known_in(world: World, subject_id: str, patient_id: str) -> OpeningFacts:
    """Return what *world* knows of a subject, a patient, and of the subject's past accesses."""
    facts = world.facts_for(subject_id, "no-such-recording")
    people = facts.subject.person_ids if facts.subject else frozenset()
    unreviewed = [
        grant.entity.valid_from
        for grant in world._all(Grant)
        if grant.entity.kind is GrantKind.EMERGENCY
        and grant.entity.subject_id in people
        and grant.entity.review is None
        and grant.entity.valid_from is not None
    ]
    patient = world._patient(patient_id)
    return OpeningFacts(facts._replace(patient=patient), tuple(sorted(unreviewed)))

"""Which recordings a write left in conflict, and of which whoever wrote may be told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from authz_service.facts.recordings import Judged, judged, known_patients
from authz_service.facts.sessions import Session
from authz_service.operations.writes import Tenants
from authz_service.pdp.assembly import recording_facts
from authz_service.pdp.corroboration import standing
from authz_service.pdp.facts import PatientFacts, RecordingFacts, Standing


class Conflicts(NamedTuple):
    """Recordings whose facts disagree.

    Attributes:
        told: Those that disagree by facts of the tenants alone to which a caller is bound.
        elsewhere: The others.
    """

    told: tuple[str, ...]
    elsewhere: tuple[str, ...]


def conflicting(session: Session, recordings: frozenset[str], within: Tenants) -> Conflicts:
    """Return those of *recordings* whose facts disagree, in order.

    Told is what would be the same if no fact of another tenant were stored: whether one is there
    must not be learned from the answer.
    """
    found = {
        one: each
        for one, each in sorted(judged(session, sorted(recordings)).items())
        if each.standing is Standing.CONFLICT
    }
    told = tuple(found) if within is None else _within(session, found, within)
    return Conflicts(told, tuple(one for one in found if one not in told))


def _within(
    session: Session, found: Mapping[str, Judged], within: frozenset[str]
) -> tuple[str, ...]:
    """Return those recordings that are in conflict by what is stored of *within* alone."""
    narrowed = {
        one: _narrowed(each, within)
        for one, each in found.items()
        if each.facts.recording.entity.tenant_id in within
    }
    named = {who for facts in narrowed.values() if (who := facts.attribution.patient_id)}
    patients: dict[str | None, PatientFacts] = {
        who: patient
        for who, patient in known_patients(session, named).items()
        if patient.subject.tenant_id in within
    }
    return tuple(
        one
        for one, facts in narrowed.items()
        if standing(facts, patients.get(facts.attribution.patient_id)) is Standing.CONFLICT
    )


def _narrowed(judged_one: Judged, within: frozenset[str]) -> RecordingFacts:
    """Return the facts of a recording as they would be without a booking of another tenant."""
    facts = judged_one.facts
    booked = facts.consultation
    if booked is None or booked.entity.tenant_id in within:
        return facts
    disputed = judged_one.disputed
    return recording_facts(facts.recording, None, facts.attendance, (), disputed=disputed)

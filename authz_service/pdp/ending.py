"""Each fact that gave a relation, as it would be if it ended: what an ALLOW may rest on alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from authz_service.pdp.entities import (
    Attendance,
    Delegation,
    Entity,
    Grant,
    Recording,
    Relationship,
)
from authz_service.pdp.entity_words import FactKind, ParticipantKind, RecordingState
from authz_service.pdp.facts import Fact, FactReference
from authz_service.pdp.imagining import Change, Edit
from authz_service.pdp.model import Decision, Instant, Relation

_ORDER = (
    FactKind.DELEGATION,
    FactKind.GRANT,
    FactKind.RELATIONSHIP,
    FactKind.ATTENDANCE,
    FactKind.CONSULTATION,
    FactKind.RECORDING,
)
"""What somebody would end on purpose comes before what merely happened."""


def ending(
    known: Iterable[Fact[Entity]], decision: Decision, subject_id: str, now: Instant
) -> Iterator[Change]:
    """Yield the end of each fact among *known* that gave a relation, rights first."""
    entities = {FactReference(fact.kind, fact.entity.id): fact.entity for fact in known}
    edits: dict[FactReference, Edit] = {}
    for relation, evidence in decision.evidence:
        for each in evidence:
            reference = FactReference(FactKind(each.kind), each.id)
            edit = _ended(entities.get(reference), relation, subject_id, now)
            if edit is not None:
                edits.setdefault(reference, edit)
    for reference in sorted(edits, key=lambda one: _ORDER.index(one.kind)):
        yield Change(_WORDS[reference.kind].format(reference.id), (edits[reference],))


_WORDS = {
    FactKind.DELEGATION: "delegation {} is revoked",
    FactKind.GRANT: "grant {} is revoked",
    FactKind.RELATIONSHIP: "relationship {} ends",
    FactKind.ATTENDANCE: "attendance {} does not say who took part so",
    FactKind.CONSULTATION: "consultation {} is not known",
    FactKind.RECORDING: "recording {} does not say so, or is deleted",
}


def _ended(entity: Entity | None, relation: Relation, subject_id: str, now: Instant) -> Edit | None:
    """Return *entity* without what gave *relation*; None where nothing of it can end."""
    match entity:
        case Delegation() | Grant():
            return Edit(replace(entity, revoked_at=now))
        case Relationship():
            return Edit(replace(entity, valid_to=now))
        case Attendance() if relation is not Relation.OWNER:
            return Edit(_without(entity, subject_id))
        case Recording():
            return Edit(_closed(entity, relation, subject_id))
    return None if entity is None else Edit(entity, is_gone=True)


def _closed(recording: Recording, relation: Relation, subject_id: str) -> Recording:
    """Return *recording* with holds that do not name the subject, or else as deleted."""
    if relation is not Relation.LEGAL:
        return replace(recording, state=RecordingState.DELETED)
    holds = tuple(
        replace(hold, viewers=tuple(who for who in hold.viewers if who != subject_id))
        for hold in recording.holds
    )
    return replace(recording, holds=holds)


def _without(attendance: Attendance, subject_id: str) -> Attendance:
    """Return *attendance* as if the subject had not taken part beside the patient."""
    rest = tuple(
        who
        for who in attendance.participants
        if who.subject_id != subject_id or who.kind is ParticipantKind.PATIENT
    )
    return replace(attendance, participants=rest)

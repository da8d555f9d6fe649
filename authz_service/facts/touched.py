"""Which cached values a change makes stale: those of the old row and those of the new one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from authz_service.facts.changes import Change
from authz_service.facts.key_text import EVERYTHING
from authz_service.facts.links import Links
from authz_service.facts.reader import CONTAINMENTS_KEY, Key
from authz_service.pdp.entities import Block, Consent, Delegation, Entity, Grant, Relationship
from authz_service.pdp.entity_words import FactKind

Keys = frozenset[Key]


def touched_keys(
    change: Change, booked: Mapping[str, Sequence[str]], links: Sequence[Links]
) -> Keys:
    """Return the keys of the values in which the fact of *change* counts, before or after it.

    Args:
        change: What changes.
        booked: The recordings of each consultation.
        links: What is declared around all subjects that the write relinks, before and after it.
    """
    if change.kind is FactKind.CONSULTATION:
        return frozenset(Key("recording", one) for one in booked.get(change.id, ()))
    if change.kind is FactKind.SUBJECT:
        one = frozenset({change.id})
        return people_keys(
            one.union(*(each.around(one) for each in links)) if change.relinks else one
        )
    keys = _KEYS[change.kind]
    entities = (one for one in (change.old, change.new) if one is not None)
    return frozenset(key for entity in entities for key in keys(entity))


def people_keys(people: Iterable[str]) -> Keys:
    """Return the keys of *people*, each of whom is a subject and may be a patient."""
    return frozenset(key for who in people for key in (Key("subject", who), Key("patient", who)))


def named_keys(kind: FactKind, entity: Entity) -> Keys:
    """Return the keys that a new fact of *kind* touches by itself.

    A consultation touches the recordings of it, too, and a subject those whom it declares.
    """
    if kind is FactKind.CONSULTATION:
        return frozenset()
    return people_keys((entity.id,)) if kind is FactKind.SUBJECT else _KEYS[kind](entity)


def _its_recording(entity: Entity) -> Keys:
    """Return the key of the recording that the fact is of."""
    return frozenset({Key("recording", entity.id)})


def _its_patient(entity: Entity) -> Keys:
    """Return the key of the patient whom the fact names, if it names one."""
    if not isinstance(entity, (Delegation, Block, Relationship, Consent, Grant)):
        return frozenset()
    return frozenset({Key("patient", entity.patient_id)} if entity.patient_id else ())


def _its_grant(entity: Entity) -> Keys:
    """Return the key of what a grant is on."""
    if isinstance(entity, Grant) and entity.recording_id:
        return frozenset({Key("recording", entity.recording_id)})
    return _its_patient(entity)


_KEYS: Final[dict[FactKind, Callable[[Entity], Keys]]] = {
    FactKind.TENANT: lambda _tenant: frozenset({EVERYTHING}),
    FactKind.RECORDING: _its_recording,
    FactKind.ATTENDANCE: _its_recording,
    FactKind.DELEGATION: _its_patient,
    FactKind.BLOCK: _its_patient,
    FactKind.RELATIONSHIP: _its_patient,
    FactKind.CONSENT: _its_patient,
    FactKind.GRANT: _its_grant,
    FactKind.CONTAINMENT: lambda _containment: frozenset({CONTAINMENTS_KEY}),
}

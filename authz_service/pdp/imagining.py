"""Facts as they would be after a change: what the word of an explanation is held against."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple, TypeVar, cast

from authz_service.pdp.assembly import recording_facts
from authz_service.pdp.corroboration import OWNER_CHANGED
from authz_service.pdp.entities import ENTITY_TYPES, Containment, Entity, Subject
from authz_service.pdp.entity_words import FactKind
from authz_service.pdp.facts import (
    Fact,
    FactReference,
    Facts,
    PatientFacts,
    RecordingFacts,
    SubjectFacts,
)
from authz_service.pdp.model import AccessRequest

E = TypeVar("E", bound=Entity)

_KINDS = {entity: kind for kind, entity in ENTITY_TYPES.items()}


class Edit(NamedTuple):
    """One fact that says something else, or is gone.

    Attributes:
        entity: What it says then; where it is gone, what it said.
        is_gone: Whether it is gone.
    """

    entity: Entity
    is_gone: bool = False

    @property
    def reference(self) -> FactReference:
        """The fact."""
        return FactReference(_KINDS[type(self.entity)], self.entity.id)


class Change(NamedTuple):
    """Something that would be different.

    Attributes:
        description: What, in words: ids and words of closed lists.
        edits: The facts that would say something else.
        request: The question as it would be asked; None where it stays.
        settles: Whether a person would have resolved that the recording's owner was changed.
    """

    description: str
    edits: tuple[Edit, ...] = ()
    request: AccessRequest | None = None
    settles: bool = False


_Edited = Mapping[FactReference, Edit]


def imagined(facts: Facts, change: Change) -> Facts:
    """Return *facts* as they would be after *change*, put together anew from what they say.

    A subject keeps its birth date, kin and other ids: no change that is imagined touches those.
    """
    edited = {edit.reference: edit for edit in change.edits}
    recording = facts.recording and _recording(facts.recording, edited, settles=change.settles)
    patient = facts.patient and _patient(facts.patient, edited)
    patient_id = recording.attribution.patient_id if recording else None
    return Facts(
        facts.subject and _subject(facts.subject, edited),
        recording,
        patient if patient and patient.subject.id == patient_id else None,
        tuple(
            cast("Containment", _entity(FactKind.CONTAINMENT, each, edited))
            for each in facts.containments
        ),
        facts.revision,
    )


def is_disputed(recording: RecordingFacts) -> bool:
    """Whether the recording's owner was changed, and nobody has resolved that."""
    return OWNER_CHANGED in recording.attribution.disagreements


def _recording(facts: RecordingFacts, edited: _Edited, *, settles: bool) -> RecordingFacts:
    """Return what would be known of a recording, and whose it would be."""
    (recording,) = _edited((facts.recording,), edited)
    return recording_facts(
        recording,
        _one(facts.consultation, edited),
        _one(facts.attendance, edited),
        _edited(facts.grants, edited),
        disputed=is_disputed(facts) and not settles,
    )


def _patient(facts: PatientFacts, edited: _Edited) -> PatientFacts:
    """Return what would be known of a patient."""
    return replace(
        facts,
        subject=cast("Subject", _entity(FactKind.SUBJECT, facts.subject, edited)),
        delegations=_edited(facts.delegations, edited),
        blocks=_edited(facts.blocks, edited),
        relationships=_edited(facts.relationships, edited),
        grants=_edited(facts.grants, edited),
    )


def _subject(facts: SubjectFacts, edited: _Edited) -> SubjectFacts:
    """Return what would be known of who asks."""
    entity = _entity(FactKind.SUBJECT, facts.subject, edited)
    return replace(facts, subject=cast("Subject", entity))


def _entity(kind: FactKind, entity: Entity, edited: _Edited) -> Entity:
    """Return *entity*, or what stands in its place."""
    edit = edited.get(FactReference(kind, entity.id))
    return edit.entity if edit else entity


def _one(fact: Fact[E] | None, edited: _Edited) -> Fact[E] | None:
    """Return *fact* as it would be; None where there is none, or would be none."""
    return next(iter(_edited((fact,), edited)), None) if fact else None


def _edited(facts: Iterable[Fact[E]], edited: _Edited) -> tuple[Fact[E], ...]:
    """Return *facts* as they would be, without those that would be gone."""
    found = []
    for fact in facts:
        edit = edited.get(FactReference(fact.kind, fact.entity.id))
        if edit is None:
            found.append(fact)
        elif not edit.is_gone:
            found.append(replace(fact, entity=cast("E", edit.entity)))
    return tuple(found)


def each_then_all(words: str, edits: Sequence[Edit]) -> Iterator[Change]:
    """Yield a change for each of *edits*, then one for all; *words* have a place for their ids."""
    for edit in edits:
        yield Change(words.format(edit.entity.id), (edit,))
    if len(edits) > 1:
        ids = " and ".join(edit.entity.id for edit in edits)
        yield Change(words.format(ids), tuple(edits))

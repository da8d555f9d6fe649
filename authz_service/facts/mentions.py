"""Whom and what a fact names beside itself: people, a recording, a consultation."""

from __future__ import annotations

from dataclasses import fields
from typing import Final

from authz_service.facts.rows import links_of
from authz_service.pdp.entities import (
    ENTITY_TYPES,
    Attendance,
    Containment,
    Entity,
    Grant,
    Recording,
    Subject,
)

Mention = tuple[str, str]
"""The place in which an id is named, and the id."""

_SINGLE: Final = {
    "patient_id", "subject_id", "delegate_id", "staff_id", "owner_id", "approved_by", "set_by",
    "lifted_by", "recording_id", "consultation_id",
}  # fmt: skip
_FIELDS: Final = {
    made: tuple(field.name for field in fields(made) if field.name in _SINGLE)
    for made in ENTITY_TYPES.values()
}
"""The fields of each entity that hold an id of something else."""


def mentions_of(entity: Entity | None) -> set[Mention]:
    """Return what *entity* names; its own id and its tenant's are not among it."""
    if entity is None:
        return set()
    found = _further(entity)
    for field in _FIELDS[type(entity)]:
        named = getattr(entity, field)
        if named is not None:
            found.add((field, named))
    return found


def _further(entity: Entity) -> set[Mention]:
    """Return what *entity* names in fields that hold more than an id."""
    if isinstance(entity, Subject):
        return {(kind, other) for _id, kind, other in links_of(entity)}
    if isinstance(entity, Recording):
        viewers = [*entity.named_viewers, *(who for hold in entity.holds for who in hold.viewers)]
        return {("viewer", who) for who in viewers}
    if isinstance(entity, Attendance):
        return {("participant", who.subject_id) for who in entity.participants}
    if isinstance(entity, Containment):
        return {("recording_id", one) for one in entity.scope.recording_ids}
    if isinstance(entity, Grant) and entity.review:
        return {("review", entity.review.by)}
    return set()

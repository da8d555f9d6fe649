"""Whom and what a fact names beside itself: people, a recording, a consultation."""

from __future__ import annotations

from typing import Final

from authz_service.facts.rows import links_of
from authz_service.pdp.entities import (
    Attendance,
    Containment,
    Entity,
    Grant,
    Recording,
    Subject,
)

Mention = tuple[str, str]
"""The place in which an id is named, and the id."""

_FIELDS: Final = (
    "patient_id", "subject_id", "delegate_id", "staff_id", "owner_id", "approved_by", "set_by",
    "lifted_by", "recording_id", "consultation_id",
)  # fmt: skip


def mentions_of(entity: Entity | None) -> frozenset[Mention]:
    """Return what *entity* names; its own id and its tenant's are not among it."""
    if entity is None:
        return frozenset()
    single = ((field, getattr(entity, field, None)) for field in _FIELDS)
    return frozenset((field, named) for field, named in single if named) | _further(entity)


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

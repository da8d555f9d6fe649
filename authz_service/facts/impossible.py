"""What cannot have been so: intervals that end before they begin, and ends before beginnings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from authz_service.pdp.entities import (
    Attendance,
    Consultation,
    Containment,
    Delegation,
    Entity,
    Grant,
    Recording,
    Subject,
)
from authz_service.pdp.model import Instant

INTERVAL: Final = "an interval ends before it begins"


def impossible_in(entity: Entity) -> Iterator[str]:
    """Yield what in *entity* cannot have been so, in words; each at most once."""
    if _has_odd_interval(entity):
        yield INTERVAL
    match entity:
        case Delegation() | Grant() if _is_before(entity.revoked_at, entity.valid_from):
            yield "it was revoked before it began"
        case Recording() if _is_before(entity.retention_until, entity.created_at):
            yield "its retention ended before it was made"
        case Containment() if _is_before(entity.lifted_at, entity.set_at):
            yield "it was lifted before it was set"
        case Attendance() if any(
            _is_before(one.left_at, one.joined_at) for one in entity.participants
        ):
            yield "somebody left before they joined"
    review = entity.review if isinstance(entity, Grant) else None
    if review is not None and _is_before(review.at, getattr(entity, "valid_from", None)):
        yield "it was reviewed before it began"


def _has_odd_interval(entity: Entity) -> bool:
    """Whether an interval in *entity* ends before it begins, or as it begins."""
    if isinstance(entity, Subject):
        return any(_is_empty(role.valid_from, role.valid_to) for role in entity.roles)
    if isinstance(entity, Consultation):
        return _is_before(entity.ended_at, entity.started_at)
    if isinstance(entity, Containment):
        return _is_empty(entity.scope.created_from, entity.scope.created_to)
    return _is_empty(getattr(entity, "valid_from", None), getattr(entity, "valid_to", None))


def _is_empty(begin: Instant | None, end: Instant | None) -> bool:
    """Whether ``[begin, end)`` holds no instant."""
    return begin is not None and end is not None and end <= begin


def _is_before(one: Instant | None, other: Instant | None) -> bool:
    """Whether *one* came before *other*, as far as both are known."""
    return one is not None and other is not None and one < other

"""What a write did that a record has to name: what it stopped, lifted and reviewed."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple

from authz_service.facts.changes import Change
from authz_service.pdp.entities import Containment, Delegation, Entity, Grant


class Deeds(NamedTuple):
    """Facts by what was done to them, each as ``kind/id``.

    Attributes:
        contained: Containments that were set, or set again after they were lifted.
        lifted: Containments that were lifted.
        reviewed: Grants and delegations whose review was written.
    """

    contained: tuple[str, ...] = ()
    lifted: tuple[str, ...] = ()
    reviewed: tuple[str, ...] = ()


def deeds_of(changes: Collection[Change]) -> Deeds:
    """Return what *changes* do."""
    return Deeds(
        _named(one for one in changes if contains(one)),
        _named(one for one in changes if lifts(one)),
        _named(one for one in changes if one.new is not None and reviews(one)),
    )


def contains(change: Change) -> bool:
    """Whether *change* sets a containment."""
    old, new = change.old, change.new
    was_there = isinstance(old, Containment) and old.lifted_at is None
    return isinstance(new, Containment) and new.lifted_at is None and not was_there


def lifts(change: Change) -> bool:
    """Whether *change* lifts a containment, or says anew by whom or when."""
    old, new = change.old, change.new
    if not isinstance(new, Containment) or new.lifted_at is None:
        return False
    before = (old.lifted_at, old.lifted_by) if isinstance(old, Containment) else None
    return before != (new.lifted_at, new.lifted_by)


def reviews(change: Change) -> bool:
    """Whether *change* adds, changes or drops a review."""
    return _review(change.old) != _review(change.new)


def _review(entity: Entity | None) -> object:
    """Return the review in *entity*; None where there is none."""
    match entity:
        case Grant():
            return entity.review
        case Delegation():
            return entity.competence_review
        case _:
            return None


def _named(changes: Iterable[Change]) -> tuple[str, ...]:
    """Return which facts *changes* are of."""
    return tuple(f"{one.kind}/{one.id}" for one in changes)

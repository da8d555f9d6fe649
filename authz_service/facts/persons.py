"""Lifting and reviewing take another person: who, is held against what is stored."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from authz_service.facts.changes import Change
from authz_service.facts.links import links_around
from authz_service.facts.sessions import Session
from authz_service.pdp.entities import Containment, Delegation, Grant
from authz_service.pdp.errors import StateError
from authz_service.pdp.facts import FactReference

_LAST_WRITTEN_BY: Final = (
    "SELECT w.actor FROM containments k JOIN facts_writes w ON w.revision = k.revision"
    " WHERE k.id = :id AND k.value IS NOT NULL"
)


class Apart(NamedTuple):
    """Two ids that must not be of one person.

    Attributes:
        field: The field that says so, without its fact.
        one: The one who lifts or reviews, or on whose word it is done.
        other: The one who must not.
        why: The rule.
    """

    field: str
    one: str
    other: str
    why: str


def check_persons(
    session: Session, changes: Sequence[Change], *, actor: str, names: Mapping[FactReference, str]
) -> None:
    """Refuse changes by which somebody lifts or reviews what takes another person.

    Two ids are of one person where the registry says so before the write.

    Args:
        session: The write, before any of *changes* is made.
        changes: What it changes.
        actor: Who is answerable for it.
        names: What stands before the fields of each fact in errors.

    Raises:
        StateError: Names the field.
    """
    found = [
        (f"{names[change.reference]}{change.kind}.{apart.field}", apart)
        for change in changes
        for apart in _apart(session, change, actor)
    ]
    if not found:
        return
    people = frozenset(who for _, apart in found for who in (apart.one, apart.other))
    links = links_around(session, people)
    for field, apart in found:
        if apart.other in links.person_ids(apart.one):
            raise StateError(field, apart.why)


def check_kept(change: Change, name: str) -> None:
    """Refuse to rewrite who set a containment, and what it covers: either would lift it unseen.

    Raises:
        StateError: Names the field.
    """
    old, new = change.old, change.new
    if not isinstance(old, Containment) or not isinstance(new, Containment):
        return
    for field in ("set_by", "scope"):
        if getattr(old, field) != getattr(new, field):
            raise StateError(
                f"{name}containment.{field}", "stays as it was set; lift it and set another"
            )


def _apart(session: Session, change: Change, actor: str) -> Iterator[Apart]:
    """Yield who must not be the same person in *change*."""
    old, new = change.old, change.new
    if isinstance(new, Containment):
        yield from _in_lifting(session, old if isinstance(old, Containment) else None, new, actor)
    elif isinstance(new, Grant):
        yield from _in_review(old if isinstance(old, Grant) else None, new, actor)
    elif isinstance(new, Delegation):
        yield from _in_competence(old if isinstance(old, Delegation) else None, new, actor)


def _in_lifting(
    session: Session, old: Containment | None, new: Containment, actor: str
) -> Iterator[Apart]:
    """Yield who must not be the same person where a containment is lifted."""
    if new.lifted_at is None or new.lifted_by is None:
        return
    if old is not None and (old.lifted_at, old.lifted_by) == (new.lifted_at, new.lifted_by):
        return
    set_by = new.set_by if old is None else old.set_by or _last_written_by(session, old)
    if set_by is None:
        return
    why = "is who set the containment; another person lifts it"
    yield Apart("lifted_by", new.lifted_by, set_by, why)
    if old is not None:
        why = "is lifted by the actor who set it; another person lifts it"
        yield Apart("lifted_at", actor, set_by, why)


def _last_written_by(session: Session, containment: Containment) -> str | None:
    """Return the actor who wrote a containment that does not say who set it."""
    row = session.one(_LAST_WRITTEN_BY, {"id": containment.id})
    return str(row[0]) if row else None


def _in_review(old: Grant | None, new: Grant, actor: str) -> Iterator[Apart]:
    """Yield who must not be the same person where a grant is reviewed."""
    grants = [new] if old is None else [old, new]
    holders = {grant.subject_id for grant in grants if grant.subject_id}
    approvers = {grant.approved_by for grant in grants if grant.approved_by}
    if new.review is not None:
        by = new.review.by
        for who in sorted(holders):
            yield Apart("review.by", by, who, "is who holds the grant; another person reviews it")
        for who in sorted(approvers):
            yield Apart("review.by", by, who, "is who approved it; another person reviews it")
    if new.review != (old.review if old else None):
        for who in sorted(holders):
            yield Apart("review", actor, who, "is written by who holds the grant; another may")


def _in_competence(old: Delegation | None, new: Delegation, actor: str) -> Iterator[Apart]:
    """Yield who must not be the same person where a patient's competence is reviewed."""
    if new.competence_review == (old.competence_review if old else None):
        return
    delegations = [new] if old is None else [old, new]
    parties = {who for one in delegations for who in (one.delegate_id, one.patient_id) if who}
    for who in sorted(parties):
        yield Apart(
            "competence_review", actor, who, "is written by a party to it; another person reviews"
        )

"""Lifting and reviewing take another person: who, is held against what is stored."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from authz_service.facts.changes import Change
from authz_service.facts.deeds import lifts, reviews
from authz_service.facts.links import links_around
from authz_service.facts.sessions import Session
from authz_service.pdp.entities import Containment, Delegation, Entity, Grant, Subject
from authz_service.pdp.entity_words import GrantKind
from authz_service.pdp.errors import CallerNotAllowedError, CallerRefusal, StateError
from authz_service.pdp.facts import FactReference

_FIRST_WRITTEN_BY: Final = (
    "SELECT w.actor FROM facts_writes w WHERE w.revision = (SELECT min(c.revision)"
    " FROM fact_changes c WHERE c.kind = 'containment' AND c.id = :id AND c.revision > coalesce("
    "(SELECT max(d.revision) FROM fact_changes d"
    " WHERE d.kind = 'containment' AND d.id = :id AND d.value IS NULL AND NOT d.in_place), 0))"
)
_LAST_WRITTEN_BY: Final = (
    "SELECT w.actor FROM containments k JOIN facts_writes w ON w.revision = k.revision"
    " WHERE k.id = :id AND k.value IS NOT NULL"
)
_CONTAINMENT_STAYS: Final = "stays as it was set; lift it and set another"
_GRANT_STAYS: Final = "of an emergency grant stays; revoke it and write another"
_OF_EMERGENCY: Final = ("kind", "subject_id", "approved_by")


class Hand(NamedTuple):
    """Who writes.

    Attributes:
        actor: Who is answerable.
        replays: Whether they write what others did before them, as an import does.
    """

    actor: str
    replays: bool = False


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
    session: Session, changes: Sequence[Change], hand: Hand, names: Mapping[FactReference, str]
) -> None:
    """Refuse changes by which somebody lifts, reviews or unlinks what takes another person.

    Two ids are of one person where the registry says so before the write.

    Args:
        session: The write, before any of *changes* is made.
        changes: What it changes.
        hand: Who writes.
        names: What stands before the fields of each fact in errors.

    Raises:
        StateError: Names the field.
    """
    _check_apart(session, changes, hand, names)
    if hand.replays:
        return
    for change in changes:
        field, by = _signed(change)
        if by is not None and by != hand.actor:
            raise StateError(
                f"{names[change.reference]}{change.kind}.{field}",
                "is not the actor of the write; who lifts or reviews writes so themselves",
            )


def _signed(change: Change) -> tuple[str, str | None]:
    """Return who says to lift or review what is stored, and in which field."""
    old, new = change.old, change.new
    if isinstance(old, Containment) and isinstance(new, Containment) and lifts(change):
        return "lifted_by", new.lifted_by
    if isinstance(old, Grant) and isinstance(new, Grant) and new.review and reviews(change):
        return "review.by", new.review.by
    return "", None


def _check_apart(
    session: Session, changes: Sequence[Change], hand: Hand, names: Mapping[FactReference, str]
) -> None:
    """Refuse changes by which one person does what takes two."""
    found = [
        (f"{names[change.reference]}{change.kind}.{apart.field}", apart)
        for change in changes
        for apart in _apart(session, change, hand)
    ]
    if not found:
        return
    people = frozenset(who for _, apart in found for who in (apart.one, apart.other))
    links = links_around(session, people)
    for field, apart in found:
        if apart.other in links.person_ids(apart.one):
            raise StateError(field, apart.why)


def require_review(changes: Sequence[Change], names: Mapping[FactReference, str]) -> None:
    """Refuse changes of reviews.

    Raises:
        CallerNotAllowedError: Names the fact.
    """
    for change in changes:
        if reviews(change):
            what = f"change the review of {names[change.reference]}{change.kind}"
            raise CallerNotAllowedError(what, CallerRefusal.POWER)


def check_kept(change: Change, name: str) -> None:
    """Refuse to rewrite what a later judgement of a fact rests on.

    Who set a containment and what it covers: either would lift it unseen. What says of an emergency
    that it was one, and whose: it could then be deleted, or reviewed by who had it.

    Raises:
        StateError: Names the field.
    """
    old, new = change.old, change.new
    if isinstance(old, Containment) and isinstance(new, Containment):
        _check_same(old, new, ("set_by", "scope"), f"{name}containment")
    elif isinstance(old, Grant) and old.kind is GrantKind.EMERGENCY and isinstance(new, Grant):
        said = [field for field in _OF_EMERGENCY if getattr(old, field) is not None]
        _check_same(old, new, said, f"{name}grant")


def _check_same(old: Entity, new: Entity, fields: Sequence[str], name: str) -> None:
    """Refuse to change *fields*.

    Raises:
        StateError: Names the first that would be.
    """
    why = _GRANT_STAYS if isinstance(old, Grant) else _CONTAINMENT_STAYS
    for field in fields:
        if getattr(old, field) != getattr(new, field):
            raise StateError(f"{name}.{field}", why)


def _apart(session: Session, change: Change, hand: Hand) -> Iterator[Apart]:
    """Yield who must not be the same person in *change*."""
    old, new, actor = change.old, change.new, hand.actor
    if isinstance(new, Containment) and lifts(change):
        yield from _in_lifting(session, old if isinstance(old, Containment) else None, new, hand)
    elif isinstance(new, Grant):
        yield from _in_review(old if isinstance(old, Grant) else None, new, actor)
    elif isinstance(new, Delegation):
        yield from _in_competence(old if isinstance(old, Delegation) else None, new, actor)
    elif isinstance(old, Subject) and isinstance(new, Subject):
        yield from _in_unlinking(old, new, actor)


def _in_lifting(
    session: Session, old: Containment | None, new: Containment, hand: Hand
) -> Iterator[Apart]:
    """Yield who must not be the same person where a containment is lifted."""
    lifted_by = new.lifted_by or hand.actor
    if old is None:
        setters = {new.set_by} if new.set_by else set()
    else:
        setters = _who_set(session, old, hand)
    for who in sorted(setters):
        why = "is who set the containment; another person lifts it"
        yield Apart("lifted_by", lifted_by, who, why)
        if old is not None:
            why = "is lifted by the actor who set it; another person lifts it"
            yield Apart("lifted_at", hand.actor, who, why)


def _who_set(session: Session, containment: Containment, hand: Hand) -> set[str]:
    """Return who set a stored containment: whom it names, and who first wrote it.

    What an import writes it did not do itself, so that it lifts what it wrote before; of a
    containment that names nobody the writer is all there is.
    """
    if containment.set_by and hand.replays:
        return {containment.set_by}
    row = session.one(_FIRST_WRITTEN_BY, {"id": containment.id}) or session.one(
        _LAST_WRITTEN_BY, {"id": containment.id}
    )
    return {who for who in (containment.set_by, str(row[0]) if row else None) if who}


def _in_unlinking(old: Subject, new: Subject, actor: str) -> Iterator[Apart]:
    """Yield who must not be the same person where a subject no longer declares another itself."""
    if set(old.same_person_as) - set(new.same_person_as):
        why = "loses one of them by the word of that person; another person unlinks them"
        yield Apart("same_person_as", actor, old.id, why)


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
        for who in sorted(approvers if old else ()):
            yield Apart("review", actor, who, "is written by who approved it; another may")


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

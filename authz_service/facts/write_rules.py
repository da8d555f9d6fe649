"""What may be written over what, and what may not be deleted: nothing that denies goes quietly."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Final

from authz_service.facts.decoding import entity_of, to_microseconds
from authz_service.facts.rows import Stored, canonical
from authz_service.pdp.entities import (
    ENTITY_TYPES,
    Consent,
    Containment,
    ContainmentScope,
    Delegation,
    Entity,
    Grant,
    Recording,
    Subject,
    Tenant,
)
from authz_service.pdp.entity_words import (
    CompetenceOutcome,
    ConsentStatus,
    FactKind,
    GrantKind,
    SubjectStatus,
)
from authz_service.pdp.errors import InvalidRequestError, StateError, Violation
from authz_service.pdp.facts import Fact, FactReference
from authz_service.pdp.model import Instant

MAX_FACTS: Final = 1000
"""How many facts one write may hold."""


_CLOCKS_APART: Final = timedelta(minutes=5)


class Verdict(Enum):
    """What becomes of one fact."""

    WRITE = "write"
    SKIP = "skip"
    UNCHANGED = "unchanged"


def check_observed(observed_at: Instant, name: str, now: Instant) -> None:
    """Refuse an observation that lies ahead: corrections and revocations after it would be skipped.

    Both clocks count, the service's and this machine's, whichever is later: a service that tries
    another time takes what is observed today.

    Raises:
        InvalidRequestError: It is more than five minutes ahead.
    """
    if observed_at > max(now, datetime.now(UTC)) + _CLOCKS_APART:
        raise InvalidRequestError(
            Violation(f"{name}observed_at", "is more than five minutes ahead of the service")
        )


def check_batch(references: Sequence[FactReference], names: Sequence[str]) -> None:
    """Refuse a write that is too long or names one fact twice.

    Args:
        references: The facts that it names.
        names: What stands before the name of each one's fields in errors.

    Raises:
        InvalidRequestError: Names the fact.
    """
    if len(references) > MAX_FACTS:
        raise InvalidRequestError(
            Violation(
                f"{names[MAX_FACTS]}{references[MAX_FACTS].kind}",
                f"is one too many: a write holds at most {MAX_FACTS} facts",
            )
        )
    seen: set[FactReference] = set()
    for name, reference in zip(names, references, strict=True):
        if reference in seen:
            raise InvalidRequestError(
                Violation(f"{name}{reference.kind}.id", "stands twice in one write; send the last")
            )
        seen.add(reference)


def check_entity(entity: Entity, name: str) -> None:
    """Refuse an entity that could not mean what it says.

    Raises:
        InvalidRequestError: Names the field.
    """
    if isinstance(entity, Containment) and entity.scope == ContainmentScope():
        raise InvalidRequestError(
            Violation(f"{name}containment.scope", "is empty; set at least one field")
        )
    if isinstance(entity, Containment) and entity.lifted_at and entity.lifted_by is None:
        raise InvalidRequestError(
            Violation(f"{name}containment.lifted_by", "is missing; name the person who lifted it")
        )
    if isinstance(entity, Tenant) and (
        entity.proxy_suspended_from_age < entity.proxy_restricted_from_age
    ):
        raise InvalidRequestError(
            Violation(
                f"{name}tenant.proxy_suspended_from_age",
                "is lower than proxy_restricted_from_age; proxies are restricted first",
            )
        )


def value_of(entity: Entity, name: str) -> str:
    """Return the canonical JSON of *entity*.

    Raises:
        InvalidRequestError: A text in it cannot be written down as UTF-8.
    """
    try:
        return canonical(entity)
    except TypeError:
        raise InvalidRequestError(Violation(name, "holds a text that is not Unicode")) from None


def judge(fact: Fact[Entity], value: str, stored: Stored | None, name: str) -> Verdict:
    """Return what becomes of *fact*, whose canonical JSON is *value*, over what is *stored*.

    Raises:
        StateError: It contradicts a fact of the same instant, or clears a revocation or a
            review.
    """
    if stored is None:
        return Verdict.WRITE
    observed_at = to_microseconds(fact.observed_at)
    if observed_at < stored.observed_at:
        return Verdict.SKIP
    if stored.value is None:
        return Verdict.SKIP if observed_at == stored.observed_at else Verdict.WRITE
    same = stored.value == value and stored.source == fact.source
    if observed_at == stored.observed_at:
        if same:
            return Verdict.UNCHANGED
        raise StateError(
            f"{name}{fact.kind}",
            f"contradicts what {stored.source} said at the same instant (observed_at)",
        )
    _check_cleared(fact.entity, fact.kind, stored.value, name)
    return Verdict.WRITE


def _check_cleared(entity: Entity, kind: FactKind, stored: str, name: str) -> None:
    """Refuse to clear a revocation, and to clear or replace the review of a grant.

    Raises:
        StateError: It would be.
    """
    if not isinstance(entity, (Delegation, Grant)):
        return
    old = entity_of(kind, stored)
    if isinstance(entity, Grant) and old.review is not None and old.review != entity.review:
        raise StateError(f"{name}{kind}.review", "a stored review is never cleared or replaced")
    if entity.revoked_at is None and old.revoked_at is not None:
        raise StateError(
            f"{name}{kind}.revoked_at", "a stored revocation is never cleared; write a new fact"
        )


def check_deletion(entity: Entity, name: str, *, disputed: bool, now: Instant) -> None:
    """Refuse to delete what denies or is evidence.

    Raises:
        StateError: Says what would be lost.
    """
    if disputed and isinstance(entity, Recording):
        raise StateError(name, "the recording's patient is disputed; resolve the conflict first")
    rule = _STAYS.get(type(entity))
    why = rule(entity, now) if rule else None
    if why:
        raise StateError(name, f"{why}, and what denies or is evidence is not deleted")


def _recording_stays(entity: Entity, _now: Instant) -> str | None:
    held = isinstance(entity, Recording) and entity.holds
    return "the recording is under a legal hold" if held else None


def _subject_stays(entity: Entity, _now: Instant) -> str | None:
    if not isinstance(entity, Subject):
        return None
    if entity.status is not SubjectStatus.ACTIVE:
        return "the subject is not active"
    declares = entity.same_person_as or entity.family
    return "the subject declares who is the same person or family" if declares else None


def _delegation_stays(entity: Entity, _now: Instant) -> str | None:
    if not isinstance(entity, Delegation):
        return None
    if entity.revoked_at is not None:
        return "the delegation is revoked"
    review = entity.competence_review
    ends = review is not None and review.outcome is CompetenceOutcome.PROXY_ENDS
    return "a review ended the delegation" if ends else None


def _grant_stays(entity: Entity, _now: Instant) -> str | None:
    if not isinstance(entity, Grant):
        return None
    if entity.revoked_at is not None:
        return "the grant is revoked"
    if entity.review is not None:
        return "the grant is reviewed"
    return "the grant is an emergency's" if entity.kind is GrantKind.EMERGENCY else None


def _consent_stays(entity: Entity, _now: Instant) -> str | None:
    withdrawn = isinstance(entity, Consent) and entity.status is ConsentStatus.WITHDRAWN
    return "the consent is withdrawn" if withdrawn else None


def _containment_stays(entity: Entity, now: Instant) -> str | None:
    if not isinstance(entity, Containment):
        return None
    lifted = entity.lifted_at is not None and entity.lifted_at <= now
    return None if lifted else "the containment is in force"


def _block_stays(_entity: Entity, _now: Instant) -> str | None:
    return "a block protects a patient; end it by valid_to"


_STAYS: Final[dict[type, Callable[[Entity, Instant], str | None]]] = {
    entity_type: rule
    for kind, rule in (
        (FactKind.RECORDING, _recording_stays),
        (FactKind.SUBJECT, _subject_stays),
        (FactKind.DELEGATION, _delegation_stays),
        (FactKind.GRANT, _grant_stays),
        (FactKind.CONSENT, _consent_stays),
        (FactKind.CONTAINMENT, _containment_stays),
        (FactKind.BLOCK, _block_stays),
    )
    for entity_type in (ENTITY_TYPES[kind],)
}

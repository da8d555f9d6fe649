"""Whose facts are: the tenants to which a caller may be bound, by the registry as it stands."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final

from authz_service.facts.belonging import PATIENTS, known_tenants, tenants_of
from authz_service.facts.decoding import to_microseconds
from authz_service.facts.rows import Stored, entity_in
from authz_service.facts.schema import PLURALS
from authz_service.facts.sessions import Session
from authz_service.operations.writes import Tenants
from authz_service.pdp.entities import Attendance, Entity, Subject
from authz_service.pdp.entity_words import FactKind
from authz_service.pdp.errors import CallerNotAllowedError, CallerRefusal
from authz_service.pdp.facts import Fact, FactReference

_NAMING_PATIENTS: Final = " UNION ".join(
    f"SELECT patient_id FROM {PLURALS[kind]} WHERE patient_id = ANY(:ids)"  # noqa: S608  # ours
    for kind in (
        FactKind.DELEGATION,
        FactKind.BLOCK,
        FactKind.RELATIONSHIP,
        FactKind.GRANT,
        FactKind.CONSENT,
    )
)
"""Which of some patients facts name whose tenant is the patient's."""
_NAMING_RECORDINGS: Final = (
    "SELECT recording_id FROM grants WHERE recording_id = ANY(:ids)"
    " UNION SELECT a.id FROM attendances a JOIN recordings r ON r.id = a.id"
    " WHERE a.id = ANY(:ids) AND a.value IS NOT NULL AND r.value IS NULL"
)
"""The same of recordings; where one was never stored its attendance may have come before it."""


def require_facts_within(
    session: Session,
    within: Tenants,
    facts: Sequence[Fact[Entity]],
    stored: Mapping[FactReference, Stored],
    names: Mapping[FactReference, str],
) -> None:
    """Refuse to touch what is not of the tenants in *within*, all before and after a write.

    Args:
        session: A transaction that no other write overtakes.
        within: The tenants; None for all, and nothing is looked at then.
        facts: What is to be written. By it, too, it is told whose another fact is, if it counts.
        stored: What is stored of all that is touched.
        names: What is touched, and what stands before the name of each in errors.

    Raises:
        CallerNotAllowedError: Names the fact that is of another tenant, or of which it cannot be
            told whose it is.
    """
    if within is None:
        return
    claimed: dict[FactReference, list[Entity]] = {
        reference: [] if entity is None else [entity]
        for reference in names
        for entity in (entity_in(reference.kind, stored.get(reference)),)
    }
    counting = []
    for fact in facts:
        reference = FactReference(fact.kind, fact.entity.id)
        claimed[reference].append(fact.entity)
        before = stored.get(reference)
        if before is None or to_microseconds(fact.observed_at) > before.observed_at:
            counting.append(fact.entity)
    known = known_tenants(
        session, [one for entities in claimed.values() for one in entities], counting
    )
    taken = _taken(session, facts, stored)
    for reference, entities in claimed.items():
        if reference in taken or not all(known.is_within(one, within) for one in entities):
            raise _refusal(f"{names[reference]}{reference.kind}")
    _require_links_within(session, within, claimed, counting, names)


def _require_links_within(
    session: Session,
    within: frozenset[str],
    claimed: Mapping[FactReference, Sequence[Entity]],
    counting: Sequence[Entity],
    names: Mapping[FactReference, str],
) -> None:
    """Refuse to declare somebody the same person or family who is not known to be of *within*.

    What is stored already may be said again.

    Raises:
        CallerNotAllowedError: Names the subject that would declare it.
    """
    added: dict[FactReference, set[str]] = {}
    for reference, entities in claimed.items():
        if reference.kind is FactKind.SUBJECT:
            *before, after = [{*one.same_person_as, *one.family} for one in _subjects(entities)]
            added[reference] = after.difference(*before)
    others = set().union(*added.values())
    tenants = tenants_of(session, PATIENTS, others, _subjects(counting))
    for reference, ids in added.items():
        if any(not (found := tenants.get(one)) or not found <= within for one in ids):
            raise _refusal(f"{names[reference]}{reference.kind}'s same_person_as or family")


def _subjects(entities: Sequence[Entity]) -> list[Subject]:
    """Return the subjects among *entities*."""
    return [one for one in entities if isinstance(one, Subject)]


def _taken(
    session: Session, facts: Sequence[Fact[Entity]], stored: Mapping[FactReference, Stored]
) -> set[FactReference]:
    """Return the subjects and recordings that are new, and that stored facts name already.

    Whose tenant hangs on them would become the writer's: they are left over from one who was
    deleted, or were written by somebody who is bound to no tenant.
    """
    new = {FactKind.SUBJECT: set[str](), FactKind.RECORDING: set[str]()}
    for fact in facts:
        reference = FactReference(fact.kind, fact.entity.id)
        if fact.kind in new and entity_in(fact.kind, stored.get(reference)) is None:
            new[fact.kind].add(fact.entity.id)
    statements = {FactKind.SUBJECT: _NAMING_PATIENTS, FactKind.RECORDING: _NAMING_RECORDINGS}
    return {
        FactReference(kind, row[0])
        for kind, ids in new.items()
        if ids
        for row in session.rows(statements[kind], {"ids": ids})
    }


def references_within(
    session: Session, within: Tenants, stored: Mapping[FactReference, Stored]
) -> Collection[FactReference]:
    """Return which of *stored* are known to be of the tenants in *within*."""
    if within is None:
        return stored.keys()
    entities = {one: entity_in(one.kind, row) for one, row in stored.items()}
    known = known_tenants(session, [entity for entity in entities.values() if entity is not None])
    return {
        one
        for one, entity in entities.items()
        if entity is not None and known.is_within(entity, within)
    }


def require_recording_within(session: Session, within: Tenants, recording_id: str) -> None:
    """Refuse a recording that is not of the tenants in *within*; one that is unknown, as well.

    Raises:
        CallerNotAllowedError: It is not.
    """
    if within is None:
        return
    of_it = Attendance(recording_id)
    if not known_tenants(session, [of_it]).is_within(of_it, within):
        raise _refusal(f"recording {recording_id}")


def only_within(
    session: Session, within: Tenants, facts: Sequence[Fact[Entity]]
) -> Sequence[Fact[Entity]]:
    """Return those of *facts*, all of them stored, that are of the tenants in *within*."""
    if within is None:
        return facts
    known = known_tenants(session, [fact.entity for fact in facts])
    return [fact for fact in facts if known.is_within(fact.entity, within)]


def _refusal(what: str) -> CallerNotAllowedError:
    """Return the refusal to touch *what*; whether it is stored at all is not said."""
    return CallerNotAllowedError(
        f"touch {what}, which is not known to be of its tenants", CallerRefusal.TENANT
    )

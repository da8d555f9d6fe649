"""Whose facts are: the tenants to which a caller may be bound, by the registry as it stands."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from authz_service.facts.decoding import to_microseconds
from authz_service.facts.rows import Stored, entity_in
from authz_service.facts.sessions import Session
from authz_service.operations.writes import Tenants
from authz_service.pdp.entities import (
    Attendance,
    Block,
    Consent,
    Consultation,
    Containment,
    Delegation,
    Entity,
    Grant,
    Recording,
    Relationship,
    Subject,
    Tenant,
)
from authz_service.pdp.errors import CallerNotAllowedError, CallerRefusal
from authz_service.pdp.facts import Fact, FactReference

_RECORDINGS: Final = (
    "SELECT id, tenant_id FROM recordings WHERE id = ANY(:ids) AND value IS NOT NULL"
)
_PATIENTS: Final = "SELECT id, tenant_id FROM subjects WHERE id = ANY(:ids) AND value IS NOT NULL"
_NOBODY: Final[frozenset[str]] = frozenset()


class Whose(NamedTuple):
    """What a fact says of whose it is; where all three are None it cannot be told.

    Attributes:
        tenant_id: The tenant that it names itself.
        recording_id: The recording whose tenant's it is.
        patient_id: The patient whose tenant's it is.
    """

    tenant_id: str | None = None
    recording_id: str | None = None
    patient_id: str | None = None


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
    known = _known(session, [one for entities in claimed.values() for one in entities], counting)
    for reference, entities in claimed.items():
        if not all(known.is_within(one, within) for one in entities):
            raise _refusal(f"{names[reference]}{reference.kind}")


def require_recording_within(session: Session, within: Tenants, recording_id: str) -> None:
    """Refuse a recording that is not of the tenants in *within*; one that is unknown, as well.

    Raises:
        CallerNotAllowedError: It is not.
    """
    if within is None:
        return
    of_it = Attendance(recording_id)
    if not _known(session, [of_it]).is_within(of_it, within):
        raise _refusal(f"recording {recording_id}")


def only_within(
    session: Session, within: Tenants, facts: Sequence[Fact[Entity]]
) -> Sequence[Fact[Entity]]:
    """Return those of *facts*, all of them stored, that are of the tenants in *within*."""
    if within is None:
        return facts
    known = _known(session, [fact.entity for fact in facts])
    return [fact for fact in facts if known.is_within(fact.entity, within)]


class _Known(NamedTuple):
    """The tenants of recordings and patients, before and after a write."""

    recordings: Mapping[str, frozenset[str]]
    patients: Mapping[str, frozenset[str]]

    def is_within(self, entity: Entity, within: frozenset[str]) -> bool:
        """Whether *entity* is known to be of *within*, and of nobody else."""
        tenant_id, recording_id, patient_id = _whose(entity)
        found = [
            *([frozenset({tenant_id})] if tenant_id else ()),
            *([self.recordings.get(recording_id, _NOBODY)] if recording_id else ()),
            *([self.patients.get(patient_id, _NOBODY)] if patient_id else ()),
        ]
        return bool(found) and all(tenants and tenants <= within for tenants in found)


def _refusal(what: str) -> CallerNotAllowedError:
    """Return the refusal to touch *what*; whether it is stored at all is not said."""
    return CallerNotAllowedError(
        f"touch {what}, which is not known to be of its tenants", CallerRefusal.TENANT
    )


def _known(
    session: Session, entities: Collection[Entity], written: Collection[Entity] = ()
) -> _Known:
    """Return the tenants of the recordings and patients that *entities* name."""
    named = [_whose(entity) for entity in entities]
    recordings = {one.recording_id for one in named if one.recording_id}
    patients = {one.patient_id for one in named if one.patient_id}
    return _Known(
        _tenants(
            session, _RECORDINGS, recordings, (r for r in written if isinstance(r, Recording))
        ),
        _tenants(session, _PATIENTS, patients, (p for p in written if isinstance(p, Subject))),
    )


def _tenants(
    session: Session, statement: str, ids: set[str], written: Iterable[Recording | Subject]
) -> dict[str, frozenset[str]]:
    """Return the tenants of which *ids* are stored, and of which they are *written*."""
    found: dict[str, frozenset[str]] = {}
    stored = session.rows(statement, {"ids": ids}) if ids else []
    made = [(one.id, one.tenant_id) for one in written if one.id in ids]
    for one, tenant_id in (*stored, *made):
        found[one] = found.get(one, _NOBODY) | {tenant_id}
    return found


def _whose(entity: Entity) -> Whose:
    """Return what *entity* says of whose it is."""
    match entity:
        case Tenant():
            return Whose(tenant_id=entity.id)
        case Subject() | Consultation() | Recording():
            return Whose(tenant_id=entity.tenant_id)
        case Attendance():
            return Whose(recording_id=entity.id)
        case Grant():
            return Whose(recording_id=entity.recording_id, patient_id=entity.patient_id)
        case Delegation() | Block() | Relationship() | Consent():
            return Whose(patient_id=entity.patient_id)
        case Containment():
            return Whose(tenant_id=entity.scope.tenant_id)

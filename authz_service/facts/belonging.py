"""Whose a fact is: what it says of that itself, and what is stored of those whom it names."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Final, NamedTuple

from authz_service.facts.sessions import Session
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

_RECORDINGS: Final = (
    "SELECT id, tenant_id FROM recordings WHERE id = ANY(:ids) AND value IS NOT NULL"
)
PATIENTS: Final = "SELECT id, tenant_id FROM subjects WHERE id = ANY(:ids) AND value IS NOT NULL"
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


class Known(NamedTuple):
    """The tenants of recordings and patients, before and after a write."""

    recordings: Mapping[str, frozenset[str]]
    patients: Mapping[str, frozenset[str]]

    def is_within(self, entity: Entity, within: frozenset[str]) -> bool:
        """Whether *entity* is known to be of *within*, and of nobody else."""
        tenant_id, recording_id, patient_id = whose(entity)
        found = [
            *([frozenset({tenant_id})] if tenant_id else ()),
            *([self.recordings.get(recording_id, _NOBODY)] if recording_id else ()),
            *([self.patients.get(patient_id, _NOBODY)] if patient_id else ()),
        ]
        return bool(found) and all(tenants and tenants <= within for tenants in found)


def known_tenants(
    session: Session, entities: Collection[Entity], written: Collection[Entity] = ()
) -> Known:
    """Return the tenants of the recordings and patients that *entities* name."""
    named = [whose(entity) for entity in entities]
    recordings = {one.recording_id for one in named if one.recording_id}
    patients = {one.patient_id for one in named if one.patient_id}
    return Known(
        tenants_of(
            session, _RECORDINGS, recordings, (r for r in written if isinstance(r, Recording))
        ),
        tenants_of(session, PATIENTS, patients, (p for p in written if isinstance(p, Subject))),
    )


def tenants_of(
    session: Session, statement: str, ids: set[str], written: Iterable[Recording | Subject]
) -> dict[str, frozenset[str]]:
    """Return the tenants of which *ids* are stored, and of which they are *written*."""
    found: dict[str, frozenset[str]] = {}
    stored = session.rows(statement, {"ids": ids}) if ids else []
    made = [(one.id, one.tenant_id) for one in written if one.id in ids]
    for one, tenant_id in (*stored, *made):
        found[one] = found.get(one, _NOBODY) | {tenant_id}
    return found


def whose(entity: Entity) -> Whose:
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

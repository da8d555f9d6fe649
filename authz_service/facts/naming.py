"""Whom and what a fact names, field by field: every reference that there is in an entity."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from authz_service.pdp.emergency import APPROVER
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
)
from authz_service.pdp.entity_words import FactKind, GrantKind

_TENANT: Final = FactKind.TENANT
_SUBJECT: Final = FactKind.SUBJECT
_RECORDING: Final = FactKind.RECORDING
_BY_PROXY: Final = (("patient_id", _SUBJECT), ("delegate_id", _SUBJECT))

_FIELDS: Final[Mapping[type, tuple[tuple[str, FactKind], ...]]] = {
    Subject: (("tenant_id", _TENANT), ("same_person_as", _SUBJECT), ("family", _SUBJECT)),
    Consultation: (("tenant_id", _TENANT), ("patient_id", _SUBJECT)),
    Recording: (
        ("tenant_id", _TENANT),
        ("consultation_id", FactKind.CONSULTATION),
        ("owner_id", _SUBJECT),
        ("named_viewers", _SUBJECT),
        ("holds.viewers", _SUBJECT),
    ),
    Attendance: (("id", _RECORDING), ("participants.subject_id", _SUBJECT)),
    Delegation: _BY_PROXY,
    Block: _BY_PROXY,
    Relationship: (("patient_id", _SUBJECT), ("staff_id", _SUBJECT)),
    Grant: (
        ("subject_id", _SUBJECT),
        ("recording_id", _RECORDING),
        ("patient_id", _SUBJECT),
        ("approved_by", _SUBJECT),
    ),
    Consent: (("patient_id", _SUBJECT),),
    Containment: (("scope.tenant_id", _TENANT), ("scope.recording_ids", _RECORDING)),
}
"""The fields that name something which the registry should hold, by what they are fields of."""
_ACTORS: Final[Mapping[type, tuple[str, ...]]] = {
    Grant: ("approved_by", "review.by"),
    Containment: ("set_by", "lifted_by"),
}
"""The fields that name who acted. Whoever acts need be no subject."""


class Named(NamedTuple):
    """A reference.

    Attributes:
        field: The field that holds it, as in ``holds.viewers``.
        kind: What it names.
        id: Its id.
    """

    field: str
    kind: FactKind
    id: str


def references_in(entity: Entity) -> Iterator[Named]:
    """Yield what *entity* names and the registry should hold."""
    for field, kind in _FIELDS.get(type(entity), ()):
        if field == "approved_by" and _opened_by_the_service(entity):
            continue
        for named in _at(entity, field.split(".")):
            yield Named(field, kind, named)


def persons_in(entity: Entity) -> Iterator[str]:
    """Yield the persons whom *entity* names, those included who act and need be no subjects."""
    if isinstance(entity, Subject):
        yield entity.id
    for named in references_in(entity):
        if named.kind is _SUBJECT:
            yield named.id
    for field in _ACTORS.get(type(entity), ()):
        yield from _at(entity, field.split("."))


def recordings_in(entity: Entity) -> Iterator[str]:
    """Yield the recordings that *entity* is, or names."""
    if isinstance(entity, Recording):
        yield entity.id
    for named in references_in(entity):
        if named.kind is _RECORDING:
            yield named.id


def _opened_by_the_service(entity: Entity) -> bool:
    """Whether *entity* is an emergency access that the service opened: no person approved it."""
    return (
        isinstance(entity, Grant)
        and entity.kind is GrantKind.EMERGENCY
        and entity.approved_by == APPROVER
    )


def _at(value: Any, path: list[str]) -> Iterator[str]:
    """Yield what stands in *value* at *path*, each of several, and nothing where there is none."""
    if isinstance(value, tuple):
        for each in value:
            yield from _at(each, path)
    elif value is not None and path:
        yield from _at(getattr(value, path[0]), path[1:])
    elif value is not None:
        yield value

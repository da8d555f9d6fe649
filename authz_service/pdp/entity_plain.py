"""Entities as plain values (proto3 JSON with snake_case names), checked strictly on the way in.

One description of every entity serves the import format, the stored rows and the wire. An enum
value is read with or without the prefix of its type, and written without it unless asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from authz_service.pdp import entities as e
from authz_service.pdp import entity_words as w
from authz_service.pdp import facts as f
from authz_service.pdp.errors import InvalidRequestError, Violation
from authz_service.pdp.model import Action
from authz_service.pdp.plain_fields import (
    ACTIONS,
    BOOL,
    DATE,
    ID,
    IDS,
    INSTANT,
    INTERVAL,
    TEXT,
    TIME_ZONE,
    Codec,
    Malformed,
    Plain,
    age,
    format_instant,
    list_of,
    one_of,
    parse_instant,
    read_field,
    required,
)

__all__ = [
    "Plain",
    "entity_from_plain",
    "entity_to_plain",
    "fact_from_plain",
    "fact_to_plain",
    "format_instant",
    "parse_instant",
]


def fact_from_plain(plain: Plain, path: str = "") -> f.Fact[e.Entity]:
    """Return the fact that *plain* holds: one entity, `source` and `observed_at`.

    Args:
        plain: The fact as JSON knows it.
        path: Where the fact stands, as the beginning of the fields named in violations.

    Raises:
        InvalidRequestError: Names the field that is malformed.
    """
    prefix = f"{path}." if path else ""
    try:
        kind = _kind_of(plain)
        entity = _read_entity(kind, plain[kind])
        source = read_field("source", ID.read, plain.get("source"))
        observed_at = read_field("observed_at", INSTANT.read, plain.get("observed_at"))
    except Malformed as wrong:
        place = (prefix + wrong.path).rstrip(".") or "fact"
        raise InvalidRequestError(Violation(place, wrong.text)) from None
    return f.Fact(entity, source, observed_at)


def entity_from_plain(kind: w.FactKind, plain: Plain) -> e.Entity:
    """Return the entity of *kind* that *plain* holds.

    Raises:
        InvalidRequestError: Names the field that is malformed.
    """
    try:
        return _read_entity(kind, plain)
    except Malformed as wrong:
        raise InvalidRequestError(Violation(wrong.path, wrong.text)) from None


def fact_to_plain(fact: f.Fact[e.Entity], *, long_names: bool = False) -> dict[str, Plain]:
    """Return *fact* as JSON knows it; with *long_names* enum values carry their type's prefix."""
    return {
        fact.kind.value: entity_to_plain(fact.entity, long_names=long_names),
        "source": fact.source,
        "observed_at": format_instant(fact.observed_at),
    }


def entity_to_plain(entity: e.Entity, *, long_names: bool = False) -> dict[str, Plain]:
    """Return *entity* as JSON knows it, fields that hold nothing left out."""
    return _write(entity, long_names)


def _kind_of(plain: Plain) -> w.FactKind:
    """Return the kind of the one entity that *plain* holds."""
    if not isinstance(plain, dict):
        raise Malformed("is not an object")
    kinds = [key for key in plain if key in _KIND_NAMES]
    unknown = sorted(str(key) for key in plain if key not in _FACT_FIELDS)
    if unknown:
        raise Malformed("is not a field of a fact", unknown[0])
    if len(kinds) != 1:
        raise Malformed(
            f"holds {len(kinds)} entities; a fact holds exactly one of "
            + ", ".join(sorted(_KIND_NAMES))
        )
    return w.FactKind(kinds[0])


def _read_entity(kind: w.FactKind, plain: Plain) -> e.Entity:
    """Read one entity; the path of what is malformed begins with its kind."""
    try:
        return cast("e.Entity", _read(e.ENTITY_TYPES[kind], plain))
    except Malformed as wrong:
        wrong.path = f"{kind.value}.{wrong.path}".rstrip(".")
        raise


def _read(made: type, plain: Plain) -> Any:
    """Read an object of type *made*."""
    if not isinstance(plain, dict):
        raise Malformed("is not an object")
    codecs = _FIELDS[made]
    values = {}
    for name, plain_value in plain.items():
        codec = codecs.get(name)
        if codec is None:
            raise Malformed("is not a field of " + made.__name__.lower(), str(name))
        if plain_value is None or plain_value == "":
            continue
        values[name] = read_field(name, codec.read, plain_value)
    for name, codec in codecs.items():
        if codec.required and name not in values:
            raise Malformed("is missing", name)
    return made(**values)


def _write(entity: Any, long_names: bool) -> dict[str, Plain]:  # noqa: FBT001  # any entity
    """Write an object, fields that hold their default left out."""
    plain = {}
    for name, codec in _FIELDS[type(entity)].items():
        value = getattr(entity, name)
        if value is None or value == () or (not codec.required and value == codec.default):
            continue
        plain[name] = codec.write(value, long_names)
    return plain


def _object(made: type) -> Codec:
    """Return the codec of a nested object."""
    return Codec(lambda plain: _read(made, plain), _write)


def _read_scope(plain: Plain) -> e.ContainmentScope:
    """Read the scope of a containment; one that sets no field would cover everything."""
    scope = cast("e.ContainmentScope", _read(e.ContainmentScope, plain))
    if scope == e.ContainmentScope():
        raise Malformed("sets no field; a scope sets at least one")
    return scope


_SCOPE = Codec(_read_scope, _write)
_FIELDS: dict[type, Mapping[str, Codec]] = {
    e.Tenant: {
        "id": required(ID),
        "time_zone": required(TIME_ZONE),
        "proxy_restricted_from_age": age(default=11),
        "proxy_suspended_from_age": age(default=16),
    },
    e.RoleAssignment: {"role": required(ID), **INTERVAL},
    e.Login: {"issuer": required(TEXT), "subject": required(TEXT)},
    e.Subject: {
        "id": required(ID),
        "tenant_id": required(ID),
        "kind": required(one_of(w.SubjectKind)),
        "status": required(one_of(w.SubjectStatus)),
        "birth_date": DATE,
        "roles": list_of(_object(e.RoleAssignment)),
        "logins": list_of(_object(e.Login)),
        "same_person_as": IDS,
        "family": IDS,
    },
    e.Consultation: {
        "id": required(ID),
        "tenant_id": required(ID),
        "patient_id": ID,
        "modality": one_of(w.Modality),
        "started_at": INSTANT,
        "ended_at": INSTANT,
    },
    e.Hold: {
        "matter_id": required(ID),
        "kind": required(one_of(w.HoldKind)),
        "viewers": IDS,
    },
    e.Recording: {
        "id": required(ID),
        "tenant_id": required(ID),
        "state": required(one_of(w.RecordingState)),
        "consultation_id": ID,
        "owner_id": ID,
        "sealed": BOOL,
        "named_viewers": IDS,
        "confidential_from_proxy": BOOL,
        "created_at": INSTANT,
        "created_by_release": TEXT,
        "retention_until": INSTANT,
        "holds": list_of(_object(e.Hold)),
    },
    e.Participant: {
        "subject_id": required(ID),
        "kind": required(one_of(w.ParticipantKind)),
        "joined_at": INSTANT,
        "left_at": INSTANT,
    },
    e.Attendance: {"id": required(ID), "participants": list_of(_object(e.Participant))},
    e.CompetenceReview: {
        "at": required(INSTANT),
        "outcome": required(one_of(w.CompetenceOutcome)),
    },
    e.Delegation: {
        "id": required(ID),
        "kind": required(one_of(w.DelegationKind)),
        "patient_id": ID,
        "delegate_id": ID,
        "actions": ACTIONS,
        **INTERVAL,
        "revoked_at": INSTANT,
        "patient_consented_at": INSTANT,
        "competence_review": _object(e.CompetenceReview),
    },
    e.Block: {
        "id": required(ID),
        "patient_id": required(ID),
        "delegate_id": required(ID),
        **INTERVAL,
    },
    e.Relationship: {
        "id": required(ID),
        "kind": required(one_of(w.RelationshipKind)),
        "patient_id": ID,
        "staff_id": ID,
        **INTERVAL,
    },
    e.GrantReview: {
        "at": required(INSTANT),
        "by": required(ID),
        "verdict": required(one_of(w.ReviewVerdict)),
    },
    e.Grant: {
        "id": required(ID),
        "kind": required(one_of(w.GrantKind)),
        "subject_id": ID,
        "recording_id": ID,
        "patient_id": ID,
        "actions": ACTIONS,
        **INTERVAL,
        "revoked_at": INSTANT,
        "matter_id": ID,
        "ground": one_of(w.EmergencyGround),
        "reason": TEXT,
        "approved_by": ID,
        "review": _object(e.GrantReview),
    },
    e.Consent: {
        "id": required(ID),
        "patient_id": required(ID),
        "scope": required(one_of(w.ConsentScope)),
        "status": required(one_of(w.ConsentStatus)),
        "effective_at": INSTANT,
    },
    e.ContainmentScope: {
        "audience": one_of(w.Audience),
        "tenant_id": ID,
        "action": one_of(Action),
        "created_by_release": TEXT,
        "recording_ids": IDS,
        "created_from": INSTANT,
        "created_to": INSTANT,
    },
    e.Containment: {
        "id": required(ID),
        "scope": required(_SCOPE),
        "reason": TEXT,
        "set_by": ID,
        "set_at": INSTANT,
        "lifted_by": ID,
        "lifted_at": INSTANT,
    },
}

_KIND_NAMES = frozenset(kind.value for kind in w.FactKind)
_FACT_FIELDS = _KIND_NAMES | {"source", "observed_at", "revision"}

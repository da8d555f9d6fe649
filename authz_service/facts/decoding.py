"""Reads stored entities fast: what the strict reader let in is not judged a second time.

`pdp.entity_plain` checks every field when a fact arrives; here the canonical JSON that it wrote is
turned back into the same values, several times faster. A property test holds the two together.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta, timezone
from typing import Any, Final

import orjson

from authz_service.pdp import facts as f
from authz_service.pdp.errors import FactsUnavailableError
from authz_service.pdp.model import Action, Instant

Plain = dict[str, Any]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=timezone.utc)  # noqa: UP017  # what `fromisoformat` gives
_MICROSECOND: Final = timedelta(microseconds=1)
_fromisoformat = datetime.fromisoformat

_ACTIONS: Final = {member.value: member for member in Action}
_SUBJECT_KINDS: Final = {member.value: member for member in f.SubjectKind}
_SUBJECT_STATUSES: Final = {member.value: member for member in f.SubjectStatus}
_MODALITIES: Final = {member.value: member for member in f.Modality}
_STATES: Final = {member.value: member for member in f.RecordingState}
_PARTICIPANTS: Final = {member.value: member for member in f.ParticipantKind}


def to_microseconds(instant: Instant) -> int:
    """Return *instant* as microseconds since 1970, exactly."""
    return (instant - _EPOCH) // _MICROSECOND


def from_microseconds(microseconds: int) -> Instant:
    """Return the instant that lies *microseconds* after 1970, exactly."""
    return _EPOCH + timedelta(microseconds=microseconds)


def entity_of(kind: f.FactKind, value: str | bytes) -> Any:
    """Return the stored entity of *kind*, of the type that goes with it.

    Raises:
        FactsUnavailableError: What is stored is not what this service stores.
    """
    try:
        return _READERS[kind](orjson.loads(value))
    except (KeyError, TypeError, ValueError, AttributeError):
        raise FactsUnavailableError(f"a stored {kind.value} is damaged") from None


def _at(plain: Plain, name: str) -> Instant | None:
    """Return the instant in a field."""
    text = plain.get(name)
    return _fromisoformat(text) if text else None


def _actions(plain: Plain) -> tuple[Action, ...]:
    """Return the actions in a fact."""
    return tuple([_ACTIONS[name] for name in plain.get("actions", ())])


def _tenant(plain: Plain) -> f.Tenant:
    return f.Tenant(**plain)


def _subject(plain: Plain) -> f.Subject:
    get = plain.get
    born = get("birth_date")
    return f.Subject(
        plain["id"],
        plain["tenant_id"],
        _SUBJECT_KINDS[plain["kind"]],
        _SUBJECT_STATUSES[plain["status"]],
        date.fromisoformat(born) if born else None,
        tuple(
            [
                f.RoleAssignment(role["role"], _at(role, "valid_from"), _at(role, "valid_to"))
                for role in get("roles", ())
            ]
        ),
        tuple([f.Login(login["issuer"], login["subject"]) for login in get("logins", ())]),
        tuple(get("same_person_as", ())),
        tuple(get("family", ())),
    )


def _consultation(plain: Plain) -> f.Consultation:
    modality = plain.get("modality")
    return f.Consultation(
        plain["id"],
        plain["tenant_id"],
        plain.get("patient_id"),
        _MODALITIES[modality] if modality else None,
        _at(plain, "started_at"),
        _at(plain, "ended_at"),
    )


def _recording(plain: Plain) -> f.Recording:
    get = plain.get
    return f.Recording(
        plain["id"],
        plain["tenant_id"],
        _STATES[plain["state"]],
        get("consultation_id"),
        get("owner_id"),
        get("sealed", False),
        tuple(get("named_viewers", ())),
        get("confidential_from_proxy", False),
        _at(plain, "created_at"),
        get("created_by_release"),
        _at(plain, "retention_until"),
        tuple([_hold(hold) for hold in get("holds", ())]),
    )


def _hold(plain: Plain) -> f.Hold:
    return f.Hold(plain["matter_id"], f.HoldKind(plain["kind"]), tuple(plain.get("viewers", ())))


def _attendance(plain: Plain) -> f.Attendance:
    return f.Attendance(plain["id"], tuple([_one(who) for who in plain.get("participants", ())]))


def _one(plain: Plain) -> f.Participant:
    joined, left = plain.get("joined_at"), plain.get("left_at")
    return f.Participant(
        plain["subject_id"],
        _PARTICIPANTS[plain["kind"]],
        _fromisoformat(joined) if joined else None,
        _fromisoformat(left) if left else None,
    )


def _delegation(plain: Plain) -> f.Delegation:
    review = plain.get("competence_review")
    return f.Delegation(
        plain["id"],
        f.DelegationKind(plain["kind"]),
        plain.get("patient_id"),
        plain.get("delegate_id"),
        _actions(plain),
        _at(plain, "valid_from"),
        _at(plain, "valid_to"),
        _at(plain, "revoked_at"),
        _at(plain, "patient_consented_at"),
        f.CompetenceReview(_fromisoformat(review["at"]), f.CompetenceOutcome(review["outcome"]))
        if review
        else None,
    )


def _block(plain: Plain) -> f.Block:
    return f.Block(
        plain["id"],
        plain["patient_id"],
        plain["delegate_id"],
        _at(plain, "valid_from"),
        _at(plain, "valid_to"),
    )


def _relationship(plain: Plain) -> f.Relationship:
    return f.Relationship(
        plain["id"],
        f.RelationshipKind(plain["kind"]),
        plain.get("patient_id"),
        plain.get("staff_id"),
        _at(plain, "valid_from"),
        _at(plain, "valid_to"),
    )


def _grant(plain: Plain) -> f.Grant:
    get = plain.get
    ground, review = get("ground"), get("review")
    return f.Grant(
        plain["id"],
        f.GrantKind(plain["kind"]),
        get("subject_id"),
        get("recording_id"),
        get("patient_id"),
        _actions(plain),
        _at(plain, "valid_from"),
        _at(plain, "valid_to"),
        _at(plain, "revoked_at"),
        get("matter_id"),
        f.EmergencyGround(ground) if ground else None,
        get("reason"),
        get("approved_by"),
        f.GrantReview(
            _fromisoformat(review["at"]), review["by"], f.ReviewVerdict(review["verdict"])
        )
        if review
        else None,
    )


def _consent(plain: Plain) -> f.Consent:
    return f.Consent(
        plain["id"],
        plain["patient_id"],
        f.ConsentScope(plain["scope"]),
        f.ConsentStatus(plain["status"]),
        _at(plain, "effective_at"),
    )


def _containment(plain: Plain) -> f.Containment:
    get, scope = plain.get, plain["scope"]
    audience, action = scope.get("audience"), scope.get("action")
    return f.Containment(
        plain["id"],
        f.ContainmentScope(
            f.Audience(audience) if audience else None,
            scope.get("tenant_id"),
            _ACTIONS[action] if action else None,
            scope.get("created_by_release"),
            tuple(scope.get("recording_ids", ())),
            _at(scope, "created_from"),
            _at(scope, "created_to"),
        ),
        get("reason"),
        get("set_by"),
        _at(plain, "set_at"),
        get("lifted_by"),
        _at(plain, "lifted_at"),
    )


_READERS: Final[dict[f.FactKind, Callable[[Plain], f.Entity]]] = {
    f.FactKind.TENANT: _tenant,
    f.FactKind.SUBJECT: _subject,
    f.FactKind.CONSULTATION: _consultation,
    f.FactKind.RECORDING: _recording,
    f.FactKind.ATTENDANCE: _attendance,
    f.FactKind.DELEGATION: _delegation,
    f.FactKind.BLOCK: _block,
    f.FactKind.RELATIONSHIP: _relationship,
    f.FactKind.GRANT: _grant,
    f.FactKind.CONSENT: _consent,
    f.FactKind.CONTAINMENT: _containment,
}

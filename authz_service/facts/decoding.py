"""Reads stored entities fast: what the strict reader let in is not judged a second time.

`pdp.entity_plain` checks every field when a fact arrives; here the canonical JSON that it wrote is
turned back into the same values, several times faster. A property test holds the two together.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta, timezone
from typing import Any, Final

import orjson

from authz_service.pdp import entities as e
from authz_service.pdp import entity_words as w
from authz_service.pdp.errors import FactsUnavailableError
from authz_service.pdp.model import Action, Instant

Plain = dict[str, Any]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=timezone.utc)  # noqa: UP017  # what `fromisoformat` gives
_MICROSECOND: Final = timedelta(microseconds=1)
_fromisoformat = datetime.fromisoformat

_ACTIONS: Final = {member.value: member for member in Action}
_SUBJECT_KINDS: Final = {member.value: member for member in w.SubjectKind}
_SUBJECT_STATUSES: Final = {member.value: member for member in w.SubjectStatus}
_MODALITIES: Final = {member.value: member for member in w.Modality}
_STATES: Final = {member.value: member for member in w.RecordingState}
_PARTICIPANTS: Final = {member.value: member for member in w.ParticipantKind}


def to_microseconds(instant: Instant) -> int:
    """Return *instant* as microseconds since 1970, exactly."""
    return (instant - _EPOCH) // _MICROSECOND


def from_microseconds(microseconds: int) -> Instant:
    """Return the instant that lies *microseconds* after 1970, exactly."""
    return _EPOCH + timedelta(microseconds=microseconds)


def entity_of(kind: w.FactKind, value: str | bytes) -> Any:
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


def _tenant(plain: Plain) -> e.Tenant:
    return e.Tenant(**plain)


def _subject(plain: Plain) -> e.Subject:
    get = plain.get
    born = get("birth_date")
    return e.Subject(
        plain["id"],
        plain["tenant_id"],
        _SUBJECT_KINDS[plain["kind"]],
        _SUBJECT_STATUSES[plain["status"]],
        date.fromisoformat(born) if born else None,
        tuple(
            [
                e.RoleAssignment(role["role"], _at(role, "valid_from"), _at(role, "valid_to"))
                for role in get("roles", ())
            ]
        ),
        tuple([e.Login(login["issuer"], login["subject"]) for login in get("logins", ())]),
        tuple(get("same_person_as", ())),
        tuple(get("family", ())),
    )


def _consultation(plain: Plain) -> e.Consultation:
    modality = plain.get("modality")
    return e.Consultation(
        plain["id"],
        plain["tenant_id"],
        plain.get("patient_id"),
        _MODALITIES[modality] if modality else None,
        _at(plain, "started_at"),
        _at(plain, "ended_at"),
    )


def _recording(plain: Plain) -> e.Recording:
    get = plain.get
    return e.Recording(
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


def _hold(plain: Plain) -> e.Hold:
    return e.Hold(plain["matter_id"], w.HoldKind(plain["kind"]), tuple(plain.get("viewers", ())))


def _attendance(plain: Plain) -> e.Attendance:
    return e.Attendance(plain["id"], tuple([_one(who) for who in plain.get("participants", ())]))


def _one(plain: Plain) -> e.Participant:
    joined, left = plain.get("joined_at"), plain.get("left_at")
    return e.Participant(
        plain["subject_id"],
        _PARTICIPANTS[plain["kind"]],
        _fromisoformat(joined) if joined else None,
        _fromisoformat(left) if left else None,
    )


def _delegation(plain: Plain) -> e.Delegation:
    review = plain.get("competence_review")
    return e.Delegation(
        plain["id"],
        w.DelegationKind(plain["kind"]),
        plain.get("patient_id"),
        plain.get("delegate_id"),
        _actions(plain),
        _at(plain, "valid_from"),
        _at(plain, "valid_to"),
        _at(plain, "revoked_at"),
        _at(plain, "patient_consented_at"),
        e.CompetenceReview(_fromisoformat(review["at"]), w.CompetenceOutcome(review["outcome"]))
        if review
        else None,
    )


def _block(plain: Plain) -> e.Block:
    return e.Block(
        plain["id"],
        plain["patient_id"],
        plain["delegate_id"],
        _at(plain, "valid_from"),
        _at(plain, "valid_to"),
    )


def _relationship(plain: Plain) -> e.Relationship:
    return e.Relationship(
        plain["id"],
        w.RelationshipKind(plain["kind"]),
        plain.get("patient_id"),
        plain.get("staff_id"),
        _at(plain, "valid_from"),
        _at(plain, "valid_to"),
    )


def _grant(plain: Plain) -> e.Grant:
    get = plain.get
    ground, review = get("ground"), get("review")
    return e.Grant(
        plain["id"],
        w.GrantKind(plain["kind"]),
        get("subject_id"),
        get("recording_id"),
        get("patient_id"),
        _actions(plain),
        _at(plain, "valid_from"),
        _at(plain, "valid_to"),
        _at(plain, "revoked_at"),
        get("matter_id"),
        w.EmergencyGround(ground) if ground else None,
        get("reason"),
        get("approved_by"),
        e.GrantReview(
            _fromisoformat(review["at"]), review["by"], w.ReviewVerdict(review["verdict"])
        )
        if review
        else None,
    )


def _consent(plain: Plain) -> e.Consent:
    return e.Consent(
        plain["id"],
        plain["patient_id"],
        w.ConsentScope(plain["scope"]),
        w.ConsentStatus(plain["status"]),
        _at(plain, "effective_at"),
    )


def _containment(plain: Plain) -> e.Containment:
    get, scope = plain.get, plain["scope"]
    audience, action = scope.get("audience"), scope.get("action")
    return e.Containment(
        plain["id"],
        e.ContainmentScope(
            w.Audience(audience) if audience else None,
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


_READERS: Final[dict[w.FactKind, Callable[[Plain], e.Entity]]] = {
    w.FactKind.TENANT: _tenant,
    w.FactKind.SUBJECT: _subject,
    w.FactKind.CONSULTATION: _consultation,
    w.FactKind.RECORDING: _recording,
    w.FactKind.ATTENDANCE: _attendance,
    w.FactKind.DELEGATION: _delegation,
    w.FactKind.BLOCK: _block,
    w.FactKind.RELATIONSHIP: _relationship,
    w.FactKind.GRANT: _grant,
    w.FactKind.CONSENT: _consent,
    w.FactKind.CONTAINMENT: _containment,
}

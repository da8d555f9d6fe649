"""What may be taken away from somebody who may view: each kind with its world, one per trial."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from tests.e2e.clinic import LATER, SEEN, TENANT, Plain, fact, patient, recorded

_ENDED = "2022-01-01T00:00:00Z"
_CARE = {"purpose_of_use": "TREAT", "assurance": "MULTI_FACTOR"}
_FAMILY = {"purpose_of_use": "FAMRQT"}
_OWN = {"purpose_of_use": "PATRQT"}


class Trial(NamedTuple):
    """Somebody who may view a recording, and what takes that away.

    Attributes:
        subject: Who may.
        recording: Which recording.
        context: In which circumstances.
        given: The facts by which they may.
        revoked: The facts that take it away.
        tidied: The facts that leave nothing behind for the trials that follow.
    """

    subject: str
    recording: str
    context: Plain
    given: Sequence[Plain]
    revoked: Sequence[Plain]
    tidied: Sequence[Plain] = ()


def trial_of(kind: str, name: str) -> Trial:
    """Return a trial of *kind*, one of `KINDS`, on people and a recording of its own."""
    return _TRIALS[kind](f"t-{name}")


def _owned(name: str, *revoked: Plain, tidied: Sequence[Plain] = ()) -> Trial:
    """Return a trial of the patient, who owns the recording."""
    given = [patient(f"{name}-p"), *recorded(name, f"{name}-p")]
    return Trial(f"{name}-p", name, _OWN, given, revoked, tidied)


def _for_another(name: str, context: Plain, given: Plain, *revoked: Plain) -> Trial:
    """Return a trial of another than the patient, to whom *given* opens the recording."""
    people = [patient(f"{name}-p"), patient(f"{name}-o")]
    return Trial(
        f"{name}-o", name, context, [*people, *recorded(name, f"{name}-p"), given], revoked
    )


def _changed_recording(name: str, **fields: Any) -> Plain:
    """Return the recording as it is said to be later."""
    (changed,) = (one for one in recorded(name, f"{name}-p", **fields) if "recording" in one)
    return {**changed, "observed_at": LATER}


def _share(name: str) -> Trial:
    grant: Plain = {
        "id": name, "kind": "SHARE", "subject_id": f"{name}-o", "recording_id": name,
        "actions": ["VIEW"], "valid_from": SEEN, "approved_by": f"{name}-p",
    }  # fmt: skip
    taken = fact("grant", observed_at=LATER, **grant, revoked_at=LATER)
    return _for_another(name, _FAMILY, fact("grant", **grant), taken)


def _delegation(name: str) -> Plain:
    return {
        "id": name, "patient_id": f"{name}-p", "delegate_id": f"{name}-o", "kind": "CONSENTED",
        "actions": ["VIEW"], "valid_from": SEEN, "patient_consented_at": SEEN,
    }  # fmt: skip


def _delegate(name: str) -> Trial:
    taken = fact("delegation", observed_at=LATER, **_delegation(name), revoked_at=LATER)
    return _for_another(name, _FAMILY, fact("delegation", **_delegation(name)), taken)


def _block(name: str) -> Trial:
    block = fact("block", id=name, patient_id=f"{name}-p", delegate_id=f"{name}-o")
    return _for_another(name, _FAMILY, fact("delegation", **_delegation(name)), block)


def _treating(name: str) -> Trial:
    care = {"id": name, "patient_id": f"{name}-p", "staff_id": f"{name}-s", "kind": "REFERRAL"}
    staff = fact(
        "subject",
        id=f"{name}-s",
        tenant_id=TENANT,
        kind="STAFF",
        status="ACTIVE",
        roles=[{"role": "clinician", "valid_from": SEEN}],
    )
    given = [
        patient(f"{name}-p"),
        staff,
        *recorded(name, f"{name}-p"),
        fact("relationship", **care, valid_from=SEEN),
    ]
    ended = fact("relationship", observed_at=LATER, **care, valid_from=SEEN, valid_to=_ENDED)
    return Trial(f"{name}-s", name, _CARE, given, [ended])


def _suspended(name: str) -> Trial:
    closed = patient(f"{name}-p")
    subject = {**closed["subject"], "status": "SUSPENDED"}
    return _owned(name, {**closed, "subject": subject, "observed_at": LATER})


def _reattributed(name: str) -> Trial:
    changed = _changed_recording(name)
    recording = {**changed["recording"], "owner_id": f"{name}-x"}
    return _owned(name, {**changed, "recording": recording})


def _quarantined(name: str) -> Trial:
    changed = _changed_recording(name)
    return _owned(name, {**changed, "recording": {**changed["recording"], "state": "QUARANTINED"}})


def _frozen(name: str) -> Trial:
    return _owned(name, _changed_recording(name, holds=[{"matter_id": "m-1", "kind": "FREEZE"}]))


def _contained(name: str) -> Trial:
    containment: Plain = {
        "id": name, "scope": {"recording_ids": [name]}, "reason": "trial", "set_by": "ada",
        "set_at": SEEN,
    }  # fmt: skip
    lifted = {**containment, "lifted_by": "operator-2", "lifted_at": LATER}
    return _owned(
        name,
        fact("containment", **containment),
        tidied=[fact("containment", observed_at=LATER, **lifted)],
    )


def _another_was_there(name: str) -> Trial:
    attended = [{"subject_id": f"{name}-x", "kind": "PATIENT"}]
    return _owned(name, fact("attendance", observed_at=LATER, id=name, participants=attended))


_TRIALS: dict[str, Callable[[str], Trial]] = {
    "share revoked": _share,
    "delegation revoked": _delegate,
    "block set": _block,
    "care ended": _treating,
    "account suspended": _suspended,
    "owner changed": _reattributed,
    "recording quarantined": _quarantined,
    "recording frozen": _frozen,
    "recording contained": _contained,
    "attendance corrected": _another_was_there,
}
KINDS = tuple(_TRIALS)
"""Everything that is tried."""

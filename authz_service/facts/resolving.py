"""Lifts the mark that a change of owner left, once a person says that the facts are right."""

from __future__ import annotations

from hashlib import sha256
from typing import Final

from authz_service.facts.decoding import to_microseconds
from authz_service.facts.recordings import judged
from authz_service.facts.revisions import begin_write, record_attributions, record_write
from authz_service.facts.sessions import Session
from authz_service.facts.tenancy import require_recording_within
from authz_service.operations.writes import Resolution, Tenants
from authz_service.pdp.errors import NotFoundError, StateError
from authz_service.pdp.model import Instant

_DISPUTED: Final = "SELECT 1 FROM attributions WHERE recording_id = :recording_id AND disputed"
_RESOLVE: Final = (
    "UPDATE attributions SET disputed = :disputed, patient_id = :patient_id,"
    " resolved_by = :actor, resolved_reason = :reason,"
    " resolved_reason_digest = :reason_digest,"
    " resolved_at_revision = :revision WHERE recording_id = :recording_id"
)


def resolve_dispute(
    session: Session,
    recording_id: str,
    *,
    actor: str,
    reason: str,
    now: Instant,
    within: Tenants = None,
) -> Resolution:
    """Lift the mark of a recording whose facts agree as they stand, and note whose it is now.

    The words of *reason* stand in the registry, where they can be erased; the journal holds only
    their digest.

    Raises:
        CallerNotAllowedError: The recording is not of the tenants in *within*, or is not known.
        NotFoundError: No fact knows the recording.
        StateError: The facts disagree or are incomplete as they stand, or nothing is marked.
    """
    write = begin_write(session, actor, to_microseconds(now))
    require_recording_within(session, within, recording_id)
    found = judged(session, [recording_id], ignoring_disputes=True).get(recording_id)
    what = f"recording {recording_id}"
    if found is None:
        raise NotFoundError(what)
    patient_id = found.corroborated_patient_id
    if patient_id is None:
        words = found.facts.attribution.disagreements or (
            "the patient is not known, or is of another tenant",
        )
        raise StateError(what, "the facts have to agree first: " + ", ".join(words))
    if session.one(_DISPUTED, {"recording_id": recording_id}) is None:
        raise StateError(what, "nothing is disputed")
    session.run(
        _RESOLVE,
        {
            "disputed": False,
            "patient_id": patient_id,
            "actor": actor,
            "reason": reason,
            "reason_digest": sha256(reason.encode()).hexdigest(),
            "revision": write.revision,
            "recording_id": recording_id,
        },
    )
    record_attributions(session, write, {recording_id: False})
    record_write(session, write, 0)
    return Resolution(write.revision, patient_id)

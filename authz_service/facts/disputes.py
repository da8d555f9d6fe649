"""Keeps in mind whose a recording was, and disputes it when its owner is changed afterwards.

What is noted stands beside the facts, so that neither deleting and writing a recording again nor
doing it in several small writes hides that its owner changed.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from authz_service.facts.changes import Change
from authz_service.facts.recordings import judged
from authz_service.facts.sessions import Session
from authz_service.pdp.entities import Recording, Subject
from authz_service.pdp.entity_words import FactKind

_BOOKED: Final = "SELECT id FROM recordings WHERE consultation_id = ANY(:ids)"
_OWNED: Final = "SELECT id FROM recordings WHERE owner_id = ANY(:ids)"
_NOTED: Final = (
    "SELECT recording_id, patient_id, disputed FROM attributions"
    " WHERE recording_id = ANY(:ids) AND patient_id IS NOT NULL"
)
_NOTE: Final = (
    "INSERT INTO attributions (recording_id, patient_id, disputed)"
    " VALUES (?, ?, ?)"
    " ON CONFLICT (recording_id) DO UPDATE SET patient_id = excluded.patient_id"
)
_DISPUTE: Final = (
    "UPDATE attributions SET disputed = ?, disputed_at_revision = ? WHERE recording_id = ?"
)


def note_established(session: Session, changes: Collection[Change]) -> None:
    """Note the patients of recordings that are corroborated now and that *changes* may unsettle.

    Called before any of *changes* is made.
    """
    affected = _unsettled(session, changes)
    if not affected:
        return
    noted = {row[0] for row in session.rows(_NOTED, {"ids": affected})}
    established = {
        recording_id: found.corroborated_patient_id
        for recording_id, found in judged(session, affected - noted).items()
    }
    session.run_many(
        _NOTE,
        [
            (recording_id, patient_id, False)
            for recording_id, patient_id in established.items()
            if patient_id
        ],
    )


def dispute(session: Session, changes: Collection[Change], revision: int) -> list[str]:
    """Mark the recordings that *changes* took from whom they were known to be of; return them.

    Called after *changes* were made.
    """
    owners = {
        change.id: change.new.owner_id for change in changes if isinstance(change.new, Recording)
    }
    if not owners:
        return []
    taken = [
        recording_id
        for recording_id, patient_id, disputed in session.rows(_NOTED, {"ids": list(owners)})
        if not disputed and owners[recording_id] != patient_id
    ]
    session.run_many(
        _DISPUTE,
        [(True, revision, one) for one in taken],
    )
    return taken


def recordings_of(session: Session, changes: Collection[Change]) -> dict[str, list[str]]:
    """Return the recordings of each consultation in *changes*, as they stand before or after."""
    ids = [change.id for change in changes if change.kind is FactKind.CONSULTATION]
    found: dict[str, list[str]] = {}
    if ids:
        statement = "SELECT consultation_id, id FROM recordings WHERE consultation_id = ANY(:ids)"
        for consultation_id, recording_id in session.rows(statement, {"ids": ids}):
            found.setdefault(consultation_id, []).append(recording_id)
    return found


def owned_by_moved(session: Session, changes: Collection[Change]) -> frozenset[str]:
    """Return the recordings owned by subjects that come, go or change their tenant."""
    moved = [
        change.id
        for change in changes
        if change.kind is FactKind.SUBJECT and _tenant(change.old) != _tenant(change.new)
    ]
    rows = session.rows(_OWNED, {"ids": moved}) if moved else []
    return frozenset(row[0] for row in rows)


def _unsettled(session: Session, changes: Collection[Change]) -> set[str]:
    """Return the recordings whose standing may fall because of *changes* to what is stored."""
    stored = [change for change in changes if change.old is not None]
    ids = {
        change.id for change in stored if change.kind in {FactKind.RECORDING, FactKind.ATTENDANCE}
    }
    booked = [change.id for change in stored if change.kind is FactKind.CONSULTATION]
    if booked:
        ids.update(row[0] for row in session.rows(_BOOKED, {"ids": booked}))
    return ids | owned_by_moved(session, stored)


def _tenant(entity: object) -> str | None:
    """Return the tenant of a subject, or None where there is none."""
    return entity.tenant_id if isinstance(entity, Subject) else None

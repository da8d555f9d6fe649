"""Erases a patient: facts become tombstones that nothing overwrites, history and words go.

GDPR, article 17. What is said of other people stays, even where it names the patient's id; so do
the records of decisions, which hold ids alone and are evidence (article 17(3)(b) and (e)).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final

from authz_service.facts.changes import Change, make_changes
from authz_service.facts.decoding import to_microseconds
from authz_service.facts.disputes import recordings_of
from authz_service.facts.erasable import Erasable, erasable
from authz_service.facts.links import links_around
from authz_service.facts.notes import record_note
from authz_service.facts.reach import forget_reach, note_reach
from authz_service.facts.revisions import Write, begin_write, record_changes, record_write
from authz_service.facts.rows import Stored
from authz_service.facts.sessions import Session
from authz_service.facts.touched import touched_keys
from authz_service.operations.writes import Erasure, Tenants
from authz_service.pdp.entity_words import FactKind
from authz_service.pdp.facts import FactReference
from authz_service.pdp.model import Instant

ERASED_AT: Final = 253_402_300_799_999_999
"""When an erased fact was seen last: the end of the year 9999, so that none is seen later."""
ERASURE_SOURCE: Final = "erasure"
"""Who says so, of a tombstone that an erasure leaves."""

_FORGET_VALUES: Final = (
    "UPDATE fact_changes SET value = NULL WHERE kind = ? AND id = ? AND NOT in_place"
)
_FORGET_IN_PLACE: Final = (
    "UPDATE fact_changes SET value = NULL, in_place = false"
    " WHERE revision = ? AND kind = ? AND id = ?"
)
_FORGET_VERSION: Final = (
    "UPDATE fact_changes SET value = NULL WHERE revision = ? AND kind = ? AND id = ?"
)
_FORGET_NOTE: Final = "DELETE FROM fact_notes WHERE revision = ? AND kind = ? AND id = ?"
_FORGET_NOTES: Final = "DELETE FROM fact_notes WHERE kind = ? AND id = ?"
_FORGET_MENTIONS: Final = "DELETE FROM past_mentions WHERE named_id = :id"
_FORGET_PATIENTS: Final = "DELETE FROM attributions WHERE recording_id = ANY(:ids)"


def erase_person(
    session: Session,
    patient_id: str,
    *,
    actor: str,
    reason: str,
    now: Instant,
    within: Tenants = None,
) -> Erasure:
    """Erase a patient, in one write.

    Raises:
        CallerNotAllowedError: The patient is not of the tenants in *within*, or is not known.
        NotFoundError: No fact knows the patient.
        StateError: They are no patient, a legal hold is on a recording of theirs, the facts
            about one name somebody else as well, or an emergency access to them is not reviewed.
    """
    write = begin_write(session, actor, to_microseconds(now))
    found = erasable(session, patient_id, within)
    changes = _changes(found, write)
    _make(session, write, changes)
    _purge(session, found)
    record_note(session, FactReference(FactKind.SUBJECT, patient_id), write.revision, reason)
    record_write(session, write, len(found.stored))
    return Erasure(write.revision, len(found.stored), found.naming)


def _changes(found: Erasable, write: Write) -> list[Change]:
    """Return the changes that leave a tombstone of each fact.

    Also of what was deleted before or is not here yet: it may be sent, and would be about them.
    """
    row = Stored(None, ERASURE_SOURCE, ERASED_AT, write.revision)
    current = [
        Change(reference, entity, None, row, found.rows[reference])
        for reference, entity in found.stored.items()
    ]
    return current + [Change(reference, None, None, row) for reference in found.absent]


def _make(session: Session, write: Write, changes: Collection[Change]) -> None:
    """Make *changes*, with all that follows but history."""
    relinked = frozenset(change.id for change in changes if change.relinks)
    before = links_around(session, relinked)
    booked = recordings_of(session, changes)
    unsettled = forget_reach(session, changes)
    make_changes(session, changes)
    note_reach(session, changes, unsettled)
    after = links_around(session, relinked)
    touched = [(change, touched_keys(change, booked, (before, after))) for change in changes]
    record_changes(session, write, touched)


def _purge(session: Session, found: Erasable) -> None:
    """Take out of history what it says of the patient, and the words beside their facts."""
    everything = [*found.stored, *found.absent]
    named = _named(everything)
    session.run_many(_FORGET_VALUES, named)
    session.run_many(
        _FORGET_IN_PLACE,
        [(found.rows[one].revision, one.kind.value, one.id) for one in found.stored],
    )
    versions = [(revision, one.kind.value, one.id) for one, revision in found.versions]
    session.run_many(_FORGET_VERSION, versions)
    session.run_many(_FORGET_NOTE, versions)
    session.run_many(_FORGET_NOTES, named)
    session.run(_FORGET_MENTIONS, {"id": found.patient_id})
    recordings = [one.id for one in everything if one.kind is FactKind.RECORDING]
    session.run(_FORGET_PATIENTS, {"ids": recordings})


def _named(references: Iterable[FactReference]) -> list[tuple[str, str]]:
    """Return kind and id of each of *references*."""
    return [(one.kind.value, one.id) for one in references]

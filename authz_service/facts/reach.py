"""Keeps up who may have which relation to which recording, so that lists are read in order.

A row of `recording_reach` says that a stored recording can be reached by a subject in a way: what
gives a relation is stored, whether it does now is judged by the decision. So a way goes with the
fact that opens it, and intervals, approvals and revocations change nothing here. Owners have no
way: their recordings are found by the recordings themselves.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Final

from authz_service.facts.changes import Change
from authz_service.facts.decoding import to_microseconds
from authz_service.facts.sessions import Row, Session
from authz_service.pdp.entities import (
    Attendance,
    Delegation,
    Entity,
    Grant,
    Recording,
    Relationship,
)
from authz_service.pdp.entity_words import FactKind, ParticipantKind
from authz_service.pdp.model import Relation

WAYS: Final[dict[Relation, tuple[str, ...]]] = {
    Relation.ATTENDING: ("attending",),
    Relation.OTHER_PARTICIPANT: ("beside",),
    Relation.TREATING: ("treating",),
    Relation.GUARDIAN: ("proxy",),
    Relation.DELEGATE: ("proxy",),
    Relation.GRANTEE: ("SHARE",),
    Relation.EMERGENCY: ("EMERGENCY",),
    Relation.LEGAL: ("LEGAL", "hold"),
    Relation.QUALITY: ("QUALITY",),
}
"""The ways by which a subject may come to each relation; a grant is a way by its kind."""

_ATTENDED: Final = (
    "SELECT f.subject_id, CASE f.kind WHEN 'CLINICIAN' THEN 'attending' ELSE 'beside' END,"
    " r.created_at, r.id FROM attendance_participants f JOIN recordings r ON r.id = f.recording_id"
    " WHERE r.created_at IS NOT NULL AND f.kind <> 'PATIENT'"
)
_TREATED: Final = (
    "SELECT f.staff_id, 'treating', r.created_at, r.id"
    " FROM relationships f JOIN recordings r ON r.owner_id = f.patient_id"
    " WHERE r.created_at IS NOT NULL AND f.staff_id IS NOT NULL"
)
_ACTED_FOR: Final = (
    "SELECT f.delegate_id, 'proxy', r.created_at, r.id"
    " FROM delegations f JOIN recordings r ON r.owner_id = f.patient_id"
    " WHERE r.created_at IS NOT NULL AND f.delegate_id IS NOT NULL"
)
_GRANTED: Final = (
    "SELECT f.subject_id, f.value::json ->> 'kind', r.created_at, r.id"
    " FROM grants f JOIN recordings r ON r.id = f.recording_id"
    " WHERE r.created_at IS NOT NULL AND f.subject_id IS NOT NULL"
)
_GRANTED_ON_ALL: Final = (
    "SELECT f.subject_id, f.value::json ->> 'kind', r.created_at, r.id"
    " FROM grants f JOIN recordings r ON r.owner_id = f.patient_id"
    " WHERE r.created_at IS NOT NULL AND f.subject_id IS NOT NULL AND f.recording_id IS NULL"
)
_OF_FACTS: Final = " AND f.id = ANY(:ids)"
_OF_RECORDINGS: Final = " AND r.id = ANY(:ids)"


def _all_of(selects: Iterable[str], condition: str) -> str:
    """Return one statement for the rows of all of *selects* to which *condition* applies."""
    return " UNION ".join(f"{select}{condition}" for select in selects)


EVERY_WAY: Final = (_ATTENDED, _TREATED, _ACTED_FOR, _GRANTED, _GRANTED_ON_ALL)
"""What columns say of every way but holds, whose viewers stand in the recordings themselves."""

OF_RECORDINGS: Final = _all_of(EVERY_WAY, _OF_RECORDINGS)
OF_ATTENDANCES: Final = _all_of((_ATTENDED,), _OF_RECORDINGS)
OF_FACTS: Final = {
    FactKind.RELATIONSHIP: _all_of((_TREATED,), _OF_FACTS),
    FactKind.DELEGATION: _all_of((_ACTED_FOR,), _OF_FACTS),
    FactKind.GRANT: _all_of((_GRANTED, _GRANTED_ON_ALL), _OF_FACTS),
}
"""The rows that come of some recordings, of some attendances, and of some other facts."""

_OF_NEW: Final = {
    FactKind.RECORDING: OF_RECORDINGS,
    FactKind.ATTENDANCE: OF_ATTENDANCES,
    **OF_FACTS,
}
REACH_COLUMNS: Final = ("subject_id", "way", "created_at", "recording_id")
_PUT: Final = f"INSERT INTO recording_reach ({', '.join(REACH_COLUMNS)}) "
_ONCE: Final = " ON CONFLICT DO NOTHING"
NOTE: Final = f"{_PUT}VALUES (?, ?, ?, ?){_ONCE}"
FORGET: Final = (
    "DELETE FROM recording_reach"
    " WHERE subject_id = ? AND way = ? AND created_at = ? AND recording_id = ?"
)


def filling(select: str) -> str:
    """Return the statement that notes the rows of *select*."""
    return f"{_PUT}SELECT * FROM ({select}) found WHERE TRUE{_ONCE}"  # noqa: S608  # a statement of ours


def forget_reach(session: Session, changes: Collection[Change]) -> frozenset[str]:
    """Take away what rests on the facts that *changes* replace; return the recordings.

    Called before any of *changes* is made. What rests on other facts as well goes too, and comes
    back by `note_reach`.
    """
    stored = [change for change in changes if change.old is not None and _matters(change)]
    if not stored:
        return frozenset()
    rows = {row for change in stored for row in holds_of(change.old)}
    for statement, ids in _derivations(stored, frozenset()):
        rows.update(session.rows(statement, {"ids": ids}))
    session.run_many(FORGET, sorted(rows))
    return frozenset(row[3] for row in rows)


def note_reach(session: Session, changes: Collection[Change], unsettled: frozenset[str]) -> None:
    """Note what *changes* open, and all that is open to the *unsettled* recordings.

    Called after *changes* were made, with what `forget_reach` returned before.
    """
    made = [change for change in changes if change.new is not None and _matters(change)]
    for statement, ids in _derivations(made, unsettled):
        session.run(filling(statement), {"ids": ids})
    session.run_many(NOTE, sorted(row for change in made for row in holds_of(change.new)))


def note_reach_of_new(session: Session, ids: Mapping[FactKind, Collection[str]]) -> None:
    """Note what new facts open, which are stored by now, as are the viewers of their holds.

    Args:
        session: The write.
        ids: The facts by kind.
    """
    whole = frozenset(ids.get(FactKind.RECORDING, ()))
    for kind, statement in _OF_NEW.items():
        named = ids.get(kind, ())
        if kind is FactKind.ATTENDANCE:
            named = [one for one in named if one not in whole]
        if named:
            session.run(filling(statement), {"ids": named})


def holds_of(entity: Entity | None) -> set[Row]:
    """Return the rows of those who view a recording because a legal hold names them."""
    if not isinstance(entity, Recording) or entity.created_at is None:
        return set()
    made_at = to_microseconds(entity.created_at)
    return {
        (viewer, "hold", made_at, entity.id) for hold in entity.holds for viewer in hold.viewers
    }


def _derivations(
    changes: Iterable[Change], unsettled: frozenset[str]
) -> Iterator[tuple[str, list[str]]]:
    """Yield the statements for the rows that rest on *changes*, each with the ids that it takes."""
    of_kind: dict[FactKind, list[str]] = {}
    for change in changes:
        of_kind.setdefault(change.kind, []).append(change.id)
    whole = unsettled.union(of_kind.pop(FactKind.RECORDING, ()))
    attended = whole.union(of_kind.pop(FactKind.ATTENDANCE, ())) - whole
    if whole:
        yield OF_RECORDINGS, sorted(whole)
    if attended:
        yield OF_ATTENDANCES, sorted(attended)
    for kind, ids in of_kind.items():
        yield OF_FACTS[kind], ids


def _matters(change: Change) -> bool:
    """Whether *change* opens or closes a way."""
    return _opened_by(change.old) != _opened_by(change.new)


def _opened_by(entity: Entity | None) -> object:
    """Return all of *entity* on which ways rest; None where none does."""
    match entity:
        case Recording():
            return entity.owner_id, entity.created_at, holds_of(entity)
        case Attendance():
            return {
                (who.subject_id, who.kind is ParticipantKind.CLINICIAN)
                for who in entity.participants
                if who.kind is not ParticipantKind.PATIENT
            }
        case Relationship():
            return entity.patient_id, entity.staff_id
        case Delegation():
            return entity.patient_id, entity.delegate_id
        case Grant():
            return entity.kind, entity.subject_id, entity.recording_id, entity.patient_id
        case _:
            return None

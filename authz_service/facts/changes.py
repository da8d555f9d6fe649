"""What a write changes, fact by fact, and how rows come to say so."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from authz_service.facts.rows import (
    Stored,
    links_of,
    participants_of,
    row_of,
    trace_of,
    write_rows,
)
from authz_service.facts.sessions import Row, Session
from authz_service.pdp.entities import Attendance, Entity, Subject
from authz_service.pdp.entity_words import FactKind
from authz_service.pdp.facts import FactReference

_FORGET_PARTICIPANTS = "DELETE FROM attendance_participants WHERE recording_id = ANY(:ids)"
_NOTE_PARTICIPANT = (
    "INSERT INTO attendance_participants (recording_id, subject_id, kind) VALUES (?, ?, ?)"
)
_FORGET_LINKS = "DELETE FROM subject_links WHERE subject_id = ANY(:ids)"
_NOTE_LINK = "INSERT INTO subject_links (subject_id, kind, other_id) VALUES (?, ?, ?)"


@dataclass(frozen=True, slots=True)
class Change:
    """One fact that a write changes.

    Attributes:
        reference: Which fact.
        old: The entity that was stored; None where there was none, or a deleted one.
        new: The entity from now on; None where it is deleted.
        row: What the row says from now on.
        before: The row that it replaces, a deleted fact's included; None where there is none.
    """

    reference: FactReference
    old: Entity | None
    new: Entity | None
    row: Stored
    before: Stored | None = None

    @property
    def kind(self) -> FactKind:
        """The kind of the fact."""
        return self.reference.kind

    @property
    def id(self) -> str:
        """The id of the fact."""
        return self.reference.id

    @property
    def relinks(self) -> bool:
        """Whether a subject's declarations of sameness or kinship change."""
        return self.kind is FactKind.SUBJECT and links_of(self.old) != links_of(self.new)


def make_changes(session: Session, changes: Collection[Change]) -> None:
    """Write the rows of *changes*, and those by which people are found."""
    rows: dict[FactKind, list[Row]] = {}
    for change in changes:
        rows.setdefault(change.kind, []).append(_row(change))
    for kind, of_kind in rows.items():
        write_rows(session, kind, of_kind)
    _make_participants(session, [one for one in changes if one.kind is FactKind.ATTENDANCE])
    _make_links(session, [one for one in changes if one.relinks])


def _row(change: Change) -> Row:
    """Return the whole row that *change* leaves."""
    if change.new is None:
        return trace_of(change.reference, change.row)
    return row_of(change.kind, change.new, change.row)


def _make_participants(session: Session, changes: Collection[Change]) -> None:
    """Write who took part in the calls of *changes*."""
    known = [change.id for change in changes if change.old is not None]
    if known:
        session.run(_FORGET_PARTICIPANTS, {"ids": known})
    session.run_many(
        _NOTE_PARTICIPANT,
        [
            row
            for change in changes
            if isinstance(change.new, Attendance)
            for row in sorted(participants_of(change.new))
        ],
    )


def _make_links(session: Session, changes: Collection[Change]) -> None:
    """Write what the subjects of *changes* declare."""
    known = [change.id for change in changes if change.old is not None]
    if known:
        session.run(_FORGET_LINKS, {"ids": known})
    session.run_many(
        _NOTE_LINK,
        [
            row
            for change in changes
            if isinstance(change.new, Subject)
            for row in sorted(links_of(change.new))
        ],
    )

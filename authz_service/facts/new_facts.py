"""Writes many facts of which nothing is stored, by COPY: the rows that any other write would make.

Nothing is compared, disputed or taken back, because nothing is there. What follows from several
facts is made by statements over sets: who may reach which recording, and what a change touches.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from itertools import compress
from typing import Final

from authz_service.facts.import_encoding import (
    RECORDED_AT,
    REVISION,
    Batch,
    Grain,
    id_of,
    with_keys,
)
from authz_service.facts.key_text import keys_text
from authz_service.facts.links import Links, links_around
from authz_service.facts.reach import REACH_COLUMNS, note_reach_of_new
from authz_service.facts.reader import Key
from authz_service.facts.revisions import Write, begin_write, record_write
from authz_service.facts.rows import COLUMNS
from authz_service.facts.schema import (
    FACT_TABLES,
    attendance_participants,
    recording_reach,
    subject_links,
)
from authz_service.facts.sessions import Session
from authz_service.facts.touched import people_keys
from authz_service.pdp.entity_words import FactKind

_CHANGES: Final = (
    "revision", "kind", "id", "keys", "value", "source", "observed_at", "recorded_at", "in_place",
)  # fmt: skip
_BESIDE: Final[Mapping[FactKind, tuple[str, tuple[str, ...]]]] = {
    FactKind.ATTENDANCE: (
        attendance_participants.name,
        tuple(attendance_participants.columns.keys()),
    ),
    FactKind.SUBJECT: (subject_links.name, tuple(subject_links.columns.keys())),
    FactKind.RECORDING: (recording_reach.name, REACH_COLUMNS),
}
"""What the rows beside the facts of a kind are, and their columns."""
_BOOKED: Final = "SELECT consultation_id, id FROM recordings WHERE consultation_id = ANY(:ids)"


class NewFacts:
    """Facts that are gathered until they are written as one write; none of them twice."""

    def __init__(self) -> None:
        self._batches: dict[FactKind, Batch] = {}
        self.count = 0

    def add(self, grain: Grain, without: Collection[int]) -> None:
        """Add the facts of *grain* but for those *without*, which are named by their lines."""
        for kind, batch in grain.batches.items():
            mine = self._batches.setdefault(kind, Batch())
            left = _left(batch, without)
            mine.ids += left.ids
            mine.rows += left.rows
            mine.changes += left.changes
            mine.beside += left.beside
            self.count += len(left.ids)

    def write(self, session: Session, actor: str, recorded_at: int) -> None:
        """Write them all, as one write of *actor*, and have none of them left."""
        if not self.count:
            return
        write = begin_write(session, actor, recorded_at)
        keys = self._keys_before(session)
        linked = self._linked()
        before = links_around(session, linked)
        for kind, batch in self._batches.items():
            rows = b"".join(sorted(batch.rows))
            _copy(session, FACT_TABLES[kind].name, COLUMNS[kind], rows, write)
            if kind in _BESIDE:
                _copy(session, *_BESIDE[kind], b"".join(batch.beside), write)
        keys |= _keys_of_linked(linked, (before, links_around(session, linked)))
        note_reach_of_new(session, {kind: batch.ids for kind, batch in self._batches.items()})
        self._record(session, write, keys)
        record_write(session, write, self.count)
        self._batches, self.count = {}, 0

    def _linked(self) -> frozenset[str]:
        """Return the subjects that declare others the same person or family."""
        batch = self._batches.get(FactKind.SUBJECT, Batch())
        return frozenset(compress(batch.ids, batch.beside))

    def _keys_before(self, session: Session) -> dict[tuple[FactKind, str], str]:
        """Return what the consultations touch of which recordings are stored already."""
        batch = self._batches.get(FactKind.CONSULTATION)
        booked: dict[str, list[Key]] = {}
        for consultation_id, recording_id in (
            session.rows(_BOOKED, {"ids": batch.ids}) if batch else ()
        ):
            booked.setdefault(consultation_id, []).append(Key("recording", recording_id))
        return {(FactKind.CONSULTATION, one): keys_text(keys) for one, keys in booked.items()}

    def _record(
        self, session: Session, write: Write, keys: Mapping[tuple[FactKind, str], str]
    ) -> None:
        """Record the changes, those with the *keys* that do not follow from a fact by itself."""
        changes: list[bytes] = []
        for kind in sorted(self._batches):
            of_kind = self._batches[kind].changes
            if any(named is kind for named, _id in keys):
                of_kind = [_with(kind, change, keys) for change in of_kind]
            changes += sorted(of_kind)
        _copy(session, "fact_changes", _CHANGES, b"".join(changes), write)


def _left(batch: Batch, without: Collection[int]) -> Batch:
    """Return *batch* but for the facts on the lines *without*."""
    if not without:
        return batch
    kept = [place not in without for place in batch.places]
    columns: Iterable[list[object]] = (
        batch.ids, batch.places, batch.rows, batch.changes, batch.beside,
    )  # type: ignore[assignment]  # fmt: skip  # lists of one length each
    return Batch(*(list(compress(column, kept)) for column in columns))  # type: ignore[arg-type]  # as above


def _copy(
    session: Session, table: str, columns: Collection[str], text: bytes, write: Write
) -> None:
    """Write rows into *table*, with what only *write* knows."""
    if text:
        text = text.replace(REVISION.encode(), b"%d" % write.revision)
        text = text.replace(RECORDED_AT.encode(), b"%d" % write.recorded_at)
        session.copy(table, tuple(columns), text)


def _keys_of_linked(
    linked: frozenset[str], links: tuple[Links, Links]
) -> dict[tuple[FactKind, str], str]:
    """Return what the subjects *linked* touch: all whom declarations reach, before or after."""
    return {
        (FactKind.SUBJECT, one): keys_text(
            people_keys(frozenset({one}).union(*(each.around(frozenset({one})) for each in links)))
        )
        for one in linked
    }


def _with(kind: FactKind, change: bytes, keys: Mapping[tuple[FactKind, str], str]) -> bytes:
    """Return *change* with the keys that stand for its fact, if any do."""
    found = keys.get((kind, id_of(change)))
    return change if found is None else with_keys(change, found)

"""Pages of the registry's changes, in the order of commits; each is read in one snapshot.

What is told of a change is what the fact said from that revision on, whether its value stands with
the change or, as for the last one, in the fact's own row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from typing import Final, NamedTuple

from authz_service.facts.decoding import from_microseconds
from authz_service.facts.revisions import ATTRIBUTION_KIND, state
from authz_service.facts.rows import made_fact, stored_rows
from authz_service.facts.schema import PLURALS
from authz_service.facts.sessions import Session
from authz_service.operations.change_feed import (
    ChangedFact,
    ChangePage,
    ChangePosition,
    RegistryState,
    RevisionPart,
)
from authz_service.pdp.entity_words import FactKind
from authz_service.pdp.errors import HistoryGoneError, RevisionAheadError
from authz_service.pdp.facts import FactReference

PAGE_ROWS: Final = 500
"""How many changes are read at once."""
PAGE_BYTES: Final = 256 << 10
"""How long the values of a page are together, in bytes, but for the first of them."""
_AFTER_ALL: Final = "~"
"""Comes after every kind of change."""

_HISTORY: Final = "SELECT history_from FROM facts_revision"
_NONCE: Final = "SELECT nonce FROM facts_writes WHERE revision = :revision"
_LENGTHS: Final = (
    "SELECT c.revision, c.kind, c.id, c.in_place, coalesce(length(c.value), 0)"  # noqa: S608  # a number of ours
    " FROM fact_changes c WHERE (c.revision, c.kind, c.id) > (:revision, :kind, :id)"
    f" ORDER BY c.revision, c.kind, c.id LIMIT {PAGE_ROWS + 1}"
)
_CHANGES: Final = (
    "SELECT c.revision, c.kind, c.id, c.in_place, c.value, c.source, c.observed_at"
    " FROM fact_changes c WHERE (c.revision, c.kind, c.id) > (:revision, :kind, :id)"
    " AND (c.revision, c.kind, c.id) <= (:last_revision, :last_kind, :last_id)"
    " ORDER BY c.revision, c.kind, c.id"
)
_WRITES: Final = (
    "SELECT revision, nonce, recorded_at, actor FROM facts_writes"
    " WHERE revision > :after AND revision <= :last OR revision = :begun"
)


class _Length(NamedTuple):
    """Which change comes next, and how long its value is where that stands with it."""

    revision: int
    kind: str
    id: str
    in_place: bool
    length: int


class _Change(NamedTuple):
    """A change as it is stored; the value of one in place is filled in."""

    revision: int
    kind: str
    id: str
    in_place: bool
    value: str | None
    source: str
    observed_at: int


class _Write(NamedTuple):
    """The write that made a revision."""

    revision: int
    nonce: str
    recorded_at: int
    actor: str


def position_after(session: Session, revision: int, nonce: str) -> ChangePosition:
    """Return the position after *revision*, known by *nonce* unless that is empty.

    Raises:
        RevisionAheadError: The registry has not reached it.
        HistoryGoneError: What follows is not kept, or the registry was never in that state.
    """
    reached, _ = state(session)
    if revision > reached:
        raise RevisionAheadError(revision, reached)
    return ChangePosition(RegistryState(revision, _require_kept(session, revision, nonce)))


def page_after(session: Session, after: ChangePosition) -> ChangePage:
    """Return the changes that come after *after*; *session* is one snapshot.

    Raises:
        HistoryGoneError: They are not kept any more, or the registry is another than it was.
    """
    reached = RegistryState(*state(session))
    _require_kept(session, after.state.revision, after.state.nonce)
    key = {
        "revision": after.state.revision,
        "kind": after.kind or _AFTER_ALL,
        "id": after.id,
    }
    lengths = [_Length(*row) for row in session.rows(_LENGTHS, key)]
    fitting = _fitting(session, lengths)
    if not fitting:
        return _nothing_after(after, reached)
    last = fitting[-1]
    following = lengths[len(fitting)] if len(fitting) < len(lengths) else None
    bound = {"last_revision": last.revision, "last_kind": last.kind, "last_id": last.id}
    changes = [_Change(*row) for row in session.rows(_CHANGES, {**key, **bound})]
    parts = _parts(_filled_in(session, changes), _writes(session, after, last.revision))
    if following is not None and following.revision == last.revision:
        parts[-1] = replace(parts[-1], is_whole=False)
        return ChangePage(
            tuple(parts), ChangePosition(parts[-1].state, last.kind, last.id), is_last=False
        )
    return ChangePage(tuple(parts), ChangePosition(parts[-1].state), is_last=following is None)


def _require_kept(session: Session, revision: int, nonce: str) -> str:
    """Return the nonce of *revision*, which is *nonce* unless that is empty.

    Raises:
        HistoryGoneError: What follows it is not kept, or it is another than it was.
    """
    (kept_from,) = session.one(_HISTORY) or (0,)
    row = session.one(_NONCE, {"revision": revision})
    if row is not None and nonce and row[0] != nonce:
        raise HistoryGoneError(
            f"revision {revision} is not the one that is known: the registry was restored; read "
            "all facts anew"
        )
    if revision < kept_from or (row is None and (revision or nonce)):
        raise HistoryGoneError(
            f"what came after revision {revision} is not kept, but from {kept_from} on; read all "
            "facts anew"
        )
    return row[0] if row else ""


def _fitting(session: Session, lengths: Sequence[_Length]) -> list[_Length]:
    """Return the first of *lengths* that fit a page together; one at least, where there is any."""
    in_place = {FactReference(FactKind(one.kind), one.id) for one in lengths if one.in_place}
    elsewhere = _lengths_in_place(session, in_place)
    total, fitting = 0, list[_Length]()
    for one in lengths[:PAGE_ROWS]:
        total += elsewhere.get((one.kind, one.id), 0) if one.in_place else one.length
        if fitting and total > PAGE_BYTES:
            break
        fitting.append(one)
    return fitting


def _nothing_after(after: ChangePosition, reached: RegistryState) -> ChangePage:
    """Return the page of nothing: the present revision is told, whole."""
    if after.state == reached and not after.kind:
        return ChangePage((), after, is_last=True)
    return ChangePage((RevisionPart(reached),), ChangePosition(reached), is_last=True)


def _lengths_in_place(
    session: Session, references: set[FactReference]
) -> dict[tuple[str, str], int]:
    """Return how long the values of facts are, by kind and id."""
    found = {}
    for kind in FactKind:
        ids = {one.id for one in references if one.kind is kind}
        if ids:
            statement = (
                f"SELECT id, coalesce(length(value), 0) FROM {PLURALS[kind]}"  # noqa: S608  # a name of ours
                " WHERE id = ANY(:ids)"
            )
            found.update(
                {(kind.value, row[0]): row[1] for row in session.rows(statement, {"ids": ids})}
            )
    return found


def _filled_in(session: Session, changes: Sequence[_Change]) -> list[_Change]:
    """Return *changes* with the values that stand in the facts' own rows."""
    references = [FactReference(FactKind(one.kind), one.id) for one in changes if one.in_place]
    stored = stored_rows(session, references)
    filled = []
    for one in changes:
        if one.in_place:
            row = stored.get(FactReference(FactKind(one.kind), one.id))
            if row is None or row.revision != one.revision:
                raise HistoryGoneError(f"what revision {one.revision} wrote is not kept")
            one = one._replace(value=row.value)  # noqa: PLW2901  # the same, filled in
        filled.append(one)
    return filled


def _writes(session: Session, after: ChangePosition, last: int) -> dict[int, _Write]:
    """Return the writes after *after* up to *last*, and the one that is half told, by revision."""
    bounds = {"after": after.state.revision, "last": last, "begun": after.state.revision}
    return {row[0]: _Write(*row) for row in session.rows(_WRITES, bounds)}


def _parts(changes: Sequence[_Change], writes: dict[int, _Write]) -> list[RevisionPart]:
    """Return *changes* by revision."""
    return [
        _part(writes[revision], list(of_it))
        for revision, of_it in groupby(changes, lambda change: change.revision)
    ]


def _part(write: _Write, changes: Sequence[_Change]) -> RevisionPart:
    """Return what *write* changed."""
    facts = [one for one in changes if one.kind in _KINDS]
    attributions = tuple(one.id for one in changes if one.kind == ATTRIBUTION_KIND)
    return RevisionPart(
        RegistryState(write.revision, write.nonce),
        from_microseconds(write.recorded_at),
        write.actor,
        tuple(map(_changed, facts)),
        attributions,
        read_anew=len(facts) + len(attributions) < len(changes),
    )


def _changed(change: _Change) -> ChangedFact:
    """Return *change* as it is told."""
    kind = FactKind(change.kind)
    fact = None
    if change.value is not None:
        fact = made_fact(kind, change.value, change.source, change.observed_at, change.revision)
    return ChangedFact(FactReference(kind, change.id), fact)


_KINDS: Final = frozenset(kind.value for kind in FactKind)

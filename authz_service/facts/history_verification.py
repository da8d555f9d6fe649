"""Looks through what stands beside the facts: writes, changes, mentions and attributions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from authz_service.facts.pages import PAGE
from authz_service.facts.revisions import state
from authz_service.facts.schema import PLURALS
from authz_service.facts.sessions import Row, Session
from authz_service.facts.tallies import Progress, Tally
from authz_service.pdp.entity_words import FactKind

LAST: Final = "revision: the last write is not the one that the registry stands at"
GAP: Final = "revision: writes are missing between others"
IN_PLACE: Final = "change: its value should be in the fact's row, which is of another revision"
TWICE: Final = "change: its value stands in two places"
AHEAD: Final = "change: it is of a revision that there is not"
MENTION: Final = "mention: it is of a fact or a revision that there never was"
DISPUTE: Final = "attribution: it is of a revision that there is not"
PATIENT: Final = "attribution.patient_id: no such subject"

_WRITES: Final = "SELECT count(*), min(revision), max(revision) FROM facts_writes"
_NONCE: Final = "SELECT nonce FROM facts_writes WHERE revision = :revision"
_IN_PLACE: Final = (
    "SELECT revision, kind, id, value IS NULL FROM fact_changes"  # noqa: S608  # a number of ours
    " WHERE in_place AND (revision, kind, id) > (:a, :b, :c)"
    f" ORDER BY revision, kind, id LIMIT {PAGE}"
)
_AHEAD: Final = "SELECT kind, id FROM fact_changes WHERE revision > :revision"
_MENTIONS: Final = (
    "SELECT named_id, until_revision, kind, id FROM past_mentions"  # noqa: S608  # a number of ours
    " WHERE (named_id, until_revision, kind, id) > (:a, :b, :c, :d)"
    f" ORDER BY named_id, until_revision, kind, id LIMIT {PAGE}"
)
_ATTRIBUTIONS: Final = (
    "SELECT x.recording_id, x.patient_id IS NOT NULL AND s.id IS NULL,"  # noqa: S608  # a number of ours
    " coalesce(x.disputed_at_revision, 0), coalesce(x.resolved_at_revision, 0)"
    " FROM attributions x JOIN recordings r ON r.id = x.recording_id AND r.value IS NOT NULL"
    " LEFT JOIN subjects s ON s.id = x.patient_id AND s.value IS NOT NULL"
    " WHERE x.recording_id > :a"
    f" ORDER BY x.recording_id LIMIT {PAGE}"
)
_KINDS: Final = frozenset(kind.value for kind in FactKind)


def verify_history(session: Session, tally: Tally, progress: Progress) -> None:
    """Count what disagrees in what the registry keeps of its writes."""
    revision, nonce = state(session)
    _verify_writes(session, revision, nonce, tally)
    done = 0
    for page in _paged(session, _IN_PLACE, (-1, "", "")):
        _verify_in_place(session, page, tally)
        done += len(page)
        progress("change", done, None)
    done = 0
    for page in _paged(session, _MENTIONS, ("", -1, "", "")):
        _verify_mentions(session, page, revision, tally)
        done += len(page)
        progress("mention", done, None)


def verify_attributions(session: Session, tally: Tally, progress: Progress) -> None:
    """Count what disagrees in what is kept of whose recordings were."""
    revision, _nonce = state(session)
    done = 0
    for page in _paged(session, _ATTRIBUTIONS, ("",)):
        for recording_id, is_unknown, disputed_at, resolved_at in page:
            if is_unknown:
                tally.add(PATIENT, recording_id)
            if max(disputed_at, resolved_at) > revision:
                tally.add(DISPUTE, recording_id)
        done += len(page)
        progress("attribution", done, None)


def _verify_writes(session: Session, revision: int, nonce: str, tally: Tally) -> None:
    """Count what is wrong with the writes themselves."""
    count, first, last = session.one(_WRITES) or (0, None, None)
    if session.one(_NONCE, {"revision": revision}) != (nonce,) or last != revision:
        tally.add(LAST, str(revision))
    elif count != last - first + 1:
        tally.add_all(GAP, last - first + 1 - count, ())
    for kind, fact_id in session.rows(f"{_AHEAD} LIMIT {PAGE}", {"revision": revision}):
        tally.add(AHEAD, f"{kind}/{fact_id}")


def _verify_in_place(session: Session, page: list[Row], tally: Tally) -> None:
    """Count the changes of *page* that are not as they say: the fact's own row has the value."""
    ids: dict[str, set[str]] = {}
    for _revision, kind, fact_id, _is_empty in page:
        ids.setdefault(kind, set()).add(fact_id)
    found = _rows_of(session, ids)
    for revision, kind, fact_id, is_empty in page:
        if not is_empty:
            tally.add(TWICE, f"{kind}/{fact_id}")
        if found.get((kind, fact_id)) != revision:
            tally.add(IN_PLACE, f"{kind}/{fact_id}")


def _verify_mentions(session: Session, page: list[Row], revision: int, tally: Tally) -> None:
    """Count the mentions of *page* that are of nothing."""
    ids: dict[str, set[str]] = {}
    for _named, _until, kind, fact_id in page:
        ids.setdefault(kind, set()).add(fact_id)
    found = _rows_of(session, ids)
    for _named, until, kind, fact_id in page:
        if (kind, fact_id) not in found or until > revision:
            tally.add(MENTION, f"{kind}/{fact_id}")


def _rows_of(session: Session, ids: dict[str, set[str]]) -> dict[tuple[str, str], int]:
    """Return the revisions of facts and of traces, by kind and id."""
    return {
        (kind, fact_id): revision
        for kind in ids.keys() & _KINDS
        for fact_id, revision in session.rows(
            f"SELECT id, revision FROM {PLURALS[FactKind(kind)]} WHERE id = ANY(:ids)",  # noqa: S608  # ours
            {"ids": ids[kind]},
        )
    }


def _paged(session: Session, statement: str, after: tuple[str | int, ...]) -> Iterator[list[Row]]:
    """Yield the rows of *statement* in pages; its first columns are where each page goes on."""
    while rows := session.rows(statement, dict(zip("abcd", after, strict=False))):
        yield rows
        after = rows[-1][: len(after)]

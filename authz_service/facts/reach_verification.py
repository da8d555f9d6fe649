"""Compares what is kept of who may reach what with what all facts say, in constant memory."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Final

from authz_service.facts.decoding import entity_of
from authz_service.facts.pages import pages
from authz_service.facts.reach import EVERY_WAY, holds_of
from authz_service.facts.sessions import Row, Session
from authz_service.pdp.entity_words import FactKind

MISSING: Final = "reach: a recording is missing from the lists of somebody with a relation to it"
SURPLUS: Final = "reach: a recording is among the candidates of somebody without any relation"

_KEPT: Final = "SELECT subject_id, way, created_at, recording_id FROM recording_reach"
_TOLD: Final = " UNION ".join(EVERY_WAY)
_LACKING: Final = f"SELECT * FROM ({_TOLD}) AS told EXCEPT {_KEPT}"  # noqa: S608  # statements of ours
_EXCESS: Final = f"{_KEPT} WHERE way <> 'hold' EXCEPT SELECT * FROM ({_TOLD}) AS told"  # noqa: S608  # statements of ours
_HOLDS: Final = (
    f"{_KEPT} WHERE way = 'hold' AND subject_id = ANY(:viewers)"
    " AND created_at = ANY(:instants) AND recording_id = ANY(:recordings)"
)
_ALL_HOLDS: Final = "SELECT count(*) FROM recording_reach WHERE way = 'hold'"

Breach = tuple[str, int, tuple[str, ...]]
"""A rule, how many rows break it, and the first of their recordings."""


def reach_breaches(session: Session, examples: int) -> Iterator[Breach]:
    """Yield both rules, each with what breaks it, if anything does."""
    lacking, excess = _odd(session, _LACKING, examples), _odd(session, _EXCESS, examples)
    told = found = 0
    unheld: list[str] = []
    for page in pages(session, "id, value", "recordings", "value IS NOT NULL"):
        expected = _viewers(page)
        kept = _kept(session, expected)
        told, found = told + len(expected), found + len(kept)
        unheld += sorted({row[3] for row in expected - kept})
        del unheld[examples:]
    (stored,) = session.one(_ALL_HOLDS) or (0,)
    yield MISSING, lacking[0] + told - found, (*lacking[1], *unheld)[:examples]
    yield SURPLUS, excess[0] + stored - found, excess[1]


def _odd(session: Session, rows: str, examples: int) -> tuple[int, tuple[str, ...]]:
    """Return how many *rows* there are, none of which should be, and the first recordings."""
    odd = f"WITH odd (subject_id, way, created_at, recording_id) AS ({rows}) SELECT"
    (count,) = session.one(f"{odd} count(*) FROM odd") or (0,)
    first = f"{odd} DISTINCT recording_id FROM odd ORDER BY recording_id LIMIT {examples}"
    return count, tuple(row[0] for row in session.rows(first)) if count else ()


def _viewers(page: Collection[Row]) -> set[Row]:
    """Return who views the recordings of *page* because a hold names them."""
    found: set[Row] = set()
    for _id, value in page:
        found |= holds_of(entity_of(FactKind.RECORDING, value))
    return found


def _kept(session: Session, expected: set[Row]) -> set[Row]:
    """Return those of *expected* that are kept."""
    if not expected:
        return set()
    viewers, _way, instants, recordings = (set(column) for column in zip(*expected, strict=True))
    parameters = {"viewers": viewers, "instants": instants, "recordings": recordings}
    return expected.intersection(session.rows(_HOLDS, parameters))

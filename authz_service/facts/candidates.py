"""Reads the next recordings of a list: every way an ordered part of an index, cut off and merged.

What a page costs depends on how many recordings it holds, and not on how many there are. Only of
one patient's recordings each is tried in turn: those are few, whoever asks.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Final

from authz_service.facts.compatibility import VERSIONS
from authz_service.facts.decoding import from_microseconds, to_microseconds
from authz_service.facts.reach import WAYS
from authz_service.facts.reader import Candidates, PageQuestion
from authz_service.facts.revisions import checked_state
from authz_service.facts.sessions import Query, Row, Session
from authz_service.operations.lists import ListKey
from authz_service.pdp.model import Relation

_FIRST, _LAST = -(2**63), 2**63 - 1
"""Before and after every instant."""

_TENANT_KEPT: Final = (
    "(SELECT k.tenant_id FROM subjects k"
    " WHERE k.id = :subject AND k.value::json ->> 'kind' = 'SERVICE')"
)
"""The tenant whose recordings the subject keeps, if it is a service."""

_WITHIN: Final = (
    " AND (r.created_at, r.{id}) < (:before_at, :before_id) AND r.created_at >= :from_at"
    " ORDER BY r.created_at DESC, r.{id} DESC LIMIT :limit"
)
_REACHED: Final = (
    "SELECT r.created_at, r.recording_id AS id FROM recording_reach r"  # noqa: S608  # words of ours
    " WHERE r.subject_id = :subject AND r.way = '{way}'" + _WITHIN.format(id="recording_id")
)
_OWNED: Final = (
    "SELECT r.created_at, r.id FROM recordings r WHERE r.owner_id = :subject"  # noqa: S608  # words of ours
    + _WITHIN.format(id="id")
)
_KEPT: Final = (
    f"SELECT r.created_at, r.id FROM recordings r WHERE r.tenant_id = {_TENANT_KEPT}"  # noqa: S608  # words of ours
    + _WITHIN.format(id="id")
)
_OF_PATIENT: Final = (
    "SELECT r.created_at, r.id FROM recordings r WHERE r.owner_id = :patient AND ({open})"  # noqa: S608  # words of ours
    + _WITHIN.format(id="id")
)
_OPEN_BY_WAY: Final = (
    "(SELECT 1 FROM recording_reach x WHERE x.subject_id = :subject AND x.way = '{way}' LIMIT 1)"
    " IS NOT NULL AND "
    "(SELECT 1 FROM recording_reach x WHERE x.subject_id = :subject AND x.way = '{way}'"
    " AND x.created_at = r.created_at AND x.recording_id = r.id LIMIT 1) IS NOT NULL"
)
"""A way that the subject has to nothing is tried once, and not for every recording.

No EXISTS: PostgreSQL could decide to read all that the subject reaches first.
"""

_WITH_STATE: Final = (
    f"SELECT s.revision, s.nonce, {VERSIONS}, c.created_at, c.id"  # noqa: S608  # words of ours
    " FROM facts_revision s LEFT JOIN ({candidates}) c ON TRUE"
)
_COLUMNS: Final = 5


def read_candidates(session: Session, question: PageQuestion, sent_at: float) -> Candidates:
    """Return what *question* asks for, with the state of the registry, by one statement.

    Args:
        session: A connection; the statement sees one state without a transaction.
        question: Which part of which list.
        sent_at: When the reading began, on the monotonic clock.

    Raises:
        FactsUnavailableError: The schema is of another version.
    """
    of, limit = question.of, question.limit
    query = query_for(of.relations, of_patient=of.patient_id is not None)
    rows = session.gather((query,), _parameters(question))[0]
    revision, nonce = checked_state(rows[0][:3] if rows else None)
    found = sorted((row[3:] for row in rows if row[4] is not None), reverse=True)
    return Candidates(
        revision, nonce, tuple(_key(row) for row in found[:limit]), len(found) <= limit, sent_at
    )


@cache
def query_for(relations: frozenset[Relation], *, of_patient: bool) -> Query:
    """Return the query for the candidates by *relations*, of one patient's recordings or of all."""
    if of_patient:
        conditions = " OR ".join(_conditions(relations)) or "FALSE"
        candidates = _OF_PATIENT.format(open=conditions)
    else:
        branches = " UNION ".join(
            f"SELECT * FROM ({branch}) b{number}"  # noqa: S608  # statements of ours
            for number, branch in enumerate(_branches(relations))
        )
        candidates = f"{branches} ORDER BY 1 DESC, 2 DESC LIMIT :limit" if branches else _NOTHING
    return Query(_WITH_STATE.format(candidates=candidates), _COLUMNS)


_NOTHING: Final = "SELECT r.created_at, r.id FROM recordings r WHERE FALSE"


def _branches(relations: frozenset[Relation]) -> Iterable[str]:
    """Yield a statement for each way to one of *relations*: the next recordings by that way."""
    if Relation.OWNER in relations:
        yield _OWNED
    if Relation.CUSTODIAN in relations:
        yield _KEPT
    for way in _ways(relations):
        yield _REACHED.format(way=way)


def _conditions(relations: frozenset[Relation]) -> Iterable[str]:
    """Yield a condition on one recording for each way to one of *relations*."""
    if Relation.OWNER in relations:
        yield "r.owner_id = :subject"
    if Relation.CUSTODIAN in relations:
        yield f"r.tenant_id = {_TENANT_KEPT}"
    for way in _ways(relations):
        yield _OPEN_BY_WAY.format(way=way)


def _ways(relations: frozenset[Relation]) -> list[str]:
    """Return the ways to *relations*, in a stable order."""
    return sorted({way for relation in relations for way in WAYS.get(relation, ())})


def _parameters(question: PageQuestion) -> dict[str, str | int | None]:
    """Return what the query of *question* is asked with; one row more tells whether it is last."""
    of, after = question.of, question.after
    before = (_LAST, "") if of.created_to is None else (to_microseconds(of.created_to), "")
    if after is not None:
        before = min(before, (to_microseconds(after.created_at), after.recording_id))
    return {
        "subject": of.subject_id,
        "patient": of.patient_id,
        "before_at": before[0],
        "before_id": before[1],
        "from_at": _FIRST if of.created_from is None else to_microseconds(of.created_from),
        "limit": question.limit + 1,
    }


def _key(row: Row) -> ListKey:
    """Return where a list stands after a row of instant and id."""
    return ListKey(from_microseconds(row[0]), row[1])

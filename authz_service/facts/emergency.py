"""Emergency accesses in the registry: what an opening rests on, the grant, its review, the lists.

They are few among grants, and are found by indexes of their own, in the very words that these have:
by when they began, by when they end, and among those that nobody has reviewed.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from time import monotonic
from typing import Final, cast

from authz_service.facts.access_keys import BEGAN, OF_EMERGENCY, UNREVIEWED, UNTIL
from authz_service.facts.decoding import from_microseconds
from authz_service.facts.loading import load_values
from authz_service.facts.notes import record_note
from authz_service.facts.reader import CONTAINMENTS_KEY, Key
from authz_service.facts.revisions import state
from authz_service.facts.rows import entity_in, made_fact, stored_rows
from authz_service.facts.sessions import Row, Session
from authz_service.facts.tenancy import only_within
from authz_service.facts.writing import Leave, write_facts
from authz_service.operations.emergency_ports import (
    AccessesQuestion,
    AccessKey,
    AccessPage,
    AccessStanding,
    AccessState,
    Opened,
    Opening,
    Review,
    Reviewed,
)
from authz_service.operations.writes import Tenants
from authz_service.pdp.emergency import OpeningFacts
from authz_service.pdp.entities import Containment, Entity, Grant
from authz_service.pdp.entity_words import FactKind, GrantKind
from authz_service.pdp.errors import NotFoundError
from authz_service.pdp.facts import Fact, FactReference, Facts, PatientFacts, SubjectFacts
from authz_service.pdp.model import Instant
from authz_service.pdp.plain_fields import format_instant, parse_instant

_OPEN: Final = (
    f"{UNTIL} > :now AND {BEGAN} <= :now AND {BEGAN} <> ''"
    " AND (value::json ->> 'revoked_at') IS NULL"
)
_FOR_TURN: Final = "SELECT revision FROM facts_revision"
_UNREVIEWED_OF: Final = (
    f"SELECT {BEGAN} FROM grants WHERE subject_id = ANY(:people)"  # noqa: S608  # words of ours
    f" AND {OF_EMERGENCY} AND {UNREVIEWED}"
)
_STATES: Final = {
    AccessState.OPEN: f" AND {_OPEN}",
    AccessState.UNREVIEWED: f" AND {UNREVIEWED}",
    AccessState.REVIEWED: " AND (value::json ->> 'review') IS NOT NULL",
}
_OPEN_COUNT: Final = f"SELECT count(*) FROM grants WHERE {OF_EMERGENCY} AND {_OPEN}"  # noqa: S608  # as above
_UNREVIEWED_COUNT: Final = f"SELECT count(*) FROM grants WHERE {OF_EMERGENCY} AND {UNREVIEWED}"  # noqa: S608  # as above
_OLDEST: Final = (
    f"SELECT {BEGAN} FROM grants WHERE {OF_EMERGENCY} AND {UNREVIEWED} AND {BEGAN} > ''"  # noqa: S608  # as above
    f" ORDER BY {BEGAN}, id LIMIT 1"
)
_NEWEST: Final = AccessKey("~", "")
"""Sorts before every access."""
_NEXT_MICROSECOND: Final = timedelta(microseconds=1)


def known_for_opening(session: Session, subject_id: str, patient_id: str) -> OpeningFacts:
    """Return what an opening rests on; the session sees one state of the registry."""
    who, whose = Key("subject", subject_id), Key("patient", patient_id)
    load = load_values(session, {CONTAINMENTS_KEY, who, whose}, monotonic(), lambda: None)
    subject = cast("SubjectFacts | None", load.values[who])
    facts = Facts(
        subject,
        None,
        cast("PatientFacts | None", load.values[whose]),
        cast("tuple[Containment, ...]", load.values[CONTAINMENTS_KEY]),
        load.revision,
    )
    return OpeningFacts(facts, _unreviewed_of(session, subject) if subject else ())


def open_access(session: Session, opening: Opening, now: Instant) -> Opened:
    """Write the grant of *opening* if nothing that it rests on has changed; else discard."""
    _take_turn(session)
    grant, judged = opening.grant.entity, opening.judged
    known = known_for_opening(session, grant.subject_id or "", grant.patient_id or "")
    if _undated(known) != _undated(judged):
        session.discard()
        return Opened(None, known)
    written = write_facts(session, [opening.grant], actor=opening.actor, now=now)
    return Opened(written.revision, known)


def read_accesses(
    session: Session,
    question: AccessesQuestion,
    *,
    after: AccessKey | None,
    limit: int,
    now: Instant,
    within: Tenants,
) -> AccessPage:
    """Return a page of accesses; the session sees one state of the registry."""
    revision, _nonce = state(session)
    statement, key = _page_statement(question), after or _NEWEST
    found: list[tuple[AccessKey, Grant]] = []
    is_last = False
    while len(found) <= limit and not is_last:
        parameters = {
            "began": key.began, "after": key.id, "limit": limit + 1, "now": _as_key(now),
            "subject_id": question.subject_id, "patient_id": question.patient_id,
        }  # fmt: skip
        rows = session.rows(statement, parameters)
        is_last = len(rows) <= limit
        keys = {row[0]: AccessKey(row[5], row[0]) for row in rows}
        facts = only_within(session, within, [_fact_in(row) for row in rows])
        found += [(keys[one.entity.id], cast("Grant", one.entity)) for one in facts]
        key = AccessKey(rows[-1][5], rows[-1][0]) if rows else key
    shown = found[:limit]
    return AccessPage(
        tuple(grant for _, grant in shown),
        shown[-1][0] if shown else None,
        len(found) <= limit,
        revision,
    )


def review_access(session: Session, review: Review, now: Instant, within: Tenants) -> Reviewed:
    """Write a review onto its grant, and its note beside it.

    Raises:
        NotFoundError: There is no such access, or it is not of the tenants in *within*.
        StateError: It was reviewed before, or by this person it may not be.
    """
    _take_turn(session)
    reference = FactReference(FactKind.GRANT, review.grant_id)
    stored = stored_rows(session, [reference]).get(reference)
    grant = entity_in(FactKind.GRANT, stored)
    if (
        stored is None
        or not isinstance(grant, Grant)
        or grant.kind is not GrantKind.EMERGENCY
        or not only_within(session, within, [Fact(grant, stored.source, now)])
    ):
        raise NotFoundError(f"emergency access {review.grant_id}")
    observed_at = max(now, from_microseconds(stored.observed_at) + _NEXT_MICROSECOND)
    reviewed = replace(grant, review=review.review)
    written = write_facts(
        session,
        [Fact(reviewed, review.source, observed_at)],
        actor=review.review.by,
        now=now,
        naming=lambda _: "",
        leave=Leave(within),
    )
    if review.note:
        record_note(session, reference, written.revision, review.note)
    return Reviewed(reviewed, written.revision)


def standing_of(session: Session, now: Instant) -> AccessStanding:
    """Return how many accesses there are at *now*."""
    state(session)
    (is_open,) = session.one(_OPEN_COUNT, {"now": _as_key(now)}) or (0,)
    (unreviewed,) = session.one(_UNREVIEWED_COUNT) or (0,)
    oldest = session.one(_OLDEST)
    return AccessStanding(is_open, unreviewed, _instant_of(oldest[0]) if oldest else None)


def _take_turn(session: Session) -> None:
    """Wait for whoever writes; from here on nobody does before this transaction ends.

    SQLite has taken its turn at the transaction's beginning.
    """
    session.one(_FOR_TURN if session.is_sqlite else f"{_FOR_TURN} FOR UPDATE")


def _unreviewed_of(session: Session, subject: SubjectFacts) -> tuple[Instant, ...]:
    """Return when those accesses of a person began that nobody reviewed, in order."""
    rows = session.rows(_UNREVIEWED_OF, {"people": subject.person_ids})
    return tuple(sorted(_instant_of(row[0]) for row in rows if row[0]))


def _undated(known: OpeningFacts) -> OpeningFacts:
    """Return *known* without the revision at which it is true."""
    return known._replace(facts=known.facts._replace(revision=0))


def _page_statement(question: AccessesQuestion) -> str:
    """Return the statement for a page; two beginnings, so that either index leads to the key."""
    filters = "".join(
        f" AND {name} = :{name}"
        for name in ("subject_id", "patient_id")
        if getattr(question, name) is not None
    )
    filters += _STATES[question.state] if question.state else ""
    return (
        f"SELECT id, value, source, observed_at, revision, {BEGAN} FROM grants"  # noqa: S608  # words of ours
        f" WHERE {OF_EMERGENCY}{filters} AND {BEGAN} <= :began AND ({BEGAN}, id) < (:began, :after)"
        f" ORDER BY {BEGAN} DESC, id DESC LIMIT :limit"
    )


def _fact_in(row: Row) -> Fact[Entity]:
    """Return the grant that *row* of a page holds."""
    _id, value, source, observed_at, revision, _began = row
    return made_fact(FactKind.GRANT, value, source, observed_at, revision)


def _as_key(instant: Instant) -> str:
    """Return *instant* as the keys have it: texts that sort as the instants do."""
    return format_instant(instant).removesuffix("Z")


def _instant_of(key: str) -> Instant:
    """Return the instant that `_as_key` was given."""
    return parse_instant(f"{key}Z")

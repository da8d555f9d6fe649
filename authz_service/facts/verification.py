"""Looks through a whole registry for what cannot be right, page by page."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from authz_service.facts.database import Access, Database
from authz_service.facts.pages import all_facts, pages
from authz_service.facts.reach_verification import reach_breaches
from authz_service.facts.recordings import COLUMNS, TABLES, Judged, judged_rows
from authz_service.facts.revisions import state
from authz_service.facts.schema import PLURALS
from authz_service.facts.sessions import Session
from authz_service.pdp.entities import Consultation, Containment, Entity, Subject
from authz_service.pdp.entity_words import FactKind, ParticipantKind
from authz_service.pdp.facts import Standing
from authz_service.pdp.model import Instant

_LOCK_SECONDS: Final = 2.0

_REFERENCES: Final = (
    (FactKind.SUBJECT, "tenant_id", FactKind.TENANT),
    (FactKind.CONSULTATION, "tenant_id", FactKind.TENANT),
    (FactKind.CONSULTATION, "patient_id", FactKind.SUBJECT),
    (FactKind.RECORDING, "tenant_id", FactKind.TENANT),
    (FactKind.RECORDING, "consultation_id", FactKind.CONSULTATION),
    (FactKind.RECORDING, "owner_id", FactKind.SUBJECT),
    (FactKind.ATTENDANCE, "id", FactKind.RECORDING),
    (FactKind.DELEGATION, "patient_id", FactKind.SUBJECT),
    (FactKind.DELEGATION, "delegate_id", FactKind.SUBJECT),
    (FactKind.BLOCK, "patient_id", FactKind.SUBJECT),
    (FactKind.BLOCK, "delegate_id", FactKind.SUBJECT),
    (FactKind.RELATIONSHIP, "patient_id", FactKind.SUBJECT),
    (FactKind.RELATIONSHIP, "staff_id", FactKind.SUBJECT),
    (FactKind.GRANT, "subject_id", FactKind.SUBJECT),
    (FactKind.GRANT, "recording_id", FactKind.RECORDING),
    (FactKind.GRANT, "patient_id", FactKind.SUBJECT),
    (FactKind.CONSENT, "patient_id", FactKind.SUBJECT),
)
_INTERVALS: Final = (
    FactKind.SUBJECT,
    FactKind.CONSULTATION,
    FactKind.DELEGATION,
    FactKind.BLOCK,
    FactKind.RELATIONSHIP,
    FactKind.GRANT,
    FactKind.CONTAINMENT,
)


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that cannot be right.

    Attributes:
        rule: What was looked for, as in ``recording.owner_id: no such subject``.
        count: How many facts break it.
        examples: The first of their ids.
    """

    rule: str
    count: int
    examples: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Conflict:
    """A recording whose facts disagree.

    Attributes:
        recording_id: The recording.
        disagreements: What disagrees, in words without personal data.
        witnesses: Who names whom: the witness, the patient named, and the system that said so.
    """

    recording_id: str
    disagreements: tuple[str, ...]
    witnesses: tuple[tuple[str, str, str], ...]


def verify_registry(url: str, *, examples: int = 10) -> Iterator[Finding]:
    """Yield what is wrong in the registry of *url*: references, intervals, conflicts and lists.

    Args:
        url: The registry.
        examples: How many ids to name for each finding.

    Raises:
        FactsUnavailableError: The registry is silent, locked or gone, or of another schema.
    """
    with _reading(url) as session:
        for kind, field, target in _REFERENCES:
            yield from _found(*_broken_references(session, kind, field, target, examples))
        for kind in _INTERVALS:
            ids = (fact.entity.id for fact in all_facts(session, kind) if _is_odd(fact.entity))
            yield from _found(
                f"{kind}: an interval ends before it begins", *_counted(ids, examples)
            )
        conflicting = (one.recording_id for one in _conflicts(session))
        yield from _found("recording: its facts disagree", *_counted(conflicting, examples))
        for rule, count, recordings in reach_breaches(session, examples):
            yield from _found(rule, count, recordings)


def conflicts_in(url: str) -> Iterator[Conflict]:
    """Yield every recording of the registry of *url* whose facts disagree, by id.

    Raises:
        FactsUnavailableError: The registry is silent, locked or gone, or of another schema.
    """
    with _reading(url) as session:
        yield from _conflicts(session)


@contextmanager
def _reading(url: str) -> Iterator[Session]:
    """Lend a snapshot of the registry of *url*.

    Raises:
        FactsUnavailableError: The registry is silent, locked or gone, or of another schema.
    """
    database = Database(url, lock_seconds=_LOCK_SECONDS, statement_seconds=120.0, pool=1)
    try:
        with database.transaction(Access.READ) as session:
            state(session)
            yield session
    finally:
        database.close()


def _found(rule: str, count: int, examples: tuple[str, ...]) -> Iterator[Finding]:
    """Yield a finding, if there is one."""
    if count:
        yield Finding(rule, count, examples)


def _counted(ids: Iterator[str], examples: int) -> tuple[int, tuple[str, ...]]:
    """Return how many *ids* there are, and the first of them."""
    count = 0
    first: list[str] = []
    for count, one in enumerate(ids, 1):  # noqa: B007  # the last index is the count
        if len(first) < examples:
            first.append(one)
    return count, tuple(first)


def _broken_references(
    session: Session, kind: FactKind, field: str, target: FactKind, examples: int
) -> tuple[str, int, tuple[str, ...]]:
    """Return which facts of *kind* name in *field* something that is not stored."""
    broken = (
        f"FROM {PLURALS[kind]} f LEFT JOIN {PLURALS[target]} t"
        f" ON t.id = f.{field} AND t.value IS NOT NULL"
        f" WHERE f.value IS NOT NULL AND f.{field} IS NOT NULL AND t.id IS NULL"
    )
    (count,) = session.one(f"SELECT count(*) {broken}") or (0,)
    rows = session.rows(f"SELECT f.id {broken} ORDER BY f.id LIMIT {examples}") if count else []
    return f"{kind}.{field}: no such {target}", count, tuple(row[0] for row in rows)


def _is_odd(entity: Entity) -> bool:
    """Whether an interval in *entity* ends before it begins, or as it begins."""
    if isinstance(entity, Subject):
        return any(_is_empty(role.valid_from, role.valid_to) for role in entity.roles)
    if isinstance(entity, Consultation):
        started, ended = entity.started_at, entity.ended_at
        return started is not None and ended is not None and ended < started
    if isinstance(entity, Containment):
        return _is_empty(entity.scope.created_from, entity.scope.created_to)
    return _is_empty(getattr(entity, "valid_from", None), getattr(entity, "valid_to", None))


def _is_empty(begin: Instant | None, end: Instant | None) -> bool:
    """Whether ``[begin, end)`` holds no instant."""
    return begin is not None and end is not None and end <= begin


def _conflicts(session: Session) -> Iterator[Conflict]:
    """Yield every recording whose facts disagree."""
    for page in pages(session, COLUMNS, TABLES, "r.value IS NOT NULL", "r.id"):
        found = judged_rows(session, page)
        for recording_id in sorted(found):
            if found[recording_id].standing is Standing.CONFLICT:
                yield _conflict(recording_id, found[recording_id])


def _conflict(recording_id: str, judged: Judged) -> Conflict:
    """Return what disagrees about a recording, and who says what."""
    facts = judged.facts
    witnesses = [("owner", facts.recording.entity.owner_id, facts.recording.source)]
    if facts.consultation is not None:
        witnesses.append(
            ("booking", facts.consultation.entity.patient_id, facts.consultation.source)
        )
    if facts.attendance is not None:
        witnesses += [
            ("attendance", who.subject_id, facts.attendance.source)
            for who in facts.attendance.entity.participants
            if who.kind is ParticipantKind.PATIENT
        ]
    words = facts.attribution.disagreements
    return Conflict(
        recording_id,
        words or ("the patient is of another tenant",),
        tuple((witness, patient_id or "", source) for witness, patient_id, source in witnesses),
    )

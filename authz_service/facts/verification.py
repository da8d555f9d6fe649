"""Looks through a whole registry for what cannot be right, page by page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from authz_service.facts.database import Access, Database
from authz_service.facts.decoding import entity_of
from authz_service.facts.erasing import ERASED_AT
from authz_service.facts.history_verification import verify_attributions, verify_history
from authz_service.facts.impossible import impossible_in
from authz_service.facts.naming import references_in
from authz_service.facts.pages import pages, rows_in
from authz_service.facts.reach_verification import reach_breaches
from authz_service.facts.recordings import COLUMNS, TABLES, Judged, judged_rows
from authz_service.facts.revisions import state
from authz_service.facts.schema import PLURALS
from authz_service.facts.sessions import Session
from authz_service.facts.tallies import Finding, Progress, Tally, say_nothing
from authz_service.pdp.entities import Entity
from authz_service.pdp.entity_words import FactKind, ParticipantKind
from authz_service.pdp.facts import Standing

_LOCK_SECONDS: Final = 2.0
_STATEMENT_SECONDS: Final = 1800.0
"""The lists of ten million recordings are compared in one statement."""


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


def verify_registry(
    url: str, *, examples: int = 10, progress: Progress = say_nothing
) -> Iterator[Finding]:
    """Yield what is wrong in the registry of *url*: in facts, in what stands beside them, in lists.

    All is read out of one snapshot, a page at a time.

    Args:
        url: The registry.
        examples: How many ids to name for each finding.
        progress: Told after every page what is looked through, and how far.

    Raises:
        FactsUnavailableError: The registry is silent, locked or gone, or of another schema.
    """
    with _reading(url) as session:
        broken, impossible = Tally(examples), Tally(examples)
        for kind in FactKind:
            _verify_facts(session, kind, broken, impossible, progress)
        yield from broken.findings()
        yield from impossible.findings()
        rest = Tally(examples)
        for recording_id in _conflicting(session, progress):
            rest.add("recording: its facts disagree", recording_id)
        verify_attributions(session, rest, progress)
        verify_history(session, rest, progress)
        progress("lists", 0, None)
        for rule, count, recordings in reach_breaches(session, examples):
            rest.add_all(rule, count, recordings)
        yield from rest.findings()


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
    database = Database(
        url, lock_seconds=_LOCK_SECONDS, statement_seconds=_STATEMENT_SECONDS, pool=1
    )
    try:
        with database.transaction(Access.READ) as session:
            state(session)
            yield session
    finally:
        database.close()


def _verify_facts(
    session: Session, kind: FactKind, broken: Tally, impossible: Tally, progress: Progress
) -> None:
    """Count what the facts of *kind* name and is not stored, and what in them cannot have been."""
    total, done = rows_in(session, kind), 0
    for page in pages(session, "id, value", PLURALS[kind], "value IS NOT NULL"):
        entities: list[Entity] = [entity_of(kind, value) for _id, value in page]
        _count_broken(session, entities, kind, broken)
        for entity in entities:
            for words in impossible_in(entity):
                impossible.add(f"{kind}: {words}", entity.id)
        done += len(page)
        progress(kind.value, done, max(total, done))


def _count_broken(
    session: Session, entities: Sequence[Entity], kind: FactKind, broken: Tally
) -> None:
    """Count the facts that name what is not stored; one that does so twice in a field, once."""
    named = [(entity.id, set(references_in(entity))) for entity in entities]
    wanted: dict[FactKind, set[str]] = {}
    for _id, references in named:
        for one in references:
            wanted.setdefault(one.kind, set()).add(one.id)
    stored = {target: _stored(session, target, ids) for target, ids in wanted.items()}
    for fact_id, references in named:
        for field, target in sorted(
            {(one.field, one.kind) for one in references if one.id not in stored[one.kind]}
        ):
            broken.add(f"{kind}.{field}: no such {target}", fact_id)


def _stored(session: Session, kind: FactKind, ids: set[str]) -> set[str]:
    """Return those of *ids* that are facts of *kind*, or were before somebody was erased."""
    statement = (
        f"SELECT id FROM {PLURALS[kind]} WHERE id = ANY(:ids)"  # noqa: S608  # ours
        " AND (value IS NOT NULL OR observed_at = :erased)"
    )
    return {row[0] for row in session.rows(statement, {"ids": ids, "erased": ERASED_AT})}


def _conflicting(session: Session, progress: Progress) -> Iterator[str]:
    """Yield the recordings whose facts disagree; tell how many were judged."""
    total, done = rows_in(session, FactKind.RECORDING), 0
    for page in pages(session, COLUMNS, TABLES, "r.value IS NOT NULL", "r.id"):
        found = judged_rows(session, page)
        yield from sorted(one for one, of in found.items() if of.standing is Standing.CONFLICT)
        done += len(page)
        progress("conflicts", done, max(total, done))


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

"""What a question rested on at an earlier instant, as a load of that time would have brought it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from authz_service.facts.database import Access, Database
from authz_service.facts.decoding import from_microseconds, to_microseconds
from authz_service.facts.past import Past
from authz_service.facts.revisions import state
from authz_service.facts.sessions import Session
from authz_service.operations.ports import FactsQuestion
from authz_service.pdp.assembly import (
    patient_facts,
    recording_facts,
    relatives,
    same_person,
    subject_facts,
)
from authz_service.pdp.entities import (
    Attendance,
    Block,
    Consent,
    Consultation,
    Containment,
    Delegation,
    Grant,
    Recording,
    Relationship,
    Subject,
    Tenant,
)
from authz_service.pdp.entity_words import FactKind
from authz_service.pdp.errors import FactsUnavailableError, HistoryGoneError
from authz_service.pdp.facts import Fact, Facts, PatientFacts, RecordingFacts, SubjectFacts
from authz_service.pdp.model import Instant

_LOCK_SECONDS: Final = 2.0
_MAX_WAITING: Final = 16
_ENDED_BY: Final = (
    "SELECT revision FROM facts_writes WHERE latest_at > :at ORDER BY latest_at, revision LIMIT 1"
)
KEPT_FROM: Final = (
    "SELECT s.begins, w.latest_at FROM"
    " (SELECT CASE WHEN history_from > 1 THEN history_from ELSE 1 END AS begins"
    " FROM facts_revision) s LEFT JOIN facts_writes w ON w.revision = s.begins"
)
"""From which revision on there is history, at most from the first write on, and its instant."""

OfPatient = TypeVar("OfPatient", Delegation, Block, Relationship, Grant, Consent)


class SqlHistory:
    """A registry as it was, read on a thread of its own. For one event loop.

    Nothing is opened before the first question.
    """

    def __init__(self, url: str) -> None:
        """Describe the registry.

        Args:
            url: ``sqlite:///path`` or ``postgresql+psycopg://…``.

        Raises:
            FactsUnavailableError: The URL names no database that this service can use.
        """
        self._database = Database(url, lock_seconds=_LOCK_SECONDS, pool=1, by_index=True)
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="facts-history")
        self._waiting = 0

    async def facts_as_of(self, question: FactsQuestion, as_of: Instant) -> Facts:
        if self._waiting >= _MAX_WAITING:
            raise FactsUnavailableError("too many questions about its history are waiting")
        self._waiting += 1
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._threads, self.read, question, as_of)
        finally:
            self._waiting -= 1

    def read(self, question: FactsQuestion, as_of: Instant) -> Facts:
        """Return what `facts_as_of` returns. Blocks.

        Raises:
            HistoryGoneError: The instant lies before the history that is kept.
            FactsUnavailableError: The registry is silent, locked, gone or of another schema.
        """
        with self._database.transaction(Access.READ) as session:
            return facts_at(session, question, revision_at(session, as_of))

    def close(self) -> None:
        """Let what has begun end, and close the connection. Blocks."""
        self._threads.shutdown(wait=True, cancel_futures=True)
        self._database.close()


def revision_at(session: Session, instant: Instant) -> int:
    """Return the last revision of which nothing was recorded after *instant*.

    The order of writes is that of their revisions; when each was recorded is told by the clock of
    whoever wrote it, and clocks differ and jump. The first write recorded after the instant ends
    what was known then, and so nothing is ever counted as known that a clock says came later.

    Raises:
        HistoryGoneError: It lies before the history that is kept, or before the first write.
        FactsUnavailableError: The schema is of another version.
    """
    current, _nonce = state(session)
    row = session.one(_ENDED_BY, {"at": to_microseconds(instant)})
    revision: int = row[0] - 1 if row else current
    kept_from, since = session.one(KEPT_FROM) or (1, None)
    if revision < kept_from:
        raise HistoryGoneError(_beginning(kept_from, since))
    return revision


def _beginning(revision: int, since: int | None) -> str:
    """Say from where on there is history."""
    if since is None:
        return "nothing was ever written" if revision == 1 else f"it begins at revision {revision}"
    instant = from_microseconds(since).isoformat().replace("+00:00", "Z")
    return f"it begins at {instant}, with revision {revision}"


def facts_at(session: Session, question: FactsQuestion, revision: int) -> Facts:
    """Return what *question* rested on at *revision*, which lies within the history that is kept.

    Raises:
        FactsUnavailableError: A stored fact is damaged.
    """
    past = Past(session, revision)
    recording = _recording(past, question.recording_id)
    patient_id = recording.attribution.patient_id if recording else None
    return Facts(
        _subject(past, question.subject_id),
        recording,
        _patient(past, patient_id) if patient_id else None,
        tuple(fact.entity for fact in past.some(Containment, past.containment_ids())),
        revision,
    )


def _subject(past: Past, subject_id: str) -> SubjectFacts | None:
    """Return what was known of who asks."""
    subject = past.one(Subject, subject_id)
    if subject is None:
        return None
    return subject_facts(subject.entity, same_person(subject_id, past.same))


def _recording(past: Past, recording_id: str) -> RecordingFacts | None:
    """Return what was known of a recording."""
    recording = past.one(Recording, recording_id)
    if recording is None:
        return None
    grants = past.some(Grant, past.granted_on(recording_id))
    return recording_facts(
        recording,
        past.one(Consultation, recording.entity.consultation_id),
        past.one(Attendance, recording_id),
        [fact for fact in grants if fact.entity.recording_id == recording_id],
        disputed=past.was_disputed(recording_id),
    )


def _patient(past: Past, patient_id: str) -> PatientFacts | None:
    """Return what was known of a patient."""
    subject = past.one(Subject, patient_id)
    if subject is None:
        return None
    tenant = past.one(Tenant, subject.entity.tenant_id)
    person_ids = same_person(patient_id, past.same)
    about = past.about(patient_id)

    def of(made: type[OfPatient], kind: FactKind) -> Iterable[Fact[OfPatient]]:
        found = past.some(made, about.get(kind, ()))
        return (fact for fact in found if fact.entity.patient_id == patient_id)

    return patient_facts(
        subject.entity,
        tenant.entity if tenant else None,
        person_ids=person_ids,
        family_ids=relatives(person_ids, past.same, past.family),
        delegations=of(Delegation, FactKind.DELEGATION),
        blocks=of(Block, FactKind.BLOCK),
        relationships=of(Relationship, FactKind.RELATIONSHIP),
        grants=(one for one in of(Grant, FactKind.GRANT) if one.entity.recording_id is None),
        consents=of(Consent, FactKind.CONSENT),
    )

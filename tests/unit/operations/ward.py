"""A registry in memory whose every recording is a candidate: slow, and plainly right."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from authz_service.operations.lists import CandidatePage, CandidateQuestion, ListKey
from authz_service.operations.ports import FactsQuestion
from authz_service.pdp.assembly import World
from authz_service.pdp.entities import (
    Attendance,
    Consultation,
    Entity,
    Participant,
    Recording,
    RoleAssignment,
    Subject,
    Tenant,
)
from authz_service.pdp.entity_words import (
    FactKind,
    ParticipantKind,
    RecordingState,
    SubjectKind,
    SubjectStatus,
)
from authz_service.pdp.errors import RevisionAheadError
from authz_service.pdp.facts import Fact, FactReference, Facts
from authz_service.pdp.model import Instant

DAWN = datetime(2020, 6, 1, tzinfo=UTC)
SOURCES = {Recording: "pipeline", Consultation: "booking", Attendance: "media"}

Hook = Callable[[], None]


def as_fact(entity: Entity, revision: int = 1) -> Fact[Any]:
    """Return *entity* as a fact; the three witnesses of a recording are three sources."""
    return Fact(entity, SOURCES.get(type(entity), "desk"), DAWN, revision)


def staff(subject_id: str) -> Subject:
    role = RoleAssignment("clinician", DAWN)
    return Subject(subject_id, "uk", SubjectKind.STAFF, SubjectStatus.ACTIVE, roles=(role,))


def patient(subject_id: str, **more: Any) -> Subject:
    return Subject(subject_id, "uk", SubjectKind.PATIENT, SubjectStatus.ACTIVE, **more)


def recorded(
    recording_id: str, owner_id: str, minutes: int, clinician_id: str = "finch", **more: Any
) -> tuple[Entity, ...]:
    """Return a recording of *owner_id*, made some minutes after dawn, on which all facts agree."""
    people = (
        Participant(owner_id, ParticipantKind.PATIENT),
        Participant(clinician_id, ParticipantKind.CLINICIAN),
    )
    fields: dict[str, Any] = {"created_at": DAWN + timedelta(minutes=minutes)} | more
    return (
        Consultation(f"c-{recording_id}", "uk", owner_id, started_at=DAWN),
        Recording(
            recording_id,
            "uk",
            fields.pop("state", RecordingState.ACTIVE),
            f"c-{recording_id}",
            owner_id,
            **fields,
        ),
        Attendance(recording_id, people),
    )


class Ward:
    """Facts and candidates at a revision that grows with every write.

    Attributes:
        revision: The registry's revision.
        chunks: The limits that candidates were asked for with.
        questions: What candidates were asked for.
        before_chunk: What happens before the n-th chunk is read, by n from 1.
        before_facts: What happens before facts are read, one a reading.
    """

    def __init__(self, *entities: Entity) -> None:
        self.revision = 0
        self.chunks: list[int] = []
        self.questions: list[CandidateQuestion] = []
        self.before_chunk: dict[int, Hook] = {}
        self.before_facts: list[Hook] = []
        self._facts: dict[FactReference, Fact[Any]] = {}
        self.put(Tenant("uk", "Europe/London"), *entities)

    def put(self, *entities: Entity) -> None:
        """Write facts; the revision grows by one."""
        self.revision += 1
        for entity in entities:
            fact = as_fact(entity, self.revision)
            self._facts[FactReference(fact.kind, entity.id)] = fact

    def delete(self, kind: FactKind, fact_id: str) -> None:
        """Delete a fact; the revision grows by one."""
        self.revision += 1
        self._facts.pop(FactReference(kind, fact_id), None)

    def change(self, recording_id: str, **fields: Any) -> None:
        """Write a recording anew with other fields."""
        stored = self._facts[FactReference(FactKind.RECORDING, recording_id)]
        self.put(replace(stored.entity, **fields))

    def recordings(self) -> list[Recording]:
        """Return every recording that says when it was made, newest first."""
        found = [f.entity for f in self._facts.values() if isinstance(f.entity, Recording)]
        return sorted((one for one in found if one.created_at), key=key_of, reverse=True)

    def about(self, subject_id: str, recording_id: str) -> Facts:
        """Return the facts of one question."""
        facts = World(self._facts.values()).facts_for(subject_id, recording_id)
        return facts._replace(revision=self.revision)

    def cached(self, question: FactsQuestion, at_least: int) -> Facts | None:
        return None

    async def facts_for(self, questions: Sequence[FactsQuestion], at_least: int) -> Sequence[Facts]:
        if self.before_facts:
            self.before_facts.pop(0)()
        self._require(at_least)
        return [self.about(*question) for question in questions]

    async def candidates(
        self, question: CandidateQuestion, *, after: ListKey | None, limit: int, at_least: int
    ) -> CandidatePage:
        self.chunks.append(limit)
        self.questions.append(question)
        self.before_chunk.pop(len(self.chunks), lambda: None)()
        self._require(at_least)
        rest = [one for one in self.recordings() if _is_asked_for(one, question, after)]
        if not question.relations:
            rest = []
        taken = rest[:limit]
        return CandidatePage(
            [self.about(question.subject_id, one.id) for one in taken],
            [key_of(one) for one in taken],
            len(taken) == len(rest),
            self.revision,
        )

    def _require(self, at_least: int) -> None:
        if self.revision < at_least:
            raise RevisionAheadError(at_least, self.revision)


def key_of(recording: Recording) -> ListKey:
    """Return where *recording* stands in a list."""
    assert recording.created_at is not None
    return ListKey(recording.created_at, recording.id)


def _is_asked_for(recording: Recording, question: CandidateQuestion, after: ListKey | None) -> bool:
    made: Instant | None = recording.created_at
    return (
        made is not None
        and (after is None or key_of(recording) < after)
        and question.patient_id in (None, recording.owner_id)
        and (question.created_from is None or question.created_from <= made)
        and (question.created_to is None or made < question.created_to)
    )

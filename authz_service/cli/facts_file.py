"""An exported registry as facts for questions decided here: a file of JSON Lines, read whole.

Plain and slow, by the `World` that every other source of facts is held against. An export holds no
disputes: what stands in the registry beside the facts is not in the file.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from authz_service.facts.import_lines import fact_on, lines_in
from authz_service.operations.lists import CandidatePage, CandidateQuestion, ListKey
from authz_service.operations.ports import FactsQuestion
from authz_service.operations.subjects import SubjectPage, SubjectsQuestion
from authz_service.operations.writes import Tenants
from authz_service.pdp.assembly import World
from authz_service.pdp.entities import Entity, Recording, Subject
from authz_service.pdp.errors import RevisionAheadError
from authz_service.pdp.facts import Fact, FactReference, Facts


class FileReadings:
    """All facts of one file, the later of two about the same thing. At no revision: it has none."""

    def __init__(self, path: Path) -> None:
        """Read the file at *path*.

        Raises:
            InvalidRequestError: A line is no fact; names it.
            OSError: The file cannot be read.
        """
        self._facts = {FactReference(fact.kind, fact.entity.id): fact for fact in _facts_in(path)}
        self._world = World(self._facts.values())
        self.revision = 0

    def cached(self, question: FactsQuestion, at_least: int) -> Facts | None:
        self._require(at_least)
        return self._facts_of(question)

    async def facts_for(self, questions: Sequence[FactsQuestion], at_least: int) -> Sequence[Facts]:
        self._require(at_least)
        return [self._facts_of(question) for question in questions]

    async def candidates(
        self, question: CandidateQuestion, *, after: ListKey | None, limit: int, at_least: int
    ) -> CandidatePage:
        self._require(at_least)
        keys = sorted(self._keys(question), reverse=True)
        rest = [key for key in keys if after is None or key < after]
        facts = [
            self._facts_of(FactsQuestion(question.subject_id, key.recording_id))
            for key in rest[:limit]
        ]
        return CandidatePage(facts, rest[:limit], len(rest) <= limit, self.revision)

    async def subjects(
        self, question: SubjectsQuestion, *, after: str, limit: int, at_least: int
    ) -> SubjectPage:
        self._require(at_least)
        everybody = sorted(
            fact.entity.id for fact in self._facts.values() if isinstance(fact.entity, Subject)
        )
        rest = [subject_id for subject_id in everybody if subject_id > after]
        facts = [
            self._facts_of(FactsQuestion(subject_id, question.recording_id))
            for subject_id in rest[:limit]
        ]
        return SubjectPage(rest[:limit], facts, len(rest) <= limit, self.revision)

    async def read(
        self,
        references: Sequence[FactReference],
        *,
        within: Tenants = None,  # noqa: ARG002  # the port's
    ) -> tuple[Sequence[Fact[Entity]], int]:
        found = [self._facts[each] for each in references if each in self._facts]
        return found, self.revision

    def close(self) -> None:
        """Have nothing to close."""

    def _facts_of(self, question: FactsQuestion) -> Facts:
        """Return what a question rests on."""
        return self._world.facts_for(question.subject_id, question.recording_id)

    def _keys(self, question: CandidateQuestion) -> Iterator[ListKey]:
        """Yield every recording that *question* asks for, whoever may reach it."""
        for fact in self._facts.values():
            recording = fact.entity
            if not isinstance(recording, Recording) or recording.created_at is None:
                continue
            made, start, end = recording.created_at, question.created_from, question.created_to
            is_within = (start is None or start <= made) and (end is None or made < end)
            if is_within and question.patient_id in (None, recording.owner_id):
                yield ListKey(made, recording.id)

    def _require(self, at_least: int) -> None:
        """Refuse to rest on a revision.

        Raises:
            RevisionAheadError: One is asked for.
        """
        if at_least > self.revision:
            raise RevisionAheadError(at_least, self.revision)


def _facts_in(path: Path) -> Iterator[Fact[Entity]]:
    """Yield the facts on the lines of the file at *path*."""
    with path.open("rb") as file:
        for number, line in enumerate(lines_in(file), 1):
            if not line.isspace():
                yield fact_on(line, f"{path}:{number}: ")

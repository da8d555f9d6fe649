"""Facts and candidates for questions decided here: each reading one snapshot of a registry."""

from __future__ import annotations

from collections.abc import Sequence

from authz_service.clocks import SystemClock
from authz_service.facts.questions import facts_in, keys_of, questions_about
from authz_service.facts.reader import PageQuestion
from authz_service.facts.sql_reader import SqlReader
from authz_service.facts.sql_registry import SqlRegistry
from authz_service.facts.subject_candidates import SubjectsPart
from authz_service.facts.subject_listing import page_of
from authz_service.operations.lists import CandidatePage, CandidateQuestion, ListKey
from authz_service.operations.ports import FactsQuestion
from authz_service.operations.records import Record
from authz_service.operations.subjects import SubjectPage, SubjectsQuestion
from authz_service.operations.writes import Tenants
from authz_service.pdp.entities import Entity
from authz_service.pdp.errors import RevisionAheadError
from authz_service.pdp.facts import Fact, FactReference, Facts


class RegistryReadings:
    """Everything read anew each time, each reading in one snapshot of the registry."""

    def __init__(self, url: str) -> None:
        """Read the registry at *url*.

        Raises:
            FactsUnavailableError: The URL names no database that this program can use, or the
                registry cannot be read.
        """
        self._reader = SqlReader(url, SystemClock(), connections=1)
        self._registry = SqlRegistry(url, SystemClock())
        self._reader.look()
        self.revision = -1

    def cached(self, question: FactsQuestion, at_least: int) -> Facts | None:  # noqa: ARG002  # the port's
        return None

    async def facts_for(self, questions: Sequence[FactsQuestion], at_least: int) -> Sequence[Facts]:
        load = self._reader.load(keys_of(questions))
        self._require(load.revision, at_least)
        return [facts_in(load, question, load.revision) for question in questions]

    async def candidates(
        self, question: CandidateQuestion, *, after: ListKey | None, limit: int, at_least: int
    ) -> CandidatePage:
        page = PageQuestion(question, after, limit)
        found, load = self._reader.candidates_with_facts(page)
        self._require(found.revision, at_least)
        facts = [facts_in(load, one, load.revision) for one in questions_about(page, found)]
        return CandidatePage(facts, found.keys, found.is_last, found.revision)

    async def subjects(
        self, question: SubjectsQuestion, *, after: str, limit: int, at_least: int
    ) -> SubjectPage:
        part = SubjectsPart(question, after, limit)
        found, load = self._reader.subjects_with_facts(part)
        self._require(found.revision, at_least)
        return page_of(part, found, load)

    async def read(
        self, references: Sequence[FactReference], *, within: Tenants = None
    ) -> tuple[Sequence[Fact[Entity]], int]:
        return await self._registry.read(references, within=within)

    def close(self) -> None:
        """Close all connections."""
        self._reader.close()
        self._registry.close()

    def _require(self, revision: int, at_least: int) -> None:
        """Refuse a state before *at_least*.

        Raises:
            RevisionAheadError: It is.
        """
        self.revision = revision
        if revision < at_least:
            raise RevisionAheadError(at_least, revision)


class NoJournal:
    """Takes records, and keeps none."""

    def require_usable(self) -> None:
        """Never refuse."""

    async def append(self, records: Sequence[Record]) -> None:
        """Keep nothing."""


class NoObserver:
    """Hears of lists, and counts none."""

    def listed(self, action: str, rows: int, candidates: int, seconds: float) -> None:
        """Count nothing."""

    def alarmed(self, reason: str) -> None:
        """Count nothing."""

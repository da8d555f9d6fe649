"""Every plug to the outside, on one page. The docstrings are the contract for all that plugs in."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from authz_service.operations.containments import ContainmentChange, Demand
from authz_service.operations.decision_log import DecisionKey, DecisionsQuestion, StoredRecord
from authz_service.operations.lists import CandidatePage, CandidateQuestion, ListKey
from authz_service.operations.records import Record
from authz_service.operations.subjects import SubjectPage, SubjectsQuestion
from authz_service.operations.writes import (
    Erasure,
    Resolution,
    Tenants,
    ToDelete,
    ToWrite,
    WriteOutcome,
)
from authz_service.pdp.entities import Containment, Entity
from authz_service.pdp.errors import PolicyProblem
from authz_service.pdp.facts import Fact, FactReference, Facts
from authz_service.pdp.model import Instant
from authz_service.pdp.ruleset import Ruleset


class Clock(Protocol):
    """The service's own time; nobody else's counts."""

    def now(self) -> Instant:
        """Return the time in UTC, to the microsecond."""
        ...


class FactsQuestion(NamedTuple):
    """Which facts a check needs. A tuple, because one is made for every check."""

    subject_id: str
    recording_id: str


class FactsSource(Protocol):
    """Where a check gets its facts: fresh, and all at one revision."""

    @property
    def revision(self) -> int:
        """The registry's revision as last looked at; -1 before the first look."""
        ...

    def cached(self, question: FactsQuestion, at_least: int) -> Facts | None:
        """Return the facts without waiting, or None where that is not possible.

        Possible when a look at the registry's revision was sent within the staleness bound, the
        revision looked at is *at_least* that asked for, and everything needed is held at it.
        """
        ...

    async def facts_for(self, questions: Sequence[FactsQuestion], at_least: int) -> Sequence[Facts]:
        """Return the facts for each of *questions*, in order, all true at one revision.

        The revision is at least *at_least* and was looked at within the staleness bound before
        the call returns. Concurrent calls share looks and loads. Safe to cancel.

        Raises:
            RevisionAheadError: A fresh look finds the registry before *at_least*.
            FactsUnavailableError: The registry is silent, read-only, locked, gone, of another
                schema, or its clock is more than a second off.
        """
        ...


class HistorySource(Protocol):
    """The registry as it was."""

    async def facts_as_of(self, question: FactsQuestion, as_of: Instant) -> Facts:
        """Return what *question* rested on at an instant, by what had been recorded by then.

        Who was linked, contained and disputed then, all included. Safe to cancel.

        Raises:
            HistoryGoneError: The instant lies before the history that is kept.
            FactsUnavailableError: The registry is silent, locked, gone or of another schema.
        """
        ...


class CandidateSource(Protocol):
    """Where a list gets the recordings that it has to judge, with the facts to judge them."""

    async def candidates(
        self, question: CandidateQuestion, *, after: ListKey | None, limit: int, at_least: int
    ) -> CandidatePage:
        """Return the next candidates, newest first: at most *limit*, fewer only at the end.

        Every recording to which the subject has one of the relations is among them, each once;
        one to which it has none may be. One that says not when it was made is never among them:
        its facts are incomplete. Freshness and *at_least* are as in `FactsSource.facts_for`.
        Safe to cancel.

        Raises:
            RevisionAheadError: A fresh look finds the registry before *at_least*.
            FactsUnavailableError: As `FactsSource.facts_for`.
        """
        ...


class SubjectSource(Protocol):
    """Where a page of those who may gets the subjects that it has to judge, with their facts."""

    async def subjects(
        self, question: SubjectsQuestion, *, after: str, limit: int, at_least: int
    ) -> SubjectPage:
        """Return the next candidates, by id: at most *limit*, fewer only at the end.

        Every subject that has one of the relations to the recording is among them, each once; one
        that has none may be. Freshness and *at_least* are as in `FactsSource.facts_for`. Safe to
        cancel.

        Raises:
            RevisionAheadError: A fresh look finds the registry before *at_least*.
            FactsUnavailableError: As `FactsSource.facts_for`.
        """
        ...


class StoredFacts(Protocol):
    """Single facts as they are stored, with who said so."""

    async def read(
        self, references: Sequence[FactReference], *, within: Tenants = None
    ) -> tuple[Sequence[Fact[Entity]], int]:
        """Return the stored facts; see `FactsRegistry.read`."""
        ...


class FactsRegistry(Protocol):
    """The registry as those see it who write to it. All or nothing, one revision a write.

    *within* names the tenants to whose facts a caller is bound; None stands for all. A fact of
    another tenant, stored or to be written, and one of which it cannot be told whose it is, is
    refused; nothing moves between that check and the write. Of what is read or deleted it is left
    out. *may_review* says whether reviews may be written and deleted.
    """

    async def write(
        self, facts: ToWrite, *, actor: str, within: Tenants = None, may_review: bool = True
    ) -> WriteOutcome:
        """Write *facts*, each in place of the stored one of its kind and id.

        Observed before the stored one: skipped. Observed at the same instant: unchanged if word
        for word the same, otherwise refused. Where nothing is written the revision stays.

        Raises:
            CallerNotAllowedError: A fact is not of the tenants in *within*, or a review changes.
            StateError: A fact would clear a revocation or a review, contradicts one of the same
                instant, or has somebody lift or review what takes another person.
            FactsUnavailableError: The registry is silent, locked, read-only or gone.
        """
        ...

    async def delete(
        self, references: ToDelete, *, actor: str, within: Tenants = None, may_review: bool = True
    ) -> WriteOutcome:
        """Delete facts; what is not stored, or not of the tenants in *within*, is passed over.

        Raises:
            CallerNotAllowedError: A review would go.
            StateError: A fact denies something or is evidence, and stays.
            FactsUnavailableError: The registry is silent, locked, read-only or gone.
        """
        ...

    async def read(
        self, references: Sequence[FactReference], *, within: Tenants = None
    ) -> tuple[Sequence[Fact[Entity]], int]:
        """Return the stored facts, in order, what is not stored left out; and the revision.

        Raises:
            FactsUnavailableError: The registry is silent, locked or gone.
        """
        ...

    async def resolve(
        self, recording_id: str, *, actor: str, reason: str, within: Tenants = None
    ) -> Resolution:
        """Lift the mark that a change of owner left on a recording; keep *reason* beside it.

        Raises:
            CallerNotAllowedError: The recording is not of the tenants in *within*, or is not known.
            NotFoundError: No fact knows the recording.
            StateError: The facts disagree or are incomplete as they stand, or nothing is marked.
            FactsUnavailableError: The registry is silent, locked, read-only or gone.
        """
        ...

    async def erase(
        self, patient_id: str, *, actor: str, reason: str, within: Tenants = None
    ) -> Erasure:
        """Leave a tombstone of every fact about a patient; purge history; keep *reason* beside it.

        What was erased stays erased: a later fact of the same kind and id is skipped.

        Raises:
            CallerNotAllowedError: The patient is not of the tenants in *within*, or is not known.
            NotFoundError: No fact knows the patient.
            StateError: They are no patient, a legal hold is on a recording of theirs, facts name
                somebody else as well, or an emergency access to them is not reviewed.
            FactsUnavailableError: The registry is silent, locked, read-only or gone.
        """
        ...


class Containments(Protocol):
    """The brake. Its changes wait neither for other calls of this process nor for their writes.

    *within* names the tenants of which one has to stand in a scope; None stands for all.
    """

    async def contain(
        self, fact: Fact[Containment], *, actor: str, within: Tenants = None
    ) -> ContainmentChange:
        """Write a new containment.

        Raises:
            CallerNotAllowedError: Its scope names none of the tenants in *within*.
            StateError: There is one of that id.
            FactsUnavailableError: The registry is silent, locked, read-only or gone.
        """
        ...

    async def lift(
        self, containment_id: str, demand: Demand, *, within: Tenants = None
    ) -> ContainmentChange:
        """Have a containment end now; the reason is kept beside it, in the same write.

        Raises:
            NotFoundError: There is none of that id whose scope is within.
            StateError: It is lifted already, or *demand* is by who set it.
            FactsUnavailableError: The registry is silent, locked, read-only or gone.
        """
        ...

    async def read(self, *, within: Tenants = None) -> tuple[Sequence[Containment], int]:
        """Return all containments, lifted ones too, in no order; and the revision.

        Raises:
            FactsUnavailableError: The registry is silent, locked or gone.
        """
        ...


class Journal(Protocol):
    """The records of this replica, on stable storage. No record, no answer."""

    def require_usable(self) -> None:
        """Refuse a change that could not be recorded, before it is made.

        Raises:
            JournalUnavailableError: The journal cannot write.
        """
        ...

    def append(self, records: Sequence[Record]) -> Awaitable[None]:
        """Append *records* as one line that is on stable storage, whole, once awaited.

        Called on the event loop; does not block it. Records appended before a cancelled wait are
        written all the same.

        Raises:
            JournalUnavailableError: The journal cannot write; at the call or when awaited.
        """
        ...


class DecisionLog(Protocol):
    """The records of all replicas, as far as they have been shipped to the decision store."""

    async def get(self, decision_id: str) -> StoredRecord:
        """Return the record of one decision.

        Raises:
            NotFoundError: The store holds none of that id.
            DecisionsUnavailableError: The store is silent, gone or of another schema.
        """
        ...

    async def list(
        self, question: DecisionsQuestion, *, after: DecisionKey | None, limit: int
    ) -> Sequence[StoredRecord]:
        """Return the next records, newest first: at most *limit*, fewer only at the end.

        Raises:
            DecisionsUnavailableError: The store is silent, gone or of another schema.
        """
        ...


class PolicySource(Protocol):
    """Where bundles come from."""

    def load(self) -> LoadedPolicy:
        """Read, check, compile and try out the bundle. Blocks; call it off the event loop.

        Raises:
            PolicyRefusedError: The bundle is defective, or a case does not hold.
        """
        ...


@dataclass(frozen=True, slots=True)
class LoadedPolicy:
    """A bundle that was checked, compiled and tried out.

    Attributes:
        ruleset: The compiled policy.
        rules: How many rules it has.
        cases: How many cases it passed.
    """

    ruleset: Ruleset
    rules: int
    cases: int


@dataclass(frozen=True, slots=True)
class PolicyAttempt:
    """One reading of the bundle, and what became of it.

    Attributes:
        at: When.
        outcome: ``activated``, ``unchanged``, ``refused`` or ``valid``.
        problems: What was wrong with it.
    """

    at: Instant
    outcome: str
    problems: tuple[PolicyProblem, ...] = ()


class DecisionObserver(Protocol):
    """Hears of every decision: for counters, never for the answer."""

    def decided(self, effect: str, reason: str, action: str, seconds: float) -> None:
        """Count one decision that took *seconds*. Must not raise or block."""
        ...


class PolicyObserver(Protocol):
    """Hears of every reading of the bundle."""

    def policy_loaded(self, outcome: str, revision: str) -> None:
        """Count one attempt; *revision* is the one in force afterwards. Must not raise."""
        ...

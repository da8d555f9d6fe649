"""One page of those who may do something with a recording, by id: recorded as EXPLAINED.

Every candidate is judged by `decide` as a check of theirs in the same circumstances would be, all
of a page on one state of the facts, at one instant, under one policy.
"""

from __future__ import annotations

import asyncio
from time import perf_counter_ns
from typing import NamedTuple

from authz_service.operations.active_policy import ActivePolicy
from authz_service.operations.check_access import NewId
from authz_service.operations.page_tokens import PageTokens, QuestionPart, microseconds_of
from authz_service.operations.ports import Clock, Journal, SubjectSource
from authz_service.operations.records import CallContext, SubjectsRecord
from authz_service.operations.subjects import SubjectPage, SubjectsQuestion, SubjectsRequest
from authz_service.pdp.decide import decide
from authz_service.pdp.errors import FactsUnavailableError
from authz_service.pdp.model import Effect, Instant, Relation
from authz_service.pdp.ruleset import Ruleset
from authz_service.pdp.situation import impossible_conditions

SUBJECT_TOKENS = "subjects"
"""The kind of list that its page tokens are for."""

FEWEST_CANDIDATES = 64
"""How many are asked for at first."""
MOST_CANDIDATES = 640
"""How many are asked for at once at most as long as the registry stands still."""
MOST_AT_ONE_REVISION = 20_480
"""How many are asked for at once at most where it does not."""
STRETCH_NS = 3_000_000
"""How long candidates are judged before others have their turn, in nanoseconds.

Not how many: judging one takes as long as their patient has relationships.
"""
WALKS = 3
"""How often candidates are walked for one page."""

_NOBODY = ""


class ListedSubject(NamedTuple):
    """Somebody who may.

    Attributes:
        subject_id: Who.
        rule: By which rule.
        relations: What they are to the recording.
    """

    subject_id: str
    rule: str
    relations: tuple[Relation, ...]


class SubjectsOutcome(NamedTuple):
    """What a question for everybody who may answers.

    Attributes:
        record: The page, as it is recorded.
        rows: Its rows.
        next_page_token: Where to go on; empty where nothing follows.
    """

    record: SubjectsRecord
    rows: tuple[ListedSubject, ...]
    next_page_token: str


class _Page(NamedTuple):
    """A page, and whether anybody follows."""

    rows: list[ListedSubject]
    considered: int
    is_last: bool
    evaluated_at: Instant
    facts_revision: int


class ListSubjects:
    """Answers one question for a page of those who may."""

    def __init__(  # every plug of a list
        self,
        policy: ActivePolicy,
        subjects: SubjectSource,
        journal: Journal,
        *,
        tokens: PageTokens,
        clock: Clock,
        new_id: NewId,
    ) -> None:
        """Judge *subjects* by *policy*, record in *journal*."""
        self._policy = policy
        self._subjects = subjects
        self._journal = journal
        self._tokens = tokens
        self._clock = clock
        self._new_id = new_id

    async def __call__(
        self, request: SubjectsRequest, context: CallContext, *, at_least: int, started_ns: int
    ) -> SubjectsOutcome:
        """Return the page, which is on stable storage by then, with everybody it names.

        Args:
            request: The question.
            context: Who asks.
            at_least: The facts revision that the answer must rest on at least; 0 for any.
            started_ns: When the call arrived, on `time.perf_counter_ns`.

        Raises:
            InvalidRequestError: The page token was not issued for this question.
            PolicyNotReadyError: There is no policy, or it cannot be evaluated.
            FactsUnavailableError: The registry is not to be relied on.
            RevisionAheadError: The registry has not reached *at_least*.
            JournalUnavailableError: The record could not be written, so there is no answer.
        """
        question = _question_of(request, context)
        after = (
            str(self._tokens.read(request.page_token, question)[0]) if request.page_token else ""
        )
        ruleset, page = await self._filled(request, after, at_least)
        record = SubjectsRecord(
            self._new_id(),
            page.evaluated_at,
            context,
            request,
            tuple(row.subject_id for row in page.rows),
            page.considered,
            page.is_last,
            ruleset.revision,
            page.facts_revision,
            (perf_counter_ns() - started_ns) // 1000,
        )
        await self._journal.append((record,))
        last = () if page.is_last else (page.rows[-1].subject_id,)
        token = self._tokens.issue(question, last) if last else ""
        return SubjectsOutcome(record, tuple(page.rows), token)

    async def _filled(
        self, request: SubjectsRequest, after: str, at_least: int
    ) -> tuple[Ruleset, _Page]:
        """Return the page with the ruleset in force when it was judged.

        Raises:
            FactsUnavailableError: The registry changes faster than candidates are walked.
        """
        limit = FEWEST_CANDIDATES
        for _ in range(WALKS):
            await self._policy.let_go()
            ruleset = self._policy.ruleset
            walk = _Walk(request, ruleset, self._clock)
            page = await walk.page(self._subjects, after, limit=limit, at_least=at_least)
            if page and self._policy.ruleset is ruleset and self._policy.held is None:
                return ruleset, page
            limit = min(MOST_AT_ONE_REVISION, 4 * max(limit, walk.asked_for))
        raise FactsUnavailableError("it changes faster than a page can be put together")


class _Walk:
    """Judges candidates, chunk by chunk, until a page is full and it is known whether it is last.

    Attributes:
        asked_for: How many candidates were asked for.
    """

    def __init__(self, request: SubjectsRequest, ruleset: Ruleset, clock: Clock) -> None:
        """Judge by *ruleset*, at the one instant of *clock* that all are judged at."""
        self._request = request
        self._ruleset = ruleset
        self._clock = clock
        self._rows: list[ListedSubject] = []
        self._considered = 0
        self.asked_for = 0

    async def page(
        self, subjects: SubjectSource, after: str, *, limit: int, at_least: int
    ) -> _Page | None:
        """Return the page after *after*; None where the registry moved on between two chunks."""
        now = self._clock.now()
        question = self._question(now)
        revision = None
        size = self._request.page_size
        while True:
            chunk = await subjects.subjects(question, after=after, limit=limit, at_least=at_least)
            if revision not in (None, chunk.revision):
                return None
            if revision is None:
                revision, now = chunk.revision, self._clock.now()
            self.asked_for += limit
            await self._judge(chunk, now)
            if chunk.is_last or len(self._rows) > size:
                is_last = len(self._rows) <= size
                return _Page(self._rows[:size], self._considered, is_last, now, chunk.revision)
            after = chunk.subject_ids[-1]
            limit = max(limit, min(MOST_CANDIDATES, 2 * limit))

    def _question(self, now: Instant) -> SubjectsQuestion:
        """Return who has to be judged at *now* or later."""
        asked = self._request
        impossible = impossible_conditions(asked.about(_NOBODY), now)
        return SubjectsQuestion(
            asked.recording_id,
            self._ruleset.open_relations(asked.action, asked.purpose_of_use, impossible),
        )

    async def _judge(self, chunk: SubjectPage, now: Instant) -> None:
        """Judge a chunk as far as rows are needed; others have their turn on the way."""
        began_ns = perf_counter_ns()
        for subject_id, facts in zip(chunk.subject_ids, chunk.facts, strict=True):
            if len(self._rows) > self._request.page_size:
                return
            request = self._request.about(subject_id)
            decision = decide(request, facts, self._ruleset, now, explain=False)
            self._considered += 1
            if decision.effect is Effect.ALLOW and decision.rule is not None:
                relations = tuple(sorted(relation for relation, _ in decision.evidence))
                self._rows.append(ListedSubject(subject_id, decision.rule, relations))
            if perf_counter_ns() - began_ns > STRETCH_NS:
                await asyncio.sleep(0)
                began_ns = perf_counter_ns()


def _question_of(request: SubjectsRequest, context: CallContext) -> tuple[QuestionPart, ...]:
    """Return what a token is bound to: all of the question but how much of it at a time."""
    authenticated_at = request.authenticated_at
    return (
        context.caller,
        request.recording_id,
        request.action,
        request.purpose_of_use,
        request.tenant_id,
        request.assurance,
        None if authenticated_at is None else microseconds_of(authenticated_at),
        request.matter_id,
    )

"""One page of the recordings that a subject may see, newest first: a list is a disclosure.

It holds what `CheckAccess` would allow one by one, and nothing in it tells of anything else. What
was denied on the way is not recorded, since nobody learned of it; what is returned is, row by row,
and the page itself, an empty one too. A page for somebody who asks what the subject may presents
the subject nothing: it is one record, EXPLAINED, with the recordings on it.
"""

from __future__ import annotations

from time import perf_counter_ns
from typing import NamedTuple, Protocol

from authz_service.operations.active_policy import ActivePolicy
from authz_service.operations.check_access import NewId
from authz_service.operations.even_pace import Pace
from authz_service.operations.judging import Row
from authz_service.operations.lists import ListKey, ListRequest
from authz_service.operations.page_filling import Page, PageFilling
from authz_service.operations.page_tokens import (
    PageTokens,
    QuestionPart,
    instant_at,
    microseconds_of,
)
from authz_service.operations.ports import CandidateSource, Clock, FactsSource, Journal
from authz_service.operations.records import CallContext, DecisionRecord, ListRecord, RecordKind
from authz_service.pdp.model import Instant
from authz_service.pdp.ruleset import Ruleset

MAX_PAGE = 500
"""Most rows on a page."""
DEFAULT_PAGE = 50
"""How many rows a page has where nobody says."""
LIST_TOKENS = "recordings"
"""The kind of list that its page tokens are for."""


class ListObserver(Protocol):
    """Hears of every page: for counters, never for the answer."""

    def listed(self, action: str, rows: int, candidates: int, seconds: float) -> None:
        """Count a page of *rows*, for which *candidates* were judged, after *seconds*.

        Must not raise or block.
        """
        ...

    def alarmed(self, reason: str) -> None:
        """Count a candidate that was denied for a *reason* that somebody has to hear of.

        Must not raise or block.
        """
        ...


class ListedRow(NamedTuple):
    """A row that is returned.

    Attributes:
        created_at: When the recording was made.
        record: The decision, as it is recorded.
    """

    created_at: Instant
    record: DecisionRecord


class ListOutcome(NamedTuple):
    """What a list answers.

    Attributes:
        record: The page, as it is recorded.
        rows: Its rows.
        next_page_token: Where to go on; empty where nothing follows.
    """

    record: ListRecord
    rows: tuple[ListedRow, ...]
    next_page_token: str


class ListRecordings:
    """Answers one question for a page of a list."""

    def __init__(  # noqa: PLR0913  # every plug of a list
        self,
        policy: ActivePolicy,
        facts: FactsSource,
        journal: Journal,
        *,
        candidates: CandidateSource,
        tokens: PageTokens,
        clock: Clock,
        observer: ListObserver,
        new_id: NewId,
    ) -> None:
        """Judge *candidates* by *policy* on *facts*, record in *journal*."""
        self._policy = policy
        self._facts = facts
        self._journal = journal
        self._candidates = candidates
        self._tokens = tokens
        self._clock = clock
        self._observer = observer
        self._new_id = new_id

    async def __call__(
        self,
        request: ListRequest,
        context: CallContext,
        *,
        at_least: int,
        started_ns: int,
        pace: Pace | None = None,
    ) -> ListOutcome:
        """Return the page, every row of which is on stable storage by then.

        Args:
            request: The question.
            context: Who asks.
            at_least: The facts revision that the answer must rest on at least; 0 for any.
            started_ns: When the call arrived, on `time.perf_counter_ns`.
            pace: At which an empty page leaves; None for a caller that may explain.

        Raises:
            InvalidRequestError: The page token was not issued for this question.
            PolicyNotReadyError: There is no policy, or it cannot be evaluated.
            FactsUnavailableError: The registry is not to be relied on.
            RevisionAheadError: The registry has not reached *at_least*.
            JournalUnavailableError: The records could not be written, so there is no answer.
        """
        question = _question_of(request, context)
        after = self._key_in(request.page_token, question) if request.page_token else None
        ruleset, page = await self._filled(request, after, at_least)
        elapsed = (perf_counter_ns() - started_ns) // 1000
        if pace is not None and not page.rows:
            await pace.keep(started_ns)
        record = ListRecord(
            self._new_id(),
            page.evaluated_at,
            context,
            request,
            len(page.rows),
            page.considered,
            page.is_last,
            ruleset.revision,
            page.facts_revision,
            elapsed,
            _explained(page) if request.is_explained else None,
        )
        rows = tuple(self._judged(row, record) for row in page.rows)
        if request.is_explained:
            await self._journal.append((record,))
            return ListOutcome(record, rows, self._token(page, question))
        await self._journal.append((record, *(row.record for row in rows)))
        self._observer.listed(request.action, len(rows), page.considered, elapsed / 1_000_000)
        for reason in page.alarms:
            self._observer.alarmed(reason)
        return ListOutcome(record, rows, self._token(page, question))

    async def _filled(
        self, request: ListRequest, after: ListKey | None, at_least: int
    ) -> tuple[Ruleset, Page]:
        """Return the page after *after* with the ruleset in force when it was judged.

        Where another has been put in force on the way, or is about to be, it begins again: which
        candidates there are goes by the rules as well.
        """
        while True:
            await self._policy.let_go()
            ruleset = self._policy.ruleset
            page = await PageFilling(
                request,
                ruleset,
                facts=self._facts,
                candidates=self._candidates,
                clock=self._clock,
                at_least=at_least,
            ).filled(after)
            if self._policy.ruleset is ruleset and self._policy.held is None:
                return ruleset, page

    def _judged(self, row: Row, page: ListRecord) -> ListedRow:
        """Return *row* with its record; without an id of its own where nobody was presented it."""
        is_presented = page.explained is None
        record = DecisionRecord(
            self._new_id() if is_presented else "",
            page.evaluated_at,
            page.context,
            row.request,
            row.decision,
            page.policy_revision,
            page.facts_revision,
            page.elapsed_microseconds,
            RecordKind.PRESENTED if is_presented else RecordKind.EXPLAINED,
        )
        return ListedRow(row.key.created_at, record)

    def _key_in(self, token: str, question: tuple[QuestionPart, ...]) -> ListKey:
        """Return where the list stands after the page that *token* came with.

        Raises:
            InvalidRequestError: It did not come with a page of this list.
        """
        made, recording_id = self._tokens.read(token, question)
        return ListKey(instant_at(made), str(recording_id))

    def _token(self, page: Page, question: tuple[QuestionPart, ...]) -> str:
        """Return the token of the page after *page*; empty where none follows."""
        if page.is_last or not page.rows:
            return ""
        last = page.rows[-1].key
        return self._tokens.issue(question, (microseconds_of(last.created_at), last.recording_id))


def _question_of(request: ListRequest, context: CallContext) -> tuple[QuestionPart, ...]:
    """Return what a token is bound to: all of the question but how much of it at a time."""
    return (
        context.caller,
        request.subject_id,
        request.action,
        request.purpose_of_use,
        request.tenant_id,
        request.assurance,
        _part_of(request.authenticated_at),
        request.matter_id,
        request.patient_id,
        _part_of(request.created_from),
        _part_of(request.created_to),
        *(("explained",) if request.is_explained else ()),
    )


def _explained(page: Page) -> tuple[str, ...]:
    """Return the recordings on *page*."""
    return tuple(row.key.recording_id for row in page.rows)


def _part_of(instant: Instant | None) -> int | None:
    """Return *instant* as a part of a question."""
    return None if instant is None else microseconds_of(instant)

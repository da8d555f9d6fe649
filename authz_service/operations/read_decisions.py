"""The verbs of auditors: every reading is recorded before its answer leaves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from authz_service.operations.decision_log import DecisionKey, DecisionsQuestion, StoredRecord
from authz_service.operations.page_tokens import (
    PageTokens,
    QuestionPart,
    instant_at,
    microseconds_of,
)
from authz_service.operations.ports import Clock, DecisionLog, Journal
from authz_service.operations.records import CallContext, EventRecord
from authz_service.pdp.errors import DecisionsNotKeptError, NotFoundError
from authz_service.pdp.model import Instant

LOG_TOKENS = "decisions"
"""The kind of list that tokens of these pages are for."""

MAX_PAGE_BYTES = 1 << 20
"""A page ends before its records are longer than this, so that its answer fits a message."""

Details = tuple[tuple[str, str | int | tuple[str, ...]], ...]


@dataclass(frozen=True, slots=True)
class DecisionsPage:
    """Some records.

    Attributes:
        records: The records, newest first.
        next_page_token: Where to go on; empty where nothing follows.
    """

    records: Sequence[StoredRecord]
    next_page_token: str


class ReadDecisions:
    """Reads the decision store, with an event in the journal for each reading.

    What was found nowhere was asked for all the same, so that is recorded too. A store that cannot
    be read has told nobody anything.
    """

    def __init__(
        self, decisions: DecisionLog, journal: Journal, *, clock: Clock, tokens: PageTokens
    ) -> None:
        """Read *decisions*, record in *journal*, sign where pages end with *tokens*."""
        self._decisions = decisions
        self._journal = journal
        self._clock = clock
        self._tokens = tokens

    async def one(self, decision_id: str, *, context: CallContext) -> StoredRecord:
        """Return the record of one decision.

        Raises:
            NotFoundError: The store holds none of that id.
            DecisionsNotKeptError: There is no store.
            DecisionsUnavailableError: The store cannot be read.
            JournalUnavailableError: The reading could not be recorded.
        """
        self._journal.require_usable()
        asked: Details = (("rpc", "GetDecision"), ("decision_id", decision_id))
        try:
            found = await self._decisions.get(decision_id)
        except NotFoundError:
            await self._record((*asked, ("records", 0)), context)
            raise
        await self._record((*asked, ("records", 1)), context)
        return found

    async def page(
        self,
        question: DecisionsQuestion,
        *,
        page_size: int,
        page_token: str,
        context: CallContext,
    ) -> DecisionsPage:
        """Return the records after those of *page_token*, or the newest where it is empty.

        At most *page_size*, which is 1 or more; fewer where nothing follows, or where more would
        not fit a message.

        Raises:
            InvalidRequestError: The token belongs to another question, or to none.
            DecisionsNotKeptError: There is no store.
            DecisionsUnavailableError: The store cannot be read.
            JournalUnavailableError: The reading could not be recorded.
        """
        self._journal.require_usable()
        signed = _parts(question, context)
        after = _key_of(self._tokens, page_token, signed) if page_token else None
        found = await self._decisions.list(question, after=after, limit=page_size + 1)
        records = _fitting(found[:page_size])
        token = ""
        if len(records) < len(found):
            token = self._tokens.issue(signed, _key_parts(records[-1].key))
        await self._record(_page_details(question, page_size, after, records), context)
        return DecisionsPage(records, token)

    async def _record(self, details: Details, context: CallContext) -> None:
        """Record one reading."""
        event = EventRecord("log_read", self._clock.now(), context, None, details)
        await self._journal.append((event,))


class NoDecisionLog:
    """Stands where the log of decisions would, in a service that keeps no decision store."""

    async def get(self, _decision_id: str) -> StoredRecord:
        raise DecisionsNotKeptError

    def close(self) -> None:
        """Have nothing to close."""

    async def list(
        self,
        question: DecisionsQuestion,  # noqa: ARG002  # the port's shape
        *,
        after: DecisionKey | None,  # noqa: ARG002  # as above
        limit: int,  # noqa: ARG002  # as above
    ) -> Sequence[StoredRecord]:
        raise DecisionsNotKeptError


def _fitting(records: Sequence[StoredRecord]) -> Sequence[StoredRecord]:
    """Return the first of *records* that fit a message together; one at least."""
    length = 0
    for number, record in enumerate(records):
        length += len(record.content)
        if number and length > MAX_PAGE_BYTES:
            return records[:number]
    return records


def _parts(question: DecisionsQuestion, context: CallContext) -> tuple[QuestionPart, ...]:
    """Return what a token is bound to: the question, and who asks it."""
    parts = (
        microseconds_of(each) if isinstance(each, Instant) else each and str(each)
        for each in question
    )
    return (context.caller, *parts)


def _key_parts(key: DecisionKey) -> tuple[int, str]:
    """Return *key* as a token holds it."""
    return microseconds_of(key.evaluated_at), key.decision_id


def _key_of(tokens: PageTokens, token: str, signed: Sequence[QuestionPart]) -> DecisionKey:
    """Return the key that `_key_parts` put into *token*."""
    microseconds, decision_id = tokens.read(token, signed)
    return DecisionKey(instant_at(microseconds), str(decision_id))


def _page_details(
    question: DecisionsQuestion,
    page_size: int,
    after: DecisionKey | None,
    records: Sequence[StoredRecord],
) -> Details:
    """Return what was asked and how much was answered: ids, words and counts."""
    asked = tuple(
        (name, each.isoformat().replace("+00:00", "Z") if isinstance(each, Instant) else str(each))
        for name, each in question._asdict().items()
        if each is not None
    )
    return (
        ("rpc", "ListDecisions"),
        *asked,
        ("page_size", page_size),
        *((("after", after.decision_id),) if after else ()),
        ("records", len(records)),
        *((("last", records[-1].key.decision_id),) if records else ()),
    )

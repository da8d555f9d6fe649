"""Readings of the decision log: recorded before they are answered, page after page to the end."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from authz_service.operations import read_decisions
from authz_service.operations.decision_log import DecisionKey, DecisionsQuestion, StoredRecord
from authz_service.operations.page_tokens import PageTokens
from authz_service.operations.read_decisions import DecisionsPage, NoDecisionLog, ReadDecisions
from authz_service.operations.records import EventRecord
from authz_service.pdp.errors import (
    DecisionsNotKeptError,
    DecisionsUnavailableError,
    InvalidRequestError,
    JournalUnavailableError,
    NotFoundError,
)
from authz_service.pdp.model import Effect, Reason
from tests.unit.operations.fakes import CONTEXT, NOON, FakeJournal, StoppedClock, quick_journal

ANYTHING = DecisionsQuestion()
TOKENS = PageTokens(b"k" * 32, read_decisions.LOG_TOKENS)


def stored(number: int, size: int = 10) -> StoredRecord:
    """Return a record; the smaller its number, the newer."""
    key = DecisionKey(NOON - timedelta(seconds=number), f"d{number}")
    return StoredRecord(key, b"x" * size, "j", number, "h")


class Shelf:
    """Records in order; or a store that cannot be read."""

    def __init__(self, *records: StoredRecord, refusal: str = "") -> None:
        self.records, self.refusal = records, refusal
        self.asked: list[DecisionsQuestion] = []

    async def get(self, decision_id: str) -> StoredRecord:
        for each in self.records:
            if each.key.decision_id == decision_id:
                return each
        raise NotFoundError(f"decision {decision_id}")

    async def list(
        self, question: DecisionsQuestion, *, after: DecisionKey | None, limit: int
    ) -> Sequence[StoredRecord]:
        if self.refusal:
            raise DecisionsUnavailableError(self.refusal)
        self.asked.append(question)
        return [each for each in self.records if after is None or each.key < after][:limit]


def reading(shelf: Any, journal: FakeJournal | None = None) -> ReadDecisions:
    """Return the operation over fakes."""
    return ReadDecisions(shelf, journal or quick_journal(), clock=StoppedClock(), tokens=TOKENS)


async def page_of(
    read: ReadDecisions,
    question: DecisionsQuestion = ANYTHING,
    *,
    size: int = 2,
    token: str = "",
) -> DecisionsPage:
    return await read.page(question, page_size=size, page_token=token, context=CONTEXT)


def event_of(journal: FakeJournal) -> EventRecord:
    """Return the one event."""
    ((event,),) = journal.lines
    assert isinstance(event, EventRecord)
    return event


async def test_pages_follow_each_other_to_the_end() -> None:
    read = reading(Shelf(*(stored(number) for number in range(5))))

    found, token = [], ""
    while True:
        page = await page_of(read, token=token)
        found.append([each.sequence for each in page.records])
        token = page.next_page_token
        if not token:
            break

    assert found == [[0, 1], [2, 3], [4]]


async def test_a_full_page_with_nothing_behind_it_is_the_last() -> None:
    page = await page_of(reading(Shelf(stored(1), stored(2))))

    assert (len(page.records), page.next_page_token) == (2, "")


async def test_long_records_end_a_page_before_it_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer fits a message; one record always does, else it could never be read."""
    monkeypatch.setattr(read_decisions, "MAX_PAGE_BYTES", 25)
    read = reading(Shelf(stored(0, 30), stored(1), stored(2), stored(3)))

    first = await page_of(read, size=10)
    second = await page_of(read, size=10, token=first.next_page_token)
    third = await page_of(read, size=10, token=second.next_page_token)

    pages = [[each.sequence for each in page.records] for page in (first, second, third)]
    assert pages == [[0], [1, 2], [3]]
    assert third.next_page_token == ""


@pytest.mark.parametrize(
    "other",
    [
        DecisionsQuestion(subject_id="ana"),
        DecisionsQuestion(effect=Effect.DENY),
        DecisionsQuestion(evaluated_from=NOON),
        DecisionsQuestion(evaluated_to=NOON),
    ],
)
async def test_a_token_is_good_for_its_question_alone(other: DecisionsQuestion) -> None:
    read = reading(Shelf(stored(1), stored(2), stored(3)))
    page = await page_of(read)

    with pytest.raises(InvalidRequestError, match="page_token"):
        await page_of(read, other, token=page.next_page_token)


async def test_a_token_is_good_for_its_caller_alone() -> None:
    read = reading(Shelf(stored(1), stored(2), stored(3)))
    page = await page_of(read)

    with pytest.raises(InvalidRequestError, match="page_token"):
        await read.page(
            ANYTHING,
            page_size=2,
            page_token=page.next_page_token,
            context=CONTEXT._replace(caller="spiffe://example.org/other"),
        )


async def test_an_answer_waits_for_its_record() -> None:
    """Who has read what is on the disk before anybody has read it."""
    journal = FakeJournal()
    asking = asyncio.create_task(page_of(reading(Shelf(stored(1)), journal)))
    await journal.arrived.wait()
    await asyncio.sleep(0)
    waited = not asking.done()
    journal.synced.set()

    assert waited
    assert len((await asking).records) == 1


async def test_a_page_is_recorded_with_its_question_and_its_extent() -> None:
    journal = quick_journal()
    read = reading(Shelf(*(stored(number) for number in range(1, 4))), journal)
    question = DecisionsQuestion(
        subject_id="ana",
        caller="loopback",
        effect=Effect.DENY,
        reason=Reason.SEALED,
        kind="DECISION",
        evaluated_from=NOON - timedelta(days=1),
    )

    await page_of(read, question)

    event = event_of(journal)
    assert (event.event, event.at, event.context, event.actor) == ("log_read", NOON, CONTEXT, None)
    assert dict(event.details) == {
        "rpc": "ListDecisions",
        "subject_id": "ana",
        "caller": "loopback",
        "effect": "DENY",
        "reason": "SEALED",
        "kind": "DECISION",
        "evaluated_from": "2020-06-08T12:00:00Z",
        "page_size": 2,
        "records": 2,
        "last": "d2",
    }


async def test_a_later_page_is_recorded_with_where_it_began() -> None:
    journal = quick_journal()
    read = reading(Shelf(stored(1), stored(2), stored(3)), journal)
    first = await page_of(read)
    journal.lines.clear()

    await page_of(read, token=first.next_page_token)

    assert dict(event_of(journal).details) == {
        "rpc": "ListDecisions",
        "page_size": 2,
        "after": "d2",
        "records": 1,
        "last": "d3",
    }


async def test_one_record_is_found_and_recorded() -> None:
    journal = quick_journal()

    found = await reading(Shelf(stored(1), stored(2)), journal).one("d2", context=CONTEXT)

    assert found == stored(2)
    details = {"rpc": "GetDecision", "decision_id": "d2", "records": 1}
    assert dict(event_of(journal).details) == details


async def test_a_reading_that_finds_nothing_is_recorded_too() -> None:
    journal = quick_journal()

    with pytest.raises(NotFoundError):
        await reading(Shelf(), journal).one("d9", context=CONTEXT)

    details = {"rpc": "GetDecision", "decision_id": "d9", "records": 0}
    assert dict(event_of(journal).details) == details


async def test_without_a_journal_nothing_is_read() -> None:
    shelf = Shelf(stored(1))
    read = reading(shelf, FakeJournal(refusal="full"))

    with pytest.raises(JournalUnavailableError):
        await page_of(read)
    with pytest.raises(JournalUnavailableError):
        await read.one("d1", context=CONTEXT)

    assert shelf.asked == []


async def test_a_store_that_cannot_be_read_has_told_nobody_anything() -> None:
    journal = quick_journal()

    with pytest.raises(DecisionsUnavailableError):
        await page_of(reading(Shelf(refusal="silent"), journal))

    assert journal.lines == []


async def test_a_service_without_a_store_says_so() -> None:
    read = reading(NoDecisionLog())

    with pytest.raises(DecisionsNotKeptError, match="AUTHZ_DECISIONS_URL is none"):
        await page_of(read)
    with pytest.raises(DecisionsNotKeptError):
        await read.one("d1", context=CONTEXT)

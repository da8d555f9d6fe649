"""The log of decisions on each database: it says what a naive look at all records says."""

from __future__ import annotations

from collections.abc import AsyncIterator
from random import Random

import pytest

from authz_service.audit.store.sql_decision_log import SqlDecisionLog
from authz_service.operations.decision_log import DecisionsQuestion, StoredRecord
from authz_service.pdp.errors import NotFoundError
from authz_service.pdp.model import Effect, Reason
from tests.contract.decision_log.log_cases import (
    BEGIN,
    Line,
    fill,
    line,
    listed,
    record,
    some_lines,
    some_question,
    stored_in,
)


@pytest.fixture(scope="module")
def lines() -> list[Line]:
    """What the store holds."""
    return some_lines(Random(7), 300)


@pytest.fixture(scope="module")
def filled_url(store_url: str, lines: list[Line]) -> str:
    """A store with records."""
    fill(store_url, lines)
    return store_url


@pytest.fixture
async def log(filled_url: str) -> AsyncIterator[SqlDecisionLog]:
    """The log of that store."""
    made = SqlDecisionLog(filled_url)
    yield made
    made.close()


async def all_pages(
    log: SqlDecisionLog, question: DecisionsQuestion, limit: int
) -> list[StoredRecord]:
    """Return what all pages hold together; each is full but the last."""
    found: list[StoredRecord] = []
    while True:
        after = found[-1].key if found else None
        page = await log.list(question, after=after, limit=limit)
        found.extend(page)
        if len(page) < limit:
            return found


@pytest.mark.parametrize("seed", range(3))
async def test_pages_hold_what_a_naive_look_finds(
    seed: int, log: SqlDecisionLog, lines: list[Line]
) -> None:
    """Newest first, each once, whatever the filters, however long the pages."""
    random, stored = Random(seed), stored_in(lines)
    longest = 0
    for _ in range(40):
        question = some_question(random, stored)
        expected = listed(stored, question)

        found = await all_pages(log, question, random.choice([3, 20, 500]))

        assert found == expected, question
        longest = max(longest, len(expected))
    assert longest > 100


async def test_a_record_is_found_by_its_id_in_its_own_bytes(
    log: SqlDecisionLog, lines: list[Line]
) -> None:
    for stored in stored_in(lines)[::29]:
        assert await log.get(stored.key.decision_id) == stored


async def test_an_id_that_nobody_was_given_is_not_found(log: SqlDecisionLog) -> None:
    with pytest.raises(NotFoundError):
        await log.get("0190163d-8694-739b-aea5-966c26f8ad91")


async def test_what_comes_in_between_shifts_nothing(log: SqlDecisionLog, filled_url: str) -> None:
    """A page goes on after the last record of the one before, whatever was shipped meanwhile."""
    question = DecisionsQuestion(recording_id="shifted")
    random = Random(1)
    fields = {"recording_id": "shifted", "kind": "DECISION"}
    older = [record(random, BEGIN, **fields) for _ in range(4)]
    newer = record(random, BEGIN.replace(day=31), **fields)

    fill(filled_url, [line("j-1", 1, tuple(older))])
    first = await log.list(question, after=None, limit=2)
    fill(filled_url, [line("j-1", 2, (newer,))])
    second = await log.list(question, after=first[-1].key, limit=10)

    ids = [each.key.decision_id for each in (*first, *second)]
    assert ids == sorted((each["decision_id"] for each in older), reverse=True)


@pytest.mark.parametrize(
    "question",
    [
        DecisionsQuestion(effect=Effect.ALLOW, reason=Reason.SEALED),
        DecisionsQuestion(effect=Effect.DENY, reason=Reason.RULE_ALLOWED),
        DecisionsQuestion(kind="LISTED", effect=Effect.ALLOW),
        DecisionsQuestion(kind="LISTED", reason=Reason.SEALED),
        DecisionsQuestion(kind="LISTED", recording_id="r1"),
    ],
)
async def test_what_no_record_can_be_is_not_looked_for(question: DecisionsQuestion) -> None:
    """The walk to the end of an index would be for nothing: not even the store has to be there."""
    log = SqlDecisionLog("sqlite:////nowhere/decisions.db")

    assert await log.list(question, after=None, limit=10) == ()

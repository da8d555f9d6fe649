"""Callers that were refused: all counted, a flood of them neither in the log nor in the journal."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, MutableMapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from structlog.testing import capture_logs

from authz_service.operations.records import CallContext, EventRecord, Record
from authz_service.operations.refusals import OTHERS, Refusals
from authz_service.pdp.errors import CallerRefusal
from tests.unit.operations.fakes import NOON, FakeJournal, quick_journal

RPC, TENANT = CallerRefusal.RPC, CallerRefusal.TENANT
GATEWAY = "spiffe://example.org/media-gateway"
LONG = 3600.0
SHORT = 0.02


class TickingClock:
    """Moves on by a second whenever it is asked."""

    def __init__(self) -> None:
        self.instant = NOON

    def now(self) -> datetime:
        self.instant += timedelta(seconds=1)
        return self.instant


@dataclass
class Counted:
    """Counts by what was refused."""

    refusals: list[str] = field(default_factory=list)

    def caller_refused(self, refusal: CallerRefusal) -> None:
        self.refusals.append(refusal.value)


class Door:
    """Refusals over a journal, with all that can be seen of them."""

    def __init__(self, journal: Any, *, window_seconds: float = LONG, max_keys: int = 1000) -> None:
        self.counted, self.journal = Counted(), journal
        self.refusals = Refusals(
            self.counted,
            journal,
            TickingClock(),
            window_seconds=window_seconds,
            max_keys=max_keys,
        )

    def refuse(
        self,
        times: int = 1,
        refusal: CallerRefusal = RPC,
        caller: str = GATEWAY,
        rpc: str = "WriteFacts",
    ) -> None:
        for number in range(times):
            self.refusals.refused(refusal, CallContext(caller, f"r{number}"), rpc)

    async def finish(self) -> None:
        await self.refusals.finish(5)

    @property
    def events(self) -> list[EventRecord]:
        return [each for line in self.journal.lines for each in line]

    @property
    def counts(self) -> list[int]:
        return [int(str(dict(event.details)["count"])) for event in self.events]


def refused_in(logs: Sequence[MutableMapping[str, Any]]) -> list[Any]:
    """Return the lines of refusals."""
    return [line for line in logs if line["event"] == "caller_refused"]


async def test_the_first_refusal_is_counted_logged_and_recorded_at_once() -> None:
    door = Door(quick_journal())

    with capture_logs() as logs:
        door.refuse()

    assert door.counted.refusals == ["rpc"]
    assert logs == [
        {
            "event": "caller_refused",
            "log_level": "warning",
            "caller": GATEWAY,
            "refusal": "rpc",
            "rpc": "WriteFacts",
            "request_id": "r0",
            "count": 1,
        }
    ]
    (event,) = door.events
    assert (event.event, event.actor) == ("caller_refused", None)
    assert event.context == CallContext(GATEWAY, "r0")
    assert dict(event.details) == {
        "refusal": "rpc",
        "rpc": "WriteFacts",
        "count": 1,
        "first_at": "2020-06-09T12:00:01.000000Z",
        "last_at": "2020-06-09T12:00:01.000000Z",
    }


async def test_a_flood_is_a_line_and_a_record_and_another_of_each_at_the_end() -> None:
    door = Door(quick_journal(), window_seconds=SHORT)

    with capture_logs() as logs:
        door.refuse(10_000)
        await asyncio.sleep(5 * SHORT)

    assert [line["count"] for line in refused_in(logs)] == [1, 9_999]
    assert door.counts == [1, 9_999]
    assert len(door.counted.refusals) == 10_000
    gathered = dict(door.events[1].details)
    assert gathered["first_at"] == "2020-06-09T12:00:03.000000Z"
    assert door.events[1].context == CallContext(GATEWAY, "r9999")


async def test_a_window_in_which_nothing_followed_writes_nothing() -> None:
    door = Door(quick_journal(), window_seconds=SHORT)

    door.refuse()
    await asyncio.sleep(3 * SHORT)
    door.refuse()

    assert door.counts == [1, 1]


async def test_while_refusals_keep_coming_none_is_a_first_again_and_each_is_in_one_record() -> None:
    door = Door(quick_journal(), window_seconds=SHORT)

    door.refuse(5)
    for records in (2, 3):
        while len(door.counts) < records:  # noqa: ASYNC110  # a journal has no event
            await asyncio.sleep(SHORT / 10)
        door.refuse(5)
    await asyncio.sleep(10 * SHORT)
    door.refuse()

    assert door.counts == [1, 4, 5, 5, 1]
    assert sum(door.counts) == len(door.counted.refusals)


async def test_callers_refusals_and_rpcs_are_told_apart() -> None:
    door = Door(quick_journal())

    door.refuse(2)
    door.refuse(2, refusal=TENANT)
    door.refuse(2, caller="spiffe://example.org/booking")
    door.refuse(2, rpc="DeleteFacts")

    assert door.counts == [1, 1, 1, 1]


async def test_what_is_gathered_is_written_at_the_drain() -> None:
    door = Door(quick_journal())
    door.refuse(7)
    door.refuse(3, refusal=TENANT)

    await door.finish()

    assert sorted(door.counts) == [1, 1, 2, 6]
    assert sum(door.counts) == len(door.counted.refusals)


async def test_what_comes_after_the_drain_is_written_at_once() -> None:
    door = Door(quick_journal())
    await door.finish()

    door.refuse(2)

    assert door.counts == [1, 1]


async def test_the_drain_waits_for_the_disk_but_not_for_ever() -> None:
    journal = FakeJournal()
    door = Door(journal)
    door.refuse()

    ending = asyncio.create_task(door.finish())
    await asyncio.sleep(0.01)
    assert not ending.done()
    journal.synced.set()
    await asyncio.wait_for(ending, timeout=5)

    stuck = Door(FakeJournal())
    stuck.refuse()
    await asyncio.wait_for(stuck.refusals.finish(0.01), timeout=5)


async def test_too_many_callers_are_the_others() -> None:
    """Whoever can make up names must not be able to make the service remember them."""
    door = Door(quick_journal(), max_keys=3)

    for number in range(50):
        door.refuse(caller=f"spiffe://example.org/x/{number}")
    await door.finish()

    callers = [event.context.caller for event in door.events if event.context]
    assert callers == [f"spiffe://example.org/x/{n}" for n in range(3)] + [OTHERS, OTHERS]
    assert door.counts == [1, 1, 1, 1, 46]


async def test_a_refusal_does_not_wait_for_its_record() -> None:
    door = Door(FakeJournal())

    door.refuse()

    assert door.counted.refusals == ["rpc"]
    assert not door.journal.synced.is_set()
    door.journal.synced.set()
    await door.finish()


async def test_a_journal_that_cannot_write_is_said_once_and_nothing_is_raised() -> None:
    door = Door(FakeJournal(refusal="full"))

    with capture_logs() as logs:
        door.refuse(5)
        door.refuse(refusal=TENANT)

    assert [line["event"] for line in logs] == [
        "caller_refused",
        "refusals_unrecorded",
        "caller_refused",
    ]
    assert "full" in logs[1]["why"]
    assert len(door.counted.refusals) == 6


class FailingLate:
    """Takes records, and fails to write them."""

    def __init__(self) -> None:
        self.lines: list[list[Record]] = []
        self.error: Exception | None = OSError("the disk is gone")

    def append(self, records: Sequence[Record]) -> Awaitable[None]:
        self.lines.append(list(records))
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self.error is None:
            waiter.set_result(None)
        else:
            waiter.set_exception(self.error)
        return waiter


async def test_a_record_that_fails_later_is_said_once_until_one_is_written_again() -> None:
    journal = FailingLate()
    door = Door(journal)

    with capture_logs() as logs:
        for refusal in (RPC, TENANT):
            door.refuse(refusal=refusal)
            await asyncio.sleep(0)
        journal.error = None
        door.refuse(refusal=CallerRefusal.KIND)
        await asyncio.sleep(0)
        journal.error = OSError("and again")
        door.refuse(refusal=CallerRefusal.SOURCE)
        await asyncio.sleep(0)

    said = [line["why"] for line in logs if line["event"] == "refusals_unrecorded"]
    assert said == ["the disk is gone", "and again"]

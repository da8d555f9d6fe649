"""Appends to a journal without end, and prints each decision's id once it is acknowledged.

Started by `test_journal_kill.py`, which kills it.
"""

from __future__ import annotations

import asyncio
import os
import sys
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

from authz_service.audit.journal import JournalOptions
from authz_service.audit.opening import open_journal
from authz_service.audit.segment import Origin
from authz_service.operations.records import CallContext, DecisionRecord
from authz_service.pdp.model import Decision, Effect, Instant, Reason


class SystemClock:
    """The computer's time."""

    def now(self) -> Instant:
        return datetime.now(UTC)


async def append_for_ever(directory: Path, prefix: str) -> None:
    """Keep 16 appends in flight."""
    clock, numbers = SystemClock(), count()
    options = JournalOptions(segment_bytes=40_000)
    journal = open_journal(directory, Origin(clock, "0.1.0"), options=options)

    async def appender() -> None:
        for number in numbers:
            decision_id = f"{prefix}-{number}"
            context = CallContext("loopback", decision_id)
            denied = Decision(Effect.DENY, Reason.INVALID_REQUEST)
            await journal.append(
                [DecisionRecord(decision_id, clock.now(), context, None, denied, "ab", 1, 1)]
            )
            os.write(1, f"{decision_id}\n".encode())

    await asyncio.gather(*(appender() for _ in range(16)))


if __name__ == "__main__":
    asyncio.run(append_for_ever(Path(sys.argv[1]), sys.argv[2]))

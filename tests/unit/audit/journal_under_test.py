"""A journal set up for a test, with its thread held where the test wants it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from authz_service.audit.journal import FileJournal, JournalOptions
from authz_service.audit.observing import JournalMetrics
from authz_service.audit.opening import open_journal
from authz_service.audit.verify import read_records
from authz_service.operations.ports import Journal
from authz_service.pdp.errors import JournalUnavailableError
from tests.unit.audit.audit_faults import ORIGIN, QUICK, FaultyFiles, decision_record


@dataclass(slots=True)
class Tally:
    """Metrics that a test can read."""

    batches: list[int] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)
    states: list[bool] = field(default_factory=list)
    segments: int = 0
    size_bytes: int = 0

    def batch_written(self, records: int, size_bytes: int, seconds: float) -> None:
        self.batches.append(records)

    def failed(self, kind: str) -> None:
        self.kinds.append(kind)

    def usable_changed(self, *, usable: bool) -> None:
        self.states.append(usable)

    def pending(self, lines: int) -> None:
        pass

    def kept(self, segments: int, size_bytes: int) -> None:
        self.segments, self.size_bytes = segments, size_bytes


@asynccontextmanager
async def journal_in(
    directory: Path,
    files: FaultyFiles | None = None,
    options: JournalOptions = QUICK,
    metrics: JournalMetrics | None = None,
) -> AsyncIterator[FileJournal]:
    journal = open_journal(
        directory, ORIGIN, options=options, metrics=metrics, files=files or FaultyFiles()
    )
    try:
        yield journal
    finally:
        await journal.close()


async def until_usable(journal: FileJournal) -> None:
    async with asyncio.timeout(5):
        while not journal.usable:  # noqa: ASYNC110  # the journal's thread knows no loop
            await asyncio.sleep(0.002)


def ids_in(directory: Path) -> list[object]:
    return [read["decision_id"] for read in read_records(directory) if "decision_id" in read]


def names_in(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


async def append_all(journal: Journal, numbers: Sequence[int]) -> dict[int, bool]:
    """Append each of *numbers* at once; return which were acknowledged."""

    async def one(number: int) -> bool:
        try:
            await journal.append([decision_record(number)])
        except JournalUnavailableError:
            return False
        return True

    return dict(zip(numbers, await asyncio.gather(*map(one, numbers)), strict=True))


class Gate:
    """Holds the journal's thread at its next sync."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.open = threading.Event()

    def __call__(self) -> None:
        self.reached.set()
        assert self.open.wait(5)

    async def until_reached(self) -> None:
        assert await asyncio.to_thread(self.reached.wait, 5)

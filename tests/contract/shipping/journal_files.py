"""A journal written batch by batch without a thread, and what a store holds of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import create_engine, text

from authz_service.audit.chain import Position
from authz_service.audit.directory import journal_id, segment_numbers, segment_path
from authz_service.audit.encoding import line_encoder, records_in
from authz_service.audit.scan import Batch, Header, read_segment
from authz_service.audit.segment import Origin, Segment
from authz_service.audit.store.engines import parsed
from authz_service.audit.store.opening import open_store
from authz_service.audit.store.shipping import Shipping
from authz_service.operations.lists import ListRequest
from authz_service.operations.records import (
    CallContext,
    DecisionRecord,
    EventRecord,
    ListRecord,
    Record,
    RecordKind,
)
from authz_service.pdp.model import Action, Instant, PurposeOfUse
from tests.unit.audit.audit_faults import NOON, FaultyFiles, decision_record

encoded = line_encoder("0.1.0")
NOW = 1_600_000_000_000_000


@dataclass(slots=True)
class HandClock:
    """Stands where a test sets it."""

    instant: Instant = NOON

    def now(self) -> Instant:
        return self.instant


@dataclass(slots=True)
class JournalFiles:
    """A journal as its writer knows it."""

    directory: Path
    clock: HandClock = field(default_factory=HandClock)
    retired_bytes: list[int] = field(default_factory=list)
    journal_id: str = ""
    position: Position = field(default_factory=Position)
    _files: FaultyFiles = field(default_factory=FaultyFiles)
    _segment: Segment | None = None

    def __post_init__(self) -> None:
        self.directory.mkdir(exist_ok=True)
        self.journal_id = journal_id(self._files, self.directory)
        self.begin()

    def note_retired(self, size_bytes: int) -> None:
        self.retired_bytes.append(size_bytes)

    def begin(self) -> None:
        """Begin the next segment."""
        self._segment = Segment.open_after(
            self._files,
            self.directory,
            self.position,
            self.journal_id,
            Origin(self.clock, "0.1.0"),
        )
        self.position = self._segment.at

    def append(self, *appends: Sequence[Record]) -> None:
        """Write one batch."""
        assert self._segment is not None
        self._segment.append([encoded(records) for records in appends], sum(map(len, appends)))
        self.position = self._segment.at

    def rotate(self) -> None:
        """Close the segment and begin the next."""
        assert self._segment is not None
        self._segment.finish()
        self.position = self._segment.at
        self.begin()

    def give_up(self, leftover: bytes) -> None:
        """Leave bytes behind that do not count, and begin the next segment."""
        with segment_path(self.directory, self.position.segment).open("ab") as stream:
            stream.write(leftover)
        self.begin()

    def path(self, segment: int) -> Path:
        return segment_path(self.directory, segment)

    def content(self) -> bytes:
        """Return all lines that count."""
        ends = {}
        numbers = segment_numbers(self.directory)
        for number in numbers:
            head = next(read_segment(self.path(number)))
            assert isinstance(head, Header)
            ends[number - 1] = head.previous.offset_bytes
        ends[numbers[-1]] = self.position.offset_bytes
        return b"".join(self.path(number).read_bytes()[: ends[number]] for number in numbers)

    def records(self) -> list[dict[str, Any]]:
        """Return all records that have a decision's id, in order."""
        units = (
            unit for n in segment_numbers(self.directory) for unit in read_segment(self.path(n))
        )
        lines = [line for unit in units if isinstance(unit, Batch) for line in unit.lines]
        found: list[dict[str, Any]] = [each for line in lines for each in records_in(line)]
        return [each for each in found if "decision_id" in each]


def decided(number: int, at: Instant = NOON) -> DecisionRecord:
    return decision_record(number)._replace(evaluated_at=at)


def decisions(first: int, count: int) -> list[list[Record]]:
    return [[decided(number)] for number in range(first, first + count)]


def listed(at: Instant = NOON) -> list[Record]:
    """Return what a page of a list leaves behind: the page, and its two rows."""
    request = ListRequest("ana", Action.LIST, PurposeOfUse.PATRQT, "uk-nhs")
    page = ListRecord(
        "list-1",
        at,
        CallContext("loopback", "r-1"),
        request,
        rows=2,
        considered=3,
        is_last=True,
        policy_revision="ab" * 32,
        facts_revision=9,
        elapsed_microseconds=1234,
    )
    rows = [decided(number, at)._replace(kind=RecordKind.PRESENTED) for number in (901, 902)]
    return [page, *rows]


def event() -> list[Record]:
    """Return an event whose details try to look like the beginning of a record."""
    details = (("note", 'x},{"format":1,"kind":"DECISION","decision_id":"forged"'),)
    return [EventRecord("facts_written", NOON, None, "jo", details)]


def shipping(journal: JournalFiles, url: str) -> Shipping:
    return Shipping(journal, lambda: open_store(url), lambda: NOW)


def ship_all(journal: JournalFiles, url: str) -> int:
    """Ship until nothing is left; return how many lines."""
    work = shipping(journal, url)
    try:
        return drained(work)
    finally:
        work.leave()


def drained(work: Shipping) -> int:
    shipped = 0
    while (shipment := work.step()) is not None:
        shipped += len(shipment.lines)
    return shipped


def query(url: str, statement: str, **values: object) -> list[Any]:
    engine = create_engine(parsed(url))
    with engine.begin() as connection:
        result = connection.execute(text(statement), values)
        rows = [tuple(row) for row in result] if result.returns_rows else []
    engine.dispose()
    return rows


def stored_content(url: str, journal: JournalFiles) -> bytes:
    """Return all lines that a store holds of a journal, in order."""
    rows = query(
        url,
        "SELECT line FROM journal_lines WHERE journal_id = :j ORDER BY sequence",
        j=journal.journal_id,
    )
    return b"".join(bytes(line) for (line,) in rows)


def stored_records(url: str, journal: JournalFiles) -> list[dict[str, Any]]:
    """Return the records that a store finds by `decisions`, cut out of their lines, in order."""
    rows = query(
        url,
        "SELECT d.*, l.line, l.hash FROM decisions d JOIN journal_lines l ON "
        "l.journal_id = d.journal_id AND l.sequence = d.sequence AND l.at = d.line_at "
        "WHERE d.journal_id = :j ORDER BY d.sequence, d.offset_bytes",
        j=journal.journal_id,
    )
    return [orjson.loads(bytes(row[-2])[row[5] : row[5] + row[6]]) for row in rows]


def assert_all_there(url: str, journal: JournalFiles) -> None:
    """The store holds every line that counts, once, and every decision, once."""
    assert stored_content(url, journal) == journal.content()
    assert stored_records(url, journal) == journal.records()
    ((sequence, stated, offset),) = query(
        url,
        "SELECT sequence, hash, offset_bytes FROM journals WHERE journal_id = :j",
        j=journal.journal_id,
    )
    at = journal.position
    assert (sequence, stated.encode(), offset) == (at.sequence - 1, at.hash, at.offset_bytes)


def month(year: int, number: int, day: int = 1, **time: int) -> Instant:
    return datetime(year, number, day, tzinfo=UTC) + timedelta(**time)

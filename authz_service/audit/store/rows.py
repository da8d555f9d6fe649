"""Lines of a journal, verified one by one, as rows of the store.

The chain is followed as it is read: a line counts only if it is the next one and its hash stands
on that of the line before. It works off the journal's thread and the event loop, but on the same
interpreter: every `_SLICE_RECORDS` lines or records it lets go of it, so that no call waits long.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from hashlib import sha256
from typing import Any, Final

import orjson

from authz_service.audit.chain import AFTER_HASH, BEFORE_HASH, TAIL_BYTES
from authz_service.audit.store.failures import AlarmKind, ShippingAlarmError
from authz_service.audit.store.shipment import DecisionRow, Line, Progress, Shipment

_SLICE_RECORDS: Final = 64
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_BODY_END: Final = -TAIL_BYTES + 1
_END: Final = AFTER_HASH[:-1]
_BATCH: Final = b'{"format":1,"kind":"BATCH","records":['
_BETWEEN: Final = b',{"format":'
"""What stands before every record of a batch but the first.

In a JSON string each quotation mark has a backslash before it, and no object of a record but the
record itself begins with its format: so nothing else looks like this.
"""


def shipment_of(
    content: bytes,
    after: Progress,
    segment: int,
    start_bytes: int,
    *,
    breathe: Callable[[], None] = lambda: None,
) -> Shipment:
    """Return whole lines of a journal as what is to be shipped.

    Args:
        content: The lines.
        after: How far the store is: the line before the first.
        segment: The file they were read from.
        start_bytes: Where they begin in it.
        breathe: Called every few lines or records, to let other threads go on.

    Raises:
        ShippingAlarmError: A line is not what its writer wrote.
    """
    reading = _Reading(after, breathe)
    raw_lines = content.split(b"\n")
    raw_lines.pop()
    for raw in raw_lines:
        try:
            reading.add(raw)
        except (ValueError, TypeError, LookupError) as error:
            why = f"segment {segment}: line {reading.sequence + 1} of the journal is not as written"
            raise ShippingAlarmError(AlarmKind.DAMAGE, why) from error
    end_bytes = start_bytes + len(content)
    end = Progress(reading.sequence, reading.hash.decode(), segment, end_bytes, reading.at)
    return Shipment(reading.lines, reading.decisions, reading.records, reading.first_at, end)


class _Reading:
    """Follows the chain, and gathers rows."""

    def __init__(self, after: Progress, breathe: Callable[[], None]) -> None:
        """Stand behind the line that *after* names; *breathe* every so often."""
        self._breathe = breathe
        self._left = _SLICE_RECORDS
        self.sequence = after.sequence
        self.hash = after.hash.encode()
        self.at = after.at
        self.first_at: int | None = None
        self.records = 0
        self.lines: list[Line] = []
        self.decisions: list[DecisionRow] = []

    def add(self, raw: bytes) -> None:
        """Take in one line, without its newline; `ValueError` where it is not the next one."""
        sequence = self.sequence + 1
        body = raw[:_BODY_END]
        digest = sha256(self.hash + body).hexdigest().encode()
        if raw[_BODY_END:] != BEFORE_HASH + digest + _END:
            raise ValueError("the hash does not match")
        start = b'{"sequence":%d,"record":' % sequence
        if body.startswith(start):
            self._add_records(sequence, body, len(start))
        elif body.startswith(b'{"sequence":%d,"segment":' % sequence):
            self.at = _microseconds(orjson.loads(body + b"}")["segment"]["opened_at"])
        elif not body.startswith(b'{"sequence":%d,"' % sequence):
            raise ValueError("another line was to come")
        self.lines.append(Line(sequence, self.at, digest, raw + b"\n"))
        self.sequence, self.hash = sequence, digest
        self._did_one()

    def _add_records(self, sequence: int, body: bytes, start: int) -> None:
        """Take in the records of one append."""
        if not body.startswith(_BATCH, start):
            slices: Sequence[tuple[int, int]] = ((start, len(body)),)
        else:
            slices = _slices(body, start + len(_BATCH))
        for number, (offset, end) in enumerate(slices):
            record = orjson.loads(body[offset:end])
            if number == 0:
                self.at = _time_of(record)
            else:
                self._did_one()
            if "decision_id" in record:
                row = _row(record, sequence, self.at, offset, end - offset)
                self.decisions.append(row)
        self.records += len(slices)
        if self.first_at is None:
            self.first_at = self.at

    def _did_one(self) -> None:
        """Count a line, or another record of one."""
        self._left -= 1
        if not self._left:
            self._breathe()
            self._left = _SLICE_RECORDS


def _slices(body: bytes, start: int) -> list[tuple[int, int]]:
    """Return where each record of a batch begins and ends; the first begins at *start*."""
    last = len(body) - len(b"]}")
    starts = [start]
    while (found := body.find(_BETWEEN, starts[-1])) >= 0:
        starts.append(found + 1)
    ends = [begin - 1 for begin in starts[1:]]
    return list(zip(starts, [*ends, last], strict=True))


def _row(record: dict[str, Any], sequence: int, at: int, offset: int, size: int) -> DecisionRow:
    """Return what a record is found by; what its kind does not have is None."""
    said = record.get
    return (
        record["decision_id"],
        _microseconds(record["evaluated_at"]),
        sequence,
        at,
        offset,
        size,
        record["kind"],
        said("subject_id"),
        said("tenant_id"),
        said("recording_id"),
        said("patient_id"),
        said("caller"),
        said("action"),
        said("effect"),
        said("reason"),
        said("rule"),
        said("policy_revision"),
        said("facts_revision"),
        said("request_id"),
    )


def _time_of(record: dict[str, Any]) -> int:
    """Return when a record was made, in microseconds."""
    return _microseconds(record["evaluated_at"] if "evaluated_at" in record else record["at"])


@lru_cache(maxsize=8)  # the records of a line bear one time, and it is asked for twice
def _microseconds(text: str) -> int:
    """Return an RFC 3339 instant in UTC as microseconds since 1970."""
    return (datetime.fromisoformat(text) - _EPOCH) // _MICROSECOND

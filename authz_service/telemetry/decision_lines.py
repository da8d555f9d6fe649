"""One structlog line for every decision and every page, written after the answer may leave."""

from __future__ import annotations

import os
import select
import stat
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TextIO, TypeGuard

import orjson
import structlog

from authz_service.operations.records import (
    DecisionRecord,
    EmergencyRecord,
    ListRecord,
    Record,
    RecordKind,
)


class DecisionLines:
    """Writes the lines. Called from the journal's thread.

    Names ids only: no birth date, name or free text. The lines of one batch of the journal are one
    write: it gives up the interpreter's lock, and getting that back costs more than a line. They
    are rendered by structlog's renderers, past its loggers, which cost twice what a line does.
    A page of a list is one line, and no line for each row: the rows are in the journal. What was
    explained has none: nobody was let in or kept out.
    """

    def __init__(
        self, *, readable: bool, stream: TextIO = sys.stderr, shared: bool = False
    ) -> None:
        """Write to *stream*, for people where *readable*, else as JSON.

        Where it is *shared* with other workers and a pipe or a terminal, no write is longer than
        what a pipe takes whole: the lines of two workers would run into each other otherwise. A
        file takes every write whole.
        """
        self._stream = stream
        self._longest = select.PIPE_BUF if shared and _may_split(stream) else sys.maxsize
        self._rendered = _readable(colors=stream.isatty()) if readable else _to_json

    def __call__(self, records: Sequence[Record]) -> None:
        """Write a line for each decision, page of a list and opening among *records*."""
        lines = [self._rendered(_said_of(record)) for record in records if _has_a_line(record)]
        for block in _blocks(lines, self._longest):
            self._stream.write(block)
            self._stream.flush()


def _may_split(stream: TextIO) -> bool:
    """Whether a long write to *stream* may come apart: a regular file takes it whole."""
    try:
        return not stat.S_ISREG(os.fstat(stream.fileno()).st_mode)
    except (OSError, ValueError):
        return True


def _has_a_line(record: Record) -> TypeGuard[DecisionRecord | ListRecord | EmergencyRecord]:
    """Whether *record* is of a decision of its own, a page of a list, or an opening."""
    if isinstance(record, DecisionRecord):
        return record.kind is RecordKind.DECISION
    if isinstance(record, ListRecord):
        return record.explained is None
    return isinstance(record, EmergencyRecord)


def _said_of(record: DecisionRecord | ListRecord | EmergencyRecord) -> structlog.typing.EventDict:
    """Return what the line of *record* says."""
    if isinstance(record, DecisionRecord):
        return _event_of(record)
    return _page_of(record) if isinstance(record, ListRecord) else _opening_of(record)


def _blocks(lines: Sequence[str], longest: int) -> Iterator[str]:
    """Yield *lines* in blocks of at most *longest* bytes, or of one line that is longer."""
    block: list[str] = []
    length = 0
    for line in lines:
        size = len(line) + 1
        if block and length + size > longest:
            yield "\n".join((*block, ""))
            block, length = [], 0
        block.append(line)
        length += size
    if block:
        yield "\n".join((*block, ""))


def _event_of(record: DecisionRecord) -> structlog.typing.EventDict:
    """Return what a line says."""
    request, decision, context = record.request, record.decision, record.context
    return {
        "timestamp": record.evaluated_at,
        "level": "info",
        "event": "access_decided",
        "effect": decision.effect,
        "reason": decision.reason,
        "subject_id": request.subject_id if request else None,
        "action": request.action if request else None,
        "recording_id": request.recording_id if request else None,
        "rule": decision.rule,
        "caller": context.caller,
        "decision_id": record.decision_id,
        "request_id": context.request_id,
        "policy_revision": record.policy_revision,
        "facts_revision": record.facts_revision,
        "elapsed_microseconds": record.elapsed_microseconds,
    }


def _page_of(record: ListRecord) -> structlog.typing.EventDict:
    """Return what the line of a page of a list says."""
    request, context = record.request, record.context
    return {
        "timestamp": record.evaluated_at,
        "level": "info",
        "event": "list_presented",
        "subject_id": request.subject_id,
        "action": request.action,
        "rows": record.rows,
        "considered": record.considered,
        "is_last": record.is_last,
        "caller": context.caller,
        "decision_id": record.decision_id,
        "request_id": context.request_id,
        "policy_revision": record.policy_revision,
        "facts_revision": record.facts_revision,
        "elapsed_microseconds": record.elapsed_microseconds,
    }


def _opening_of(record: EmergencyRecord) -> structlog.typing.EventDict:
    """Return what the line of an opening, or of its refusal, says."""
    request, decision, context = record.request, record.decision, record.context
    return {
        "timestamp": record.evaluated_at,
        "level": "info",
        "event": "emergency_decided",
        "effect": decision.effect,
        "reason": decision.reason,
        "subject_id": request.subject_id,
        "patient_id": request.patient_id,
        "ground": request.ground,
        "grant_id": record.grant_id,
        "rule": decision.rule,
        "caller": context.caller,
        "decision_id": record.decision_id,
        "request_id": context.request_id,
        "policy_revision": record.policy_revision,
        "facts_revision": record.facts_revision,
        "elapsed_microseconds": record.elapsed_microseconds,
    }


def _to_json(event: structlog.typing.EventDict) -> str:
    """Return one line as JSON."""
    return orjson.dumps(event, option=orjson.OPT_UTC_Z).decode()


def _readable(*, colors: bool) -> Callable[[structlog.typing.EventDict], str]:
    """Return what renders a line for people."""
    render = structlog.dev.ConsoleRenderer(colors=colors, sort_keys=False, pad_event_to=0)

    def rendered(event: structlog.typing.EventDict) -> str:
        event["timestamp"] = f"{event['timestamp']:%H:%M:%S}"
        event["policy_revision"] = event["policy_revision"][:12]
        return str(render(None, "info", event))

    return rendered

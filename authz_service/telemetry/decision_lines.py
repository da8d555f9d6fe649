"""One structlog line for every decision, written after its answer may leave."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, TextIO

import orjson
import structlog

from authz_service.operations.records import DecisionRecord, Record


class _Gathered:
    """A logger that keeps its lines until they are written together.

    A write gives up the interpreter's lock, and getting it back costs more than the line: so a
    batch of the journal is one write, however many decisions it holds.
    """

    def __init__(self, stream: TextIO) -> None:
        """Write to *stream*."""
        self._stream = stream
        self._lines: list[str] = []

    def info(self, line: str) -> None:
        """Keep one line."""
        self._lines.append(line)

    def write(self) -> None:
        """Write what was kept."""
        if self._lines:
            self._lines.append("")
            self._stream.write("\n".join(self._lines))
            self._lines.clear()
            self._stream.flush()


class DecisionLines:
    """Writes the lines. Called from the journal's thread.

    Names ids only: no birth date, name or free text.
    """

    def __init__(self, *, readable: bool, stream: TextIO = sys.stderr) -> None:
        """Write to *stream*, for people where *readable*, else as JSON."""
        renderer: Any = _readable(colors=stream.isatty()) if readable else _to_json
        self._gathered = _Gathered(stream)
        logger = structlog.wrap_logger(
            self._gathered, processors=[renderer], wrapper_class=structlog.BoundLogger
        )
        self._info = logger.bind().info

    def __call__(self, records: Sequence[Record]) -> None:
        """Write a line for each decision among *records*."""
        for record in records:
            if isinstance(record, DecisionRecord):
                self._line(record)
        self._gathered.write()

    def _line(self, record: DecisionRecord) -> None:
        """Make one line."""
        request, decision, context = record.request, record.decision, record.context
        self._info(
            "access_decided",
            timestamp=record.evaluated_at,
            level="info",
            decision_id=record.decision_id,
            request_id=context.request_id,
            caller=context.caller,
            subject_id=request.subject_id if request else None,
            action=request.action if request else None,
            recording_id=request.recording_id if request else None,
            effect=decision.effect,
            reason=decision.reason,
            rule=decision.rule,
            policy_revision=record.policy_revision,
            facts_revision=record.facts_revision,
            elapsed_microseconds=record.elapsed_microseconds,
        )


def _to_json(_logger: Any, _method: str, event: structlog.typing.EventDict) -> str:
    """Return one line as JSON."""
    return orjson.dumps(event, option=orjson.OPT_UTC_Z).decode()


def _readable(*, colors: bool) -> structlog.typing.Processor:
    """Return what renders a line for people."""
    render = structlog.dev.ConsoleRenderer(colors=colors)

    def rendered(logger: Any, method: str, event: structlog.typing.EventDict) -> str:
        event["timestamp"] = f"{event['timestamp']:%Y-%m-%d %H:%M:%S}"
        return render(logger, method, event)

    return rendered

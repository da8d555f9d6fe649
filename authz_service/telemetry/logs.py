"""The set-up of structlog: one line an event, JSON for machines or coloured for people."""

from __future__ import annotations

import logging
import sys
from typing import Any, TextIO

import orjson
import structlog

from authz_service.telemetry.seldom import Seldom
from authz_service.telemetry.tracebacks import render_error

_QUIET = ("casbin", "alembic", "asyncio", "grpc")
_LONGEST = 1000
"""So much of a library's message is written: it may hold what a client made up."""


def set_up_logs(log_format: str, stream: TextIO = sys.stderr, *, worker: int | None = None) -> None:
    """Send every event to *stream*, as ``json`` or as ``console``, or by what it is with ``auto``.

    Libraries that log through the standard library are heard from WARNING on, in the same form,
    each kind of event once a minute: what they log a client may be able to bring about at will.
    Where this is one of several workers, each event names it.
    """
    readable = is_readable(log_format, stream)
    shared: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        render_error,
    ]
    if worker is not None:
        shared.append(lambda _logger, _method, event: {**event, "worker": worker})
    renderer: Any = (
        structlog.dev.ConsoleRenderer(colors=stream.isatty())
        if readable
        else structlog.processors.JSONRenderer(serializer=_to_json)
    )
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(file=stream),
        cache_logger_on_first_use=False,
    )
    _hear_libraries(shared, renderer, stream)


def is_readable(log_format: str, stream: TextIO = sys.stderr) -> bool:
    """Whether *log_format* on *stream* is for people: ``auto`` is, on a terminal."""
    return log_format == "console" or (log_format == "auto" and stream.isatty())


def without_context(_logger: Any, _method: str, event: Any) -> Any:
    """Cut off what a library says below an event with an error: it may quote the error."""
    if event.get("exc_info"):
        event["event"] = str(event["event"]).partition("\n")[0]
    return event


class _Terse(logging.StreamHandler[TextIO]):
    """Writes each kind of event once a minute, with how often it happened since the last."""

    def __init__(self, stream: TextIO) -> None:
        """Write to *stream*."""
        super().__init__(stream)
        self._said = Seldom()

    def emit(self, record: logging.LogRecord) -> None:
        """Write *record*, or count it. One thread at a time, by the lock of the base class."""
        begins = str(record.msg)[:40]
        unsaid = self._said.due(f"{record.name} {record.levelno} {record.lineno} {begins}")
        if unsaid is None:
            return
        text = record.getMessage()[:_LONGEST]
        record.msg, record.args = f"{text} ({unsaid} more before)" if unsaid else text, ()
        super().emit(record)


def _hear_libraries(shared: list[Any], renderer: Any, stream: TextIO) -> None:
    """Render what libraries log in the same form."""
    heard = _Terse(stream)
    heard.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[without_context, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.root
    root.handlers = [heard]
    root.setLevel(logging.WARNING)
    for name in _QUIET:
        logging.root.manager.loggerDict.pop(name, None)


def _to_json(event: Any, **_options: Any) -> str:
    """Return one event as JSON; what JSON does not know is written as text."""
    return orjson.dumps(event, default=str).decode()

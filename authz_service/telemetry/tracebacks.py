"""What a log says of an error: its kinds and places, never what foreign errors hold.

A driver's text quotes rows and passwords, a parser's what it could not parse: birth dates, what
people typed, parts of URLs. The places say where to look, and the question can be asked again.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator
from typing import Any

_TELLING = (
    AssertionError,
    AttributeError,
    ImportError,
    MemoryError,
    NameError,
    NotImplementedError,
    RecursionError,
    RuntimeError,
    TypeError,
)
"""Kinds of Python's own whose text is about code, not about values."""
_OURS = "authz_service."


def render_error(_logger: Any, _method: str, event: Any) -> Any:
    """Put in the place of an error what may be said of it. A processor of structlog."""
    error = error_of(event.pop("exc_info", None))
    if error is not None:
        event["exception"] = told(error)
    return event


def error_of(exc_info: object) -> BaseException | None:
    """Return the error that an event was logged with, however it was handed over."""
    found = exc_info[1] if isinstance(exc_info, tuple) else exc_info
    if isinstance(found, BaseException):
        return found
    return sys.exc_info()[1] if found else None


def told(error: BaseException) -> str:
    """Return *error* and what led to it, the first of them first, as tracebacks have it."""
    return "\n".join(_lines(error, set()))


def text_of(error: BaseException) -> str:
    """Return the text of an error; dots where it may hold what nobody may read in a log."""
    if type(error).__module__.startswith(_OURS) or type(error) in _TELLING:
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        return f"[Errno {error.errno}] {error.strerror}"
    return "..." if str(error) else ""


def _lines(error: BaseException, seen: set[int]) -> Iterator[str]:
    """Yield the lines of *error*, after those of what it came of."""
    seen.add(id(error))
    earlier = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if earlier is not None and id(earlier) not in seen:
        yield from _lines(earlier, seen)
        yield "which led to:"
    if error.__traceback__ is not None:
        yield "Traceback (most recent call last):"
        yield "".join(traceback.format_tb(error.__traceback__)).rstrip("\n")
    kind, text = type(error), text_of(error)
    name = (
        kind.__qualname__
        if kind.__module__ == "builtins"
        else f"{kind.__module__}.{kind.__qualname__}"
    )
    yield f"{name}: {text}" if text else name
    for one in error.exceptions if isinstance(error, BaseExceptionGroup) else ():
        if id(one) not in seen:
            yield "one of which:"
            yield from _lines(one, seen)

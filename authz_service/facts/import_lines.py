"""Reads lines of JSON as facts: nothing is guessed, and every complaint names its line."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, Final, NoReturn

from authz_service.facts.write_rules import MAX_FACTS
from authz_service.pdp.entities import Entity
from authz_service.pdp.entity_plain import fact_from_plain
from authz_service.pdp.entity_words import FactKind
from authz_service.pdp.errors import InvalidRequestError, Violation
from authz_service.pdp.facts import Fact

_MAX_LINE_BYTES: Final = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Line:
    """A fact, and the line on which it stands, from 1."""

    number: int
    fact: Fact[Entity]


def lines_in(file: BinaryIO) -> Iterator[bytes]:
    """Yield the lines of *file*; one that is too long comes in pieces that are refused."""
    while line := file.readline(_MAX_LINE_BYTES + 1):
        yield line


def blocks_of(lines: Iterable[bytes], name: str, done: int) -> Iterator[list[Line]]:
    """Yield the facts on *lines*, as many at a time as one write takes and none twice in one.

    What precedes a malformed line is yielded before the complaint.

    Args:
        lines: The lines, without those that are done.
        name: How the file is called in errors.
        done: How many lines came before these.

    Raises:
        InvalidRequestError: Names the file, the line and the field.
    """
    block: list[Line] = []
    ids: set[tuple[FactKind, str]] = set()
    complaint = None
    for number, line in enumerate(lines, done + 1):
        if line.isspace():
            continue
        try:
            fact = fact_on(line, f"{name}:{number}: ")
        except InvalidRequestError as error:
            complaint = error
            break
        key = fact.kind, fact.entity.id
        if len(block) == MAX_FACTS or key in ids:
            yield block
            block, ids = [], set()
        block.append(Line(number, fact))
        ids.add(key)
    if block:
        yield block
    if complaint is not None:
        raise complaint


def fact_on(line: bytes, prefix: str) -> Fact[Entity]:
    """Return the fact on *line*.

    Args:
        line: One JSON object.
        prefix: What stands in errors before the field: the file and the line.

    Raises:
        InvalidRequestError: Names the field that is malformed.
    """
    if len(line) > _MAX_LINE_BYTES:
        raise InvalidRequestError(Violation(f"{prefix}fact", "is longer than 4 MiB"))
    try:
        plain = _decoder.decode(line.decode("utf-8", "strict"))
    except UnicodeDecodeError:
        raise InvalidRequestError(Violation(f"{prefix}fact", "is not UTF-8")) from None
    except json.JSONDecodeError as error:
        text = f"is not JSON: {error.msg.lower()} at column {error.colno}"
        raise InvalidRequestError(Violation(f"{prefix}fact", text)) from None
    except _TwiceError as error:
        raise InvalidRequestError(Violation(f"{prefix}{error}", "stands twice")) from None
    except ValueError:
        raise InvalidRequestError(Violation(f"{prefix}fact", "holds too long a number")) from None
    except RecursionError:
        raise InvalidRequestError(Violation(f"{prefix}fact", "is nested too deeply")) from None
    try:
        return fact_from_plain(plain)
    except InvalidRequestError as error:
        raise InvalidRequestError(
            *(Violation(f"{prefix}{field}", text) for field, text in error.violations)
        ) from None


class _TwiceError(Exception):
    """A key stands twice in one object; never leaves this module."""


def _object_of(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object in which no key stands twice: the last one would have won in silence."""
    made = dict(pairs)
    if len(made) != len(pairs):
        names = [name for name, _value in pairs]
        raise _TwiceError(next(name for name in names if names.count(name) > 1))
    return made


def _no_constant(name: str) -> NoReturn:
    """Refuse NaN and the infinities, which JSON does not know."""
    raise json.JSONDecodeError(f"{name} is no number", name, 0)


_decoder: Final = json.JSONDecoder(object_pairs_hook=_object_of, parse_constant=_no_constant)

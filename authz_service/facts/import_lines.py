"""Reads lines of JSON as facts: nothing is guessed, and every complaint names its line."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, Final, NoReturn

import orjson

from authz_service.facts.write_rules import MAX_FACTS
from authz_service.pdp.entities import Entity
from authz_service.pdp.entity_plain import fact_from_plain
from authz_service.pdp.entity_words import FactKind
from authz_service.pdp.errors import InvalidRequestError, Violation
from authz_service.pdp.facts import Fact

_MAX_LINE_BYTES: Final = 4 * 1024 * 1024


_CHUNK_BYTES: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Chunk:
    """Lines that follow each other, as many as one write takes and no more than a mebibyte.

    Attributes:
        before: How many lines come before them.
        lines: The lines, blank ones and malformed ones included.
    """

    before: int
    lines: list[bytes]


@dataclass(frozen=True, slots=True)
class Line:
    """A fact, and the line on which it stands, from 1."""

    number: int
    fact: Fact[Entity]


def lines_in(file: BinaryIO) -> Iterator[bytes]:
    """Yield the lines of *file*; one that is too long comes in pieces that are refused."""
    while line := file.readline(_MAX_LINE_BYTES + 1):
        yield line


def chunks_of(lines: Iterable[bytes], done: int) -> Iterator[Chunk]:
    """Yield *lines*, before which *done* others came, in chunks."""
    chunk: list[bytes] = []
    size = 0
    for line in lines:
        chunk.append(line)
        size += len(line)
        if len(chunk) == MAX_FACTS or size >= _CHUNK_BYTES:
            yield Chunk(done, chunk)
            done, chunk, size = done + len(chunk), [], 0
    if chunk:
        yield Chunk(done, chunk)


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
    return _at_once(line) or _with_every_complaint(line, prefix)


def _at_once(line: bytes) -> Fact[Entity] | None:
    """Return the fact on *line* where all is well and that is seen cheaply.

    Where no backslash stands in a JSON text its quotes are those of its strings. A key that stands
    twice is read once, so that what is read has fewer strings than the text.
    """
    if b"\\" in line:
        return None
    try:
        plain = orjson.loads(line)
        if orjson.dumps(plain).count(b'"') == line.count(b'"') and "revision" not in plain:
            return fact_from_plain(plain)
    except (orjson.JSONDecodeError, TypeError, InvalidRequestError):
        pass
    return None


def _with_every_complaint(line: bytes, prefix: str) -> Fact[Entity]:
    """Return the fact on *line*, or say what is wrong with it.

    Raises:
        InvalidRequestError: Names the field that is malformed.
    """
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

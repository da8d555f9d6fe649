"""YAML read strictly: each value with its line and column, and no value of a surprising type.

Built from parser events alone: nothing is constructed, tags, aliases and anchors are refused, and
so is a key that stands twice. Plain ``true`` and ``false`` are truth values, whole numbers are
numbers, ``null``, ``~`` and nothing are null; everything else is text, instants included.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import yaml

from authz_service.pdp.entity_plain import Plain
from authz_service.tables.findings import Findings, Place, shown
from authz_service.tables.rows import Text

MAX_DEPTH = 20
"""How deep values may be nested."""

_LOADER: type[yaml.SafeLoader | yaml.CSafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_NULLS = frozenset({"", "~", "null"})
_BOOLS = {"true": True, "false": False}
_STEP = re.compile(r"[^.\[\]]+")
_INTEGER = re.compile(r"-?\d{1,18}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Node:
    """One value of a YAML file, and where it stands."""

    value: bool | int | str | list[Node] | dict[str, Node] | None
    place: Place
    keys: dict[str, Place]

    def plain(self) -> Plain:
        """Return the value as JSON knows it."""
        if isinstance(self.value, list):
            return [item.plain() for item in self.value]
        if isinstance(self.value, dict):
            return {key: item.plain() for key, item in self.value.items()}
        return self.value

    def place_of(self, path: str) -> Place:
        """Return where the value at *path* stands, as in ``grant.actions[0]``, or the nearest."""
        node = self
        for part in _STEP.findall(path):
            if isinstance(node.value, dict) and part in node.value:
                node = node.value[part]
            elif isinstance(node.value, list) and part.isdecimal() and int(part) < len(node.value):
                node = node.value[int(part)]
            else:
                break
        return node.place


class _Mark(Protocol):
    """Where the parser stood, from 0."""

    line: int
    column: int


class _RefusedError(Exception):
    """The file is not the YAML that is read here; never leaves this module."""

    def __init__(self, mark: _Mark | None, message: str, hint: str) -> None:
        super().__init__(message)
        self.mark = mark
        self.message = message
        self.hint = hint


def yaml_tree(text: Text, findings: Findings) -> Node | None:
    """Return what the one document of *text* holds, or None where it was refused."""
    if text.defective:
        return None
    try:
        return _Reader(text).document()
    except yaml.MarkedYAMLError as wrong:
        place = _place(text.name, wrong.problem_mark or wrong.context_mark)
        message = f"is not YAML: {wrong.problem or wrong.context}"
        findings.invalid(place, message, "check indentation, colons and brackets")
    except yaml.YAMLError:
        findings.invalid(Place(text.name), "is not YAML", "look for characters that are no text")
    except _RefusedError as wrong:
        findings.invalid(_place(text.name, wrong.mark), wrong.message, wrong.hint)
    return None


class _Reader:
    """Builds the tree of one file from the events of its parser."""

    def __init__(self, text: Text) -> None:
        self._file = text.name
        self._events: Iterator[yaml.Event] = iter(
            yaml.parse("".join(f"{line}\n" for line in text.lines), Loader=_LOADER)
        )

    def document(self) -> Node:
        """Read the one document."""
        next(self._events)  # the stream begins
        first = next(self._events)
        if not isinstance(first, yaml.DocumentStartEvent):
            raise _RefusedError(first.start_mark, "the file is empty", "write cases, or remove it")
        node = self._node(next(self._events), 0)
        next(self._events)  # the document ends
        after = next(self._events)
        if not isinstance(after, yaml.StreamEndEvent):
            hint = "keep one, without --- between"
            raise _RefusedError(after.start_mark, "there is a second document", hint)
        return node

    def _node(self, event: yaml.Event, depth: int) -> Node:
        """Read the value that begins with *event*."""
        place = _place(self._file, event.start_mark)
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise _RefusedError(event.start_mark, "there is an anchor or alias", "write it out")
        if getattr(event, "tag", None):
            raise _RefusedError(event.start_mark, "there is a tag", "values need none")
        if depth > MAX_DEPTH:
            raise _RefusedError(event.start_mark, "values are nested too deep", "flatten them")
        if isinstance(event, yaml.ScalarEvent):
            return Node(_scalar(event), place, {})
        if isinstance(event, yaml.SequenceStartEvent):
            return Node(self._items(depth + 1), place, {})
        return self._mapping(place, depth + 1)

    def _items(self, depth: int) -> list[Node]:
        """Read items up to the end of their list."""
        items = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            items.append(self._node(event, depth))
        return items

    def _mapping(self, place: Place, depth: int) -> Node:
        """Read keys and values up to the end of their mapping."""
        values: dict[str, Node] = {}
        keys: dict[str, Place] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent):
                raise _RefusedError(event.start_mark, "a key is not a word", "write key: value")
            key = event.value
            if key in values:
                message = f"the key {shown(key)} stands twice"
                raise _RefusedError(event.start_mark, message, "keep one")
            keys[key] = _place(self._file, event.start_mark)
            values[key] = self._node(next(self._events), depth)
        return Node(values, place, keys)


def _scalar(event: yaml.ScalarEvent) -> bool | int | str | None:
    """Return the value of one scalar; what stands in quotes is text."""
    text: str = event.value
    if not event.implicit[0]:
        return text
    if text in _NULLS:
        return None
    if text in _BOOLS:
        return _BOOLS[text]
    return int(text) if _INTEGER.fullmatch(text) else text


def _place(file: str, mark: _Mark | None) -> Place:
    """Return where *mark* points."""
    return Place(file, mark.line + 1, mark.column + 1) if mark else Place(file)

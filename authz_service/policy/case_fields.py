"""The fields of one mapping in a file of cases: all known, each of its type, or refused."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import TypeVar

from authz_service.policy.yaml_tree import Node
from authz_service.tables.findings import Findings, shown
from authz_service.tables.spelling import suggestion

T = TypeVar("T")
W = TypeVar("W", bound=StrEnum)


class CaseFields:
    """Reads the fields of one mapping; what is refused is None, and noted once."""

    def __init__(
        self,
        node: Node,
        what: str,
        required: tuple[str, ...],
        findings: Findings,
        optional: tuple[str, ...] = (),
    ) -> None:
        """Refuse fields that *what* does not have, and note those that are missing."""
        self._findings = findings
        self._values: dict[str, Node] = {}
        if not isinstance(node.value, dict):
            findings.invalid(node.place, f"{what} is a mapping", "write " + ", ".join(required))
            return
        self._values = node.value
        known = required + optional
        for key, place in node.keys.items():
            if key not in known:
                message = f"{what} has no field {shown(key)}"
                findings.invalid(place, message, suggestion(key, known))
        for key in required:
            if key not in node.value:
                findings.invalid(node.place, f"{what} lacks {key}", f"add {key}:")

    def node(self, name: str) -> Node | None:
        """Return the field as it stands, or None where there is none."""
        return self._values.get(name)

    def items(self, name: str) -> list[Node]:
        """Return the items of a list."""
        node = self._values.get(name)
        if node is None:
            return []
        if isinstance(node.value, list):
            return node.value
        self._findings.invalid(node.place, f"{name} is not a list", "begin each item with a dash")
        return []

    def text(self, name: str) -> str | None:
        """Return a text that is not empty."""
        return self.read(name, _text, "a text")

    def word(self, name: str, words: type[W]) -> W | None:
        """Return one word of a closed list."""
        return self.read(name, words, "one of " + ", ".join(words))

    def read(self, name: str, read: Callable[[str], T], expected: str) -> T | None:
        """Return a text as *read* makes of it; *read* raises ValueError where it cannot."""
        node = self._values.get(name)
        if node is None:
            return None
        try:
            if isinstance(node.value, str):
                return read(node.value)
        except (ValueError, OverflowError):
            pass
        value = shown(str(node.value)) if not isinstance(node.value, list | dict) else "this"
        self._findings.invalid(
            node.place, f"{name}: {value} is not {expected}", "see docs/policy.md"
        )
        return None


def _text(text: str) -> str:
    """Return *text* where there is any.

    Raises:
        ValueError: There is none.
    """
    if not text.strip():
        raise ValueError(text)
    return text

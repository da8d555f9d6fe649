"""What a verification counts: how many break each rule, and the first of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

Progress = Callable[[str, int, int | None], None]
"""Told what is being looked through, how many rows of it are done, and of how many, if known."""


def say_nothing(_what: str, _done: int, _total: int | None) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that cannot be right.

    Attributes:
        rule: What was looked for, as in ``recording.owner_id: no such subject``.
        count: How many facts break it.
        examples: The first of their ids.
    """

    rule: str
    count: int
    examples: tuple[str, ...]


class Tally:
    """Findings as they are made; of each rule so many examples."""

    def __init__(self, examples: int) -> None:
        """Keep the first *examples* of each rule."""
        self._examples = examples
        self._counts: dict[str, int] = {}
        self._first: dict[str, list[str]] = {}

    def add(self, rule: str, fact_id: str) -> None:
        """Count one that breaks *rule*."""
        self.add_all(rule, 1, (fact_id,))

    def add_all(self, rule: str, count: int, examples: Iterable[str]) -> None:
        """Count so many that break *rule*, of which *examples* are the first."""
        if count:
            self._counts[rule] = self._counts.get(rule, 0) + count
            first = self._first.setdefault(rule, [])
            first.extend(examples)
            del first[self._examples :]

    def findings(self) -> Iterator[Finding]:
        """Yield what was found, in the order in which each rule was broken first."""
        for rule, count in self._counts.items():
            yield Finding(rule, count, tuple(self._first[rule]))

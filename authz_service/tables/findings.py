"""All that is wrong with what people edit, so that one look shows every defect."""

from __future__ import annotations

from typing import NamedTuple

from authz_service.pdp.errors import PolicyProblem

MAX_PROBLEMS = 1000
"""How many problems are listed; a file of rubbish has one on every line."""

_SHOWN_LENGTH = 40


class Place(NamedTuple):
    """Where something stands.

    Attributes:
        file: The file; of a bundle, relative to it.
        line: The line, from 1; 0 for the whole file.
        column: The column in characters, from 1; 0 for the whole line.
    """

    file: str
    line: int = 0
    column: int = 0


class Findings:
    """The problems found so far in one reading, in the order in which they were found."""

    def __init__(self) -> None:
        """Begin with none."""
        self._problems: list[PolicyProblem] = []
        self._omitted = 0

    def invalid(self, place: Place, message: str, hint: str) -> None:
        """Note that what stands at *place* does not belong there."""
        self.add(PolicyProblem("invalid", *place, message, hint))

    def add(self, problem: PolicyProblem) -> None:
        """Note *problem*; beyond `MAX_PROBLEMS` it is only counted."""
        if len(self._problems) < MAX_PROBLEMS:
            self._problems.append(problem)
        else:
            self._omitted += 1

    @property
    def is_full(self) -> bool:
        """Whether any further problem is only counted, so that a hint at it is lost."""
        return len(self._problems) >= MAX_PROBLEMS

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self._problems) + self._omitted

    def problems(self) -> tuple[PolicyProblem, ...]:
        """Return what was found, ended by a count of what is not listed."""
        if not self._omitted:
            return tuple(self._problems)
        message = f"{self._omitted} more problems are not listed"
        last = PolicyProblem("invalid", "", 0, 0, message, "mend those listed first")
        return (*self._problems, last)


def shown(text: str) -> str:
    """Return *text* as a message quotes it: on one line, in ASCII, cut where it is long."""
    cut = text if len(text) <= _SHOWN_LENGTH else text[:_SHOWN_LENGTH] + "..."
    return ascii(cut)

"""The callers there are, under one revision; and which of them is in force now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from authz_service.identity.caller_rules import CallerRule
from authz_service.pdp.errors import CallerRefusal, CallerUnauthenticatedError, PolicyProblem


@dataclass(frozen=True, slots=True)
class Callers:
    """What a callers file says.

    Attributes:
        revision: SHA-256 of the file, in hex.
        rules: What each caller may.
        warnings: What is doubtful about it, and in force all the same.
    """

    revision: str
    rules: Mapping[str, CallerRule]
    warnings: tuple[PolicyProblem, ...] = ()

    def rule_of(self, caller: str) -> CallerRule:
        """Return what *caller* may.

        Raises:
            CallerUnauthenticatedError: The file has no row for it.
        """
        rule = self.rules.get(caller)
        if rule is None:
            raise CallerUnauthenticatedError(
                "this caller has no row in the callers file", CallerRefusal.UNKNOWN, caller
            )
        return rule


class ActiveCallers:
    """The callers in force. Replaced whole, in one step: a call is judged by one file."""

    __slots__ = ("current",)

    def __init__(self, callers: Callers) -> None:
        """Begin with *callers*."""
        self.current = callers

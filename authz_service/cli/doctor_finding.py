"""What one look of the doctor's finds."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class Verdict(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


class Finding(NamedTuple):
    """One thing looked at.

    Attributes:
        subject: What was looked at.
        verdict: How bad it is.
        what: What was found.
        todo: What to do; empty where there is nothing to do.
    """

    subject: str
    verdict: Verdict
    what: str
    todo: str = ""


def fine(subject: str, what: str) -> Finding:
    """Return that nothing is wrong."""
    return Finding(subject, Verdict.OK, what)


def odd(subject: str, what: str, todo: str) -> Finding:
    """Return that something may be wrong, or soon will be."""
    return Finding(subject, Verdict.WARN, what, todo)


def bad(subject: str, what: str, todo: str) -> Finding:
    """Return that something is wrong."""
    return Finding(subject, Verdict.FAIL, what, todo)

"""Words that several verbs share, so that all say the same thing in the same way."""

from __future__ import annotations

START = "start it with: authz serve --insecure-loopback, or: make run"


def counted(count: int, noun: str) -> str:
    """Return *count* with *noun*, in the plural unless it is one."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"

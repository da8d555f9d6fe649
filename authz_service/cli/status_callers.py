"""Which callers file is in force, and what is wrong with the file as it is now, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from authz_service.cli.failures import located
from authz_service.cli.wording import counted
from authz_service.pdp.errors import PolicyProblem

_CALLERS = "callers"


def callers_fields(callers: dict[str, Any] | None) -> list[tuple[str, str]]:
    """Return what a service says of its callers as names and values."""
    if callers is None:
        return []
    differing = dict(callers.get("differing") or {})
    if differing:
        told = ", ".join(f"worker {number}: {each}" for number, each in differing.items())
        fields = [(_CALLERS, f"NOT the same in all workers ({told})")]
    else:
        known = counted(int(callers.get("callers") or 0), "caller")
        fields = [(_CALLERS, f"{callers.get('revision')}, {known}")]
    if callers.get("warnings"):
        doubts = counted(int(callers["warnings"]), "warning")
        fields.append(("", f"{doubts}, see: authz policy callers {callers.get('file')}"))
    if callers.get("unreadable"):
        fields.append(("", f"{callers.get('file')} cannot be read: {callers['unreadable']}"))
    refused = callers.get("refused")
    if refused and not callers.get("unreadable"):
        count = counted(int(refused["count"]), "problem")
        fields.append(("", f"the file as it is now was refused at {refused['at']}: {count}"))
        fields += [("", located(PolicyProblem(**each))) for each in refused["problems"]]
    return fields


def callers_together(readings: Mapping[int, dict[str, Any] | None]) -> dict[str, Any] | None:
    """Return what several workers, by their numbers, say of the callers as one statement.

    Each watches the file by itself, so that they may differ for a moment. What is wrong with the
    file is said where any of them says so; of files that are all sound, the most doubtful speaks.
    """
    told = {number: each for number, each in readings.items() if each is not None}
    if not told:
        return None
    revisions = {number: str(each.get("revision")) for number, each in told.items()}
    worst = max(told.values(), key=_trouble)
    differing = revisions if len(set(revisions.values())) > 1 else {}
    return {**worst, "revision": None if differing else worst["revision"], "differing": differing}


def _trouble(callers: dict[str, Any]) -> tuple[bool, int]:
    """Return how much is wrong with the file that a worker speaks of."""
    spoilt = bool(callers.get("refused") or callers.get("unreadable"))
    return spoilt, int(callers.get("warnings") or 0)

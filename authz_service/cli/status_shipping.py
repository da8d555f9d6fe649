"""How shipping to the decision store is doing, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from authz_service.cli.wording import counted

_STORE = "decision store"


def shipping_fields(shipping: dict[str, Any] | None) -> list[tuple[str, str]]:
    """Return what a service says of its decision store as names and values."""
    if shipping is None:
        return []
    if shipping.get("off"):
        return [(_STORE, "none; nothing is shipped")]
    why = str(shipping.get("why", ""))
    fields = [(_STORE, f"{_whether(shipping.get('usable'))}, {_behind(shipping)}")]
    alarms = dict(shipping.get("alarms") or {})
    if why and why not in alarms.values():
        fields.append(("", why))
    return [*fields, *((f"ALARM {kind}", str(text)) for kind, text in sorted(alarms.items()))]


def shipping_together(readings: Mapping[int, dict[str, Any] | None]) -> dict[str, Any] | None:
    """Return what several workers, by their numbers, say of the store as one statement.

    They are together as far behind as they are in all, and for as long as the one that is so
    longest; where one does not say, that is not known, nor whether all is shipped.
    """
    told = {number: each for number, each in readings.items() if each is not None}
    if not told:
        return None
    shipping = [each for each in told.values() if not each.get("off")]
    if not shipping:
        return {"off": True}
    lines = [each.get("behind_lines") for each in shipping]
    seconds = [each.get("behind_seconds") for each in shipping]
    silent = len(told) < len(readings)
    return {
        "off": False,
        "usable": False
        if not all(each.get("usable") for each in shipping)
        else (None if silent else True),
        "why": next((each["why"] for each in shipping if each.get("why")), ""),
        "behind_lines": None if silent or None in lines else sum(filter(None, lines)),
        "behind_seconds": None
        if silent or None in seconds
        else max(filter(None, seconds), default=0.0),
        "alarms": {
            f"{kind} (worker {number})": text
            for number, each in told.items()
            for kind, text in dict(each.get("alarms") or {}).items()
        },
    }


def _whether(usable: bool | None) -> str:  # noqa: FBT001  # as it is told
    """Return whether it is shipped to, in words."""
    if usable is None:
        return "not known whether shipped to"
    return "shipped to" if usable else "NOT shipped to"


def _behind(shipping: dict[str, Any]) -> str:
    """Return how far the store is behind the journal."""
    lines, seconds = shipping.get("behind_lines"), shipping.get("behind_seconds")
    if lines is None or seconds is None:
        return "how far behind is not known"
    if not lines:
        return "all is there"
    return f"{counted(int(lines), 'line')} behind, the oldest for {float(seconds):.1f} s"

"""How shipping to the decision store is doing, in words."""

from __future__ import annotations

from typing import Any

from authz_service.cli.wording import counted

_STORE = "decision store"


def shipping_fields(shipping: dict[str, Any] | None) -> list[tuple[str, str]]:
    """Return what a service says of its decision store as names and values."""
    if shipping is None:
        return []
    if shipping.get("off"):
        return [(_STORE, "none; nothing is shipped")]
    usable, why = bool(shipping.get("usable")), str(shipping.get("why", ""))
    fields = [(_STORE, f"{'shipped to' if usable else 'NOT shipped to'}, {_behind(shipping)}")]
    alarms = dict(shipping.get("alarms") or {})
    if why and why not in alarms.values():
        fields.append(("", why))
    return [*fields, *((f"ALARM {kind}", str(text)) for kind, text in sorted(alarms.items()))]


def _behind(shipping: dict[str, Any]) -> str:
    """Return how far the store is behind the journal."""
    lines, seconds = shipping.get("behind_lines"), shipping.get("behind_seconds")
    if lines is None or seconds is None:
        return "how far behind is not known"
    if not lines:
        return "all is there"
    return f"{counted(int(lines), 'line')} behind, the oldest for {float(seconds):.1f} s"

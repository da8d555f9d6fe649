"""Until when the service's certificates are good, and what is wrong with their files, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_ENDS = {"server_not_after": "the service's own", "client_ca_not_after": "the CA of callers"}


def tls_fields(tls: dict[str, Any] | None) -> list[tuple[str, str]]:
    """Return what a service says of its certificates as names and values; none without TLS."""
    if tls is None:
        return []
    ends = [f"{what} ends at {tls[name]}" for name, what in _ENDS.items() if tls.get(name)]
    fields = [("certificates", ", ".join(ends) or "not known")]
    if tls.get("refused"):
        fields.append(("", f"the files as they are now are not served with: {tls['refused']}"))
    return fields


def tls_together(readings: Mapping[int, dict[str, Any] | None]) -> dict[str, Any] | None:
    """Return what several workers say of the certificates as one: the first end of each.

    Each watches the files by itself, so that they may differ for a moment.
    """
    told = [each for each in readings.values() if each is not None]
    if not told:
        return None
    ends = {
        name: min((str(each[name]) for each in told if each.get(name)), default="")
        for name in _ENDS
    }
    refused = next((str(each["refused"]) for each in told if each.get("refused")), "")
    return {**ends, "refused": refused}

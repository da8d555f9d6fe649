"""SPIFFE IDs: what a workload may be called (SPIFFE-ID, sections 2.1 to 2.4)."""

from __future__ import annotations

import re

MAX_BYTES = 2048
"""Of a SPIFFE ID (SPIFFE-ID, section 2.3)."""
_MAX_TRUST_DOMAIN = 255
_SCHEME = "spiffe://"
_TRUST_DOMAIN = re.compile(r"[a-z0-9._-]+")
_SEGMENT = re.compile(r"[A-Za-z0-9._-]+")
_DOTS = {".", ".."}
_MARKS = (
    ("%", "is percent-encoded; write the characters themselves"),
    ("?", "has a query"),
    ("#", "has a fragment"),
)


def fault_of(text: str) -> str:
    """Return why *text* is not the SPIFFE ID of a workload; empty where it is one.

    The words go on from "the SPIFFE ID". Nothing is trimmed, folded or decoded.
    """
    if len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        return f"has more than {MAX_BYTES} bytes"
    if not text.startswith(_SCHEME):
        return f"does not begin with {_SCHEME}"
    trust_domain, _, path = text.removeprefix(_SCHEME).partition("/")
    for mark, fault in _MARKS:
        if mark in text:
            return fault
    return _fault_of_domain(trust_domain) or _fault_of_path(path)


def _fault_of_domain(trust_domain: str) -> str:
    """Return what is wrong with the trust domain."""
    for mark, part in (("@", "user"), (":", "port")):
        if mark in trust_domain:
            return f"names a {part}"
    if not trust_domain:
        return "has no trust domain"
    if trust_domain != trust_domain.lower():
        return "has a trust domain with capitals"
    if len(trust_domain) > _MAX_TRUST_DOMAIN:
        return f"has a trust domain of more than {_MAX_TRUST_DOMAIN} bytes"
    if not _TRUST_DOMAIN.fullmatch(trust_domain):
        return "has a trust domain with other characters than a to z, 0 to 9, '.', '-' and '_'"
    return ""


def _fault_of_path(path: str) -> str:
    """Return what is wrong with the path behind the trust domain."""
    if not path:
        return "has no path: it names a trust domain, and no workload in it"
    for segment in path.split("/"):
        if not segment:
            return "has an empty segment in its path"
        if segment in _DOTS:
            return f"has the segment {segment!r} in its path"
        if not _SEGMENT.fullmatch(segment):
            return "has a path with other characters than letters, digits, '.', '-' and '_'"
    return ""

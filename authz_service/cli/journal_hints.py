"""What to do about a journal that cannot be opened or written, by what it says of itself."""

from __future__ import annotations

_ROOM = "make room or give the right to write in AUTHZ_JOURNAL_DIR; see: authz doctor"
_HINTS = (
    ("another writer holds", "end the other service, or choose another AUTHZ_JOURNAL_DIR"),
    ("restore the file", "restore the file from a copy; authz doctor shows where"),
    ("no space left", _ROOM),
    ("quota exceeded", _ROOM),
    ("permission denied", _ROOM),
    ("operation not permitted", _ROOM),
    ("read-only", _ROOM),
)


def journal_hint(why: str) -> str:
    """Return what to do where the journal's complaint is *why*."""
    return next((hint for words, hint in _HINTS if words in why), "see: authz doctor")

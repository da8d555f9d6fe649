"""What a misspelt word may have been meant to be."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_MAX_SUGGESTED_LENGTH = 64


def suggestion(word: str, known: Iterable[str]) -> str:
    """Return a hint at the one of *known* that *word* may have been meant to be."""
    words = sorted(known)
    if len(word) <= _MAX_SUGGESTED_LENGTH:
        spelt = {known_word.casefold(): known_word for known_word in words}
        close = difflib.get_close_matches(word.casefold(), spelt, n=1)
        if close:
            return f"did you mean {spelt[close[0]]}?"
    return "known are " + ", ".join(words)

"""Cache keys as they stand in `fact_changes`: a JSON list of ``s:ID``, ``p:ID``, ``r:ID``, ``c:``.

A change of a tenant touches everything and is written ``*``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import orjson

from authz_service.facts.reader import Key, KeySpace

EVERYTHING: Final = Key("containments", "*")
"""Stands for every key there is; `*` is not an id, so no key of the cache is like it."""

_LETTERS: Final[dict[KeySpace, str]] = {
    "subject": "s",
    "recording": "r",
    "patient": "p",
    "containments": "c",
}
_SPACES: Final[dict[str, KeySpace]] = {letter: space for space, letter in _LETTERS.items()}


def keys_text(keys: Iterable[Key]) -> str:
    """Return *keys* as they are stored, in a stable order."""
    texts = ["*" if key == EVERYTHING else f"{_LETTERS[key.space]}:{key.id}" for key in keys]
    if len(texts) > 1:
        texts.sort()
    return orjson.dumps(texts).decode()


def keys_from_text(text: str) -> frozenset[Key]:
    """Return the keys that *text* holds."""
    return frozenset(
        EVERYTHING if entry == "*" else Key(_SPACES[entry[0]], entry[2:])
        for entry in orjson.loads(text)
    )

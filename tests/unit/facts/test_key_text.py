"""The keys of a change survive being written down."""

from __future__ import annotations

from authz_service.facts.key_text import EVERYTHING, keys_from_text, keys_text
from authz_service.facts.reader import CONTAINMENTS_KEY, Key


def test_keys_are_written_in_a_stable_order() -> None:
    keys = [Key("subject", "b"), Key("recording", "r.1"), Key("patient", "a"), CONTAINMENTS_KEY]

    assert keys_text(keys) == '["c:","p:a","r:r.1","s:b"]'


def test_what_is_written_is_read() -> None:
    keys = frozenset({Key("subject", "b"), Key("patient", "b"), CONTAINMENTS_KEY, EVERYTHING})

    assert keys_from_text(keys_text(keys)) == keys

"""Messages of the wire as plain documents, and their words as people write them."""

from __future__ import annotations

from typing import Any

from google.protobuf import json_format
from google.protobuf.message import Message

from authz_service.api.v1 import entities_pb2
from authz_service.api.v1 import vocabulary_pb2 as words

_PREFIXES = ("EFFECT_", "REASON_", "ACTION_", "FACT_KIND_")
_ENUMS = frozenset({"effect", "reason", "reason_after", "action", "kind"})
_NUMBERS = frozenset({"revision", "facts_revision"})


def document_of(message: Message) -> dict[str, Any]:
    """Return *message* as a document: every field there, words without the prefix of their type."""
    plain: dict[str, Any] = json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    _mend(plain)
    return plain


def effect_of(number: int) -> str:
    """Return the word for an effect."""
    return _name(words.Effect, number, "EFFECT_")


def reason_of(number: int) -> str:
    """Return the word for a reason."""
    return _name(words.Reason, number, "REASON_")


def kind_of(number: int) -> str:
    """Return the word for a kind of fact."""
    return _name(entities_pb2.FactKind, number, "FACT_KIND_").lower()


def _name(enum: Any, number: int, prefix: str) -> str:
    """Return the name of *number* without its prefix, or the number where it has none."""
    try:
        return str(enum.Name(number)).removeprefix(prefix)
    except ValueError:
        return f"{prefix}{number}"


def _mend(plain: Any) -> None:
    """Take the prefixes off the words, and make numbers of the numbers."""
    for each in plain if isinstance(plain, list) else ():
        _mend(each)
    for name, value in plain.items() if isinstance(plain, dict) else ():
        if name in _ENUMS and isinstance(value, str):
            plain[name] = _bare(value)
        elif name in _NUMBERS:
            plain[name] = int(value)
        else:
            _mend(value)


def _bare(word: str) -> str:
    """Return *word* without the prefix of its type; a kind of fact as it is called elsewhere."""
    for prefix in _PREFIXES:
        if word.startswith(prefix):
            bare = word.removeprefix(prefix)
            return bare.lower() if prefix == "FACT_KIND_" else bare
    return word

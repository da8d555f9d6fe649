"""Where a list goes on, as a text that nobody but the service can make: signed, not secret.

A token carries the key of the last row that was returned, which its holder has seen, and a digest
of the question. All replicas on one registry sign with one key, so any of them goes on with a
page of another's. A list goes on with what is older than that key, so whatever was written in
between shifts nothing.
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

from authz_service.pdp.errors import InvalidRequestError, Violation
from authz_service.pdp.model import Instant

KeyPart: TypeAlias = str | int
"""A part of the key that rows are ordered by."""

QuestionPart: TypeAlias = str | int | None
"""A part of a question."""

FIELD = "page_token"
"""The field that an error is about."""

_VERSION = b"\x01"
_LEAST_KEY_BYTES = 16
_DIGEST_BYTES = 16
_MAC_BYTES = 32
_MOST_CHARACTERS = 1024
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class PageTokens:
    """Makes the tokens of one kind of list, and reads them back."""

    def __init__(self, key: bytes, kind: str) -> None:
        """Sign with *key*, which is secret, for lists of *kind* alone.

        Raises:
            ValueError: The key is shorter than 16 bytes.
        """
        if len(key) < _LEAST_KEY_BYTES:
            raise ValueError(f"a key needs {_LEAST_KEY_BYTES} bytes")
        self._key = hmac.digest(key, kind.encode(), "sha256")

    def issue(self, question: Sequence[QuestionPart], last: Sequence[KeyPart]) -> str:
        """Return the token of the page after the row of key *last*, of the list of *question*."""
        signed = _VERSION + _digest_of(question) + _packed(last)
        return urlsafe_b64encode(signed + self._mac(signed)).rstrip(b"=").decode()

    def read(self, token: str, question: Sequence[QuestionPart]) -> tuple[KeyPart, ...]:
        """Return the key of the last row returned, out of a *token* issued for *question*.

        Raises:
            InvalidRequestError: The token was not issued here, was altered, or belongs to another
                question.
        """
        content = _bytes_of(token)
        signed, mac = content[:-_MAC_BYTES], content[-_MAC_BYTES:]
        if not hmac.compare_digest(self._mac(signed), mac):
            raise _refused("is no token of this service; begin again without one")
        start = len(_VERSION)
        end = start + _DIGEST_BYTES
        if not signed.startswith(_VERSION):
            raise _refused("is of another version of this service; begin again without one")
        if signed[start:end] != _digest_of(question):
            raise _refused("belongs to another question; repeat that one, or begin without a token")
        return tuple(json.loads(signed[end:]))

    def _mac(self, signed: bytes) -> bytes:
        """Return HMAC-SHA256 (RFC 2104) of *signed*."""
        return hmac.digest(self._key, signed, "sha256")


def microseconds_of(instant: Instant) -> int:
    """Return *instant* as a key part: microseconds since 1970, exactly."""
    return (instant - _EPOCH) // _MICROSECOND


def instant_at(microseconds: KeyPart) -> Instant:
    """Return the instant that `microseconds_of` was given."""
    return _EPOCH + int(microseconds) * _MICROSECOND


def _packed(parts: Sequence[QuestionPart]) -> bytes:
    """Return *parts* as bytes that no other parts have."""
    return json.dumps(list(parts), separators=(",", ":")).encode()


def _digest_of(question: Sequence[QuestionPart]) -> bytes:
    """Return what tells *question* from every other."""
    return hashlib.sha256(_packed(question)).digest()[:_DIGEST_BYTES]


def _bytes_of(token: str) -> bytes:
    """Return what *token* encodes; a text that encodes it in another way is not the token.

    Raises:
        InvalidRequestError: It encodes nothing.
    """
    if not token.isascii() or len(token) > _MOST_CHARACTERS:
        raise _refused("is no token of this service; begin again without one")
    try:
        content = urlsafe_b64decode(token + "=" * (-len(token) % 4))
    except binascii.Error:
        content = b""
    if urlsafe_b64encode(content).rstrip(b"=").decode() != token:
        raise _refused("is no token of this service; begin again without one")
    return content


def _refused(why: str) -> InvalidRequestError:
    """Return the refusal of a token."""
    return InvalidRequestError(Violation(FIELD, why))

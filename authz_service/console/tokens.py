"""Bearer tokens out of a file, and whether a request shows one of them (RFC 6750).

A token is kept as its digest and is never part of an error: an error names the file and the line.
"""

from __future__ import annotations

import hmac
import re
import stat
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from authz_service.tables.reading import read_with_mode

LEAST_CHARACTERS = 32
"""Shortest token: 32 characters out of 64 are 192 bits."""
MOST_CHARACTERS = 512
MOST_TOKENS = 16
ADVICE = "python3 -c 'import secrets; print(secrets.token_urlsafe(32))' makes one"

_SETTING = "AUTHZ_HTTP_TOKEN_FILE"
_TOKEN = re.compile(rb"[\x21-\x7e]+")
_CREDENTIALS = re.compile(rb"[Bb][Ee][Aa][Rr][Ee][Rr] ([\x21-\x7e]+)")


class TokenFileError(Exception):
    """The file cannot be used; the message names it, the line, and what to do."""


class Tokens:
    """The tokens that are valid: one, or several while they are being rotated."""

    __slots__ = ("_digests",)

    def __init__(self, tokens: Sequence[bytes]) -> None:
        """Keep the digests of *tokens*."""
        self._digests = tuple(sha256(token).digest() for token in tokens)

    def accept(self, authorization: Sequence[bytes]) -> bool:
        """Whether *authorization*, every such header of a request, shows a valid token.

        It takes as long for a token that is nearly right as for one that is not.
        """
        if len(authorization) != 1:
            return False
        credentials = _CREDENTIALS.fullmatch(authorization[0])
        if credentials is None:
            return False
        shown = sha256(credentials[1]).digest()
        equal = [hmac.compare_digest(shown, known) for known in self._digests]
        return any(equal)


def read_tokens(path: Path) -> list[bytes]:
    """Return the tokens in the file *path*, one a line.

    Raises:
        TokenFileError: It cannot be read, others can read it, or a line is no token.
    """
    try:
        content, mode = read_with_mode(path)
    except OSError as error:
        why = (error.strerror or type(error).__name__).lower()
        raise TokenFileError(f"{_SETTING}={path}: {why}") from None
    if mode & (stat.S_IROTH | stat.S_IWOTH):
        raise TokenFileError(
            f"{_SETTING}={path}: everybody on this machine can read or write it: chmod o= {path} "
            f"(in Kubernetes: defaultMode: 0440 and securityContext.fsGroup)"
        )
    return tokens_in(content, path)


def tokens_in(content: bytes, path: Path) -> list[bytes]:
    """Return the tokens in *content*, which was read from *path*.

    Raises:
        TokenFileError: There is none, or a line is no token.
    """
    lines = content.removesuffix(b"\n").split(b"\n")
    if lines == [b""]:
        raise TokenFileError(f"{_SETTING}={path}: is empty; it holds one token a line: {ADVICE}")
    if len(lines) > MOST_TOKENS:
        raise TokenFileError(f"{_SETTING}={path}: has more than {MOST_TOKENS} lines")
    for number, line in enumerate(lines, 1):
        wrong = _wrong_with(line)
        if wrong:
            raise TokenFileError(f"{_SETTING}={path}: line {number} {wrong}")
    return lines


def _wrong_with(line: bytes) -> str:
    """Return why *line* is no token, without any of it; an empty text where it is one."""
    if not line:
        return "is empty; it holds one token a line"
    if _TOKEN.fullmatch(line) is None:
        return "has a blank or a character that is not printable ASCII"
    if len(line) < LEAST_CHARACTERS:
        return f"is shorter than {LEAST_CHARACTERS} characters: {ADVICE}"
    if len(line) > MOST_CHARACTERS:
        return f"is longer than {MOST_CHARACTERS} characters"
    return ""

"""What protects the HTTP address: nothing on loopback, elsewhere TLS and a bearer token."""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import NamedTuple

import structlog

from authz_service.console.certificate import server_context
from authz_service.console.tokens import TokenFileError, Tokens, read_tokens
from authz_service.file_watch import Contents, FileWatch
from authz_service.identity.tls_files import TlsFilesError
from authz_service.tables.reading import read_regular_file

log = structlog.get_logger(__name__)

_now = partial(datetime.now, UTC)
"""Certificates end by the real time, whatever the service's is."""


class GuardError(Exception):
    """The HTTP address cannot be protected; the message says what to set."""


class GuardFiles(NamedTuple):
    """Where its files are.

    Attributes:
        token: Bearer tokens, one a line.
        certificate: The service's own certificate and what it was signed with.
        key: The key of it.
    """

    token: Path | None = None
    certificate: Path | None = None
    key: Path | None = None


class Guard:
    """Tokens and a certificate, each as its file said last. For one event loop.

    Attributes:
        tokens: What a request has to show one of; None where nobody is asked.
        tls: The context of new connections; None for plaintext.
    """

    def __init__(self, address: str, files: GuardFiles) -> None:
        """Read what protects *address*, an IP address and a port.

        Raises:
            GuardError: Others can reach the address and something is missing, or a file is wrong.
        """
        require_files(address, files)
        self._files = files if not is_loopback(address) else GuardFiles(token=files.token)
        self.tokens: Tokens | None = None
        self.tls: ssl.SSLContext | None = None
        self._parts = {
            "token": _Part("token file", _present(self._files.token), self._take_tokens),
            "certificate": _Part("certificate", _present(*self._files[1:]), self._take_certificate),
        }
        try:
            self._take_tokens()
            self._take_certificate()
        except (TokenFileError, TlsFilesError) as wrong:
            raise GuardError(str(wrong)) from None

    def start(self) -> None:
        """Read the files again from now on whenever they change."""
        for part in self._parts.values():
            part.start()

    def look_soon(self) -> None:
        """Look at the files at once, as SIGHUP asks."""
        for part in self._parts.values():
            part.look_soon()

    async def close(self) -> None:
        """Watch no more."""
        for part in self._parts.values():
            await part.close()

    def refused(self) -> dict[str, str]:
        """Return why what lies there now does not count, by file; an empty text where it does."""
        return {file: part.refused for file, part in self._parts.items()}

    def _take_tokens(self) -> None:
        """Read the token file."""
        if self._files.token is not None:
            self.tokens = Tokens(read_tokens(self._files.token))

    def _take_certificate(self) -> None:
        """Read certificate and key into a new context: the live one would mix old and new."""
        _, certificate, key = self._files
        if certificate is not None and key is not None:
            self.tls = server_context(certificate, key, _now())


class _Part:
    """One of the things that protect: files that are watched, and what takes them."""

    def __init__(self, what: str, paths: Sequence[Path], take: Callable[[], None]) -> None:
        """Have *take* read *paths*, called *what*, whenever they change."""
        self._what = what
        self._take = take
        self._known = _held(paths)
        self._wrong = ""
        self._watch = FileWatch(paths, self._changed) if paths else None

    @property
    def refused(self) -> str:
        """Why the files as they are now do not count; an empty text where they do."""
        unreadable = self._watch.unreadable if self._watch else {}
        return "; ".join(f"{path}: {why}" for path, why in unreadable.items()) or self._wrong

    def start(self) -> None:
        """Watch from now on."""
        if self._watch is not None:
            self._watch.start(self._known)

    def look_soon(self) -> None:
        """Look at once."""
        if self._watch is not None:
            self._watch.look_soon()

    async def close(self) -> None:
        """Watch no more."""
        if self._watch is not None:
            await self._watch.close()

    async def _changed(self, _contents: Contents) -> None:
        """Read the files again; where they cannot be used, what was read before counts.

        They are tried again at each look: what is wrong may be their mode, or the time.
        """
        before, self._wrong = self._wrong, _wrong_with(self._take)
        if self._wrong and self._watch is not None:
            self._watch.tell_again()
        if not self._wrong:
            log.info("http_guard_changed", what=self._what)
        elif self._wrong != before:
            log.error("http_guard_refused", what=self._what, why=self._wrong)


def _present(*paths: Path | None) -> list[Path]:
    """Return the *paths* that there are."""
    return [path for path in paths if path is not None]


def _held(paths: Sequence[Path]) -> Contents | None:
    """Return what *paths* hold; None where that cannot be read."""
    try:
        return {path: read_regular_file(path) for path in paths}
    except OSError:
        return None


def _wrong_with(take: Callable[[], None]) -> str:
    """Return why *take* takes nothing; an empty text where it did."""
    try:
        take()
    except (TokenFileError, TlsFilesError) as wrong:
        return str(wrong)
    return ""


def is_loopback(address: str) -> bool:
    """Whether *address*, an IP address and a port, can be reached from this machine alone."""
    return ipaddress.ip_address(address.rpartition(":")[0].strip("[]")).is_loopback


def require_files(address: str, files: GuardFiles) -> None:
    """Refuse an *address* that others can reach and that nothing protects.

    Raises:
        GuardError: Names the settings that are missing.
    """
    if is_loopback(address):
        return
    named = {
        "AUTHZ_TLS_CERT": files.certificate,
        "AUTHZ_TLS_KEY": files.key,
        "AUTHZ_HTTP_TOKEN_FILE": files.token,
    }
    missing = [setting for setting, path in named.items() if path is None]
    if missing:
        raise GuardError(
            f"AUTHZ_HTTP_LISTEN={address} is not a loopback address; there it is served with TLS "
            f"and a bearer token only: set {', '.join(missing)} as well, or a loopback address"
        )

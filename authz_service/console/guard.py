"""What protects the HTTP address: nothing on loopback, elsewhere TLS and a bearer token."""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import NamedTuple

import structlog

from authz_service.console.certificate import server_context
from authz_service.console.tokens import TokenFileError, Tokens, read_tokens
from authz_service.file_watch import Contents, FileWatch
from authz_service.identity.tls_files import TlsFilesError

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
        self._watches = [
            (FileWatch(paths, self._again(what, take)), _held(paths))
            for what, take, paths in (
                ("token file", self._take_tokens, _present(self._files.token)),
                ("certificate", self._take_certificate, _present(*self._files[1:])),
            )
            if paths
        ]
        try:
            self._take_tokens()
            self._take_certificate()
        except (TokenFileError, TlsFilesError) as wrong:
            raise GuardError(str(wrong)) from None

    def start(self) -> None:
        """Read the files again from now on whenever they change."""
        for watch, known in self._watches:
            watch.start(known)

    async def close(self) -> None:
        """Watch no more."""
        for watch, _ in self._watches:
            await watch.close()

    def _again(self, what: str, take: Callable[[], None]) -> Callable[[Contents], Awaitable[None]]:
        """Return what reads *what* again; where it cannot be used, what was read before counts."""

        async def changed(_contents: Contents) -> None:
            wrong = _wrong_with(take)
            if wrong:
                log.error("http_guard_refused", what=what, why=wrong)
            else:
                log.info("http_guard_changed", what=what)

        return changed

    def _take_tokens(self) -> None:
        """Read the token file."""
        if self._files.token is not None:
            self.tokens = Tokens(read_tokens(self._files.token))

    def _take_certificate(self) -> None:
        """Read certificate and key into a new context: the live one would mix old and new."""
        _, certificate, key = self._files
        if certificate is not None and key is not None:
            self.tls = server_context(certificate, key, _now())


def _present(*paths: Path | None) -> list[Path]:
    """Return the *paths* that there are."""
    return [path for path in paths if path is not None]


def _held(paths: Sequence[Path]) -> Contents | None:
    """Return what *paths* hold; None where that cannot be read."""
    try:
        return {path: path.read_bytes() for path in paths}
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

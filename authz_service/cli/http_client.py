"""The way to the HTTP address of a running service: plaintext on loopback, elsewhere TLS.

A token is read from the file that the service reads, too: its first line is what is shown.
"""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import ssl
from pathlib import Path
from typing import NamedTuple, Protocol
from urllib.parse import urlsplit

from authz_service.cli.addresses import reachable
from authz_service.console.tokens import TokenFileError, read_tokens

_SCHEMES = ("http", "https")
_LOCAL_NAME = "localhost"


class Credentials(NamedTuple):
    """What is shown to a service, and how the service is known.

    Attributes:
        token_file: Bearer tokens; the first is shown. None for none.
        ca: Who signed the service's certificate; None for those whom the machine trusts.
        name: For whom that certificate is; empty where that is the address's host.
        pinned: The service's own certificate, where that alone is trusted, whatever its names.
    """

    token_file: Path | None = None
    ca: Path | None = None
    name: str = ""
    pinned: Path | None = None


NOTHING = Credentials()


class OwnFiles(Protocol):
    """Settings of a service on this machine."""

    @property
    def http_token_file(self) -> Path | None:
        """Its token file."""
        ...

    @property
    def tls_cert(self) -> Path | None:
        """Its certificate."""
        ...


def shown_by(settings: OwnFiles) -> Credentials:
    """Return what a service of *settings* on this machine is asked with: its own files."""
    return Credentials(settings.http_token_file, pinned=settings.tls_cert)


class Target(NamedTuple):
    """Where HTTP is spoken, and how.

    Attributes:
        scheme: ``http`` or ``https``.
        host: A name, or an IP address without brackets.
        port: The port.
    """

    scheme: str
    host: str
    port: int

    @property
    def url(self) -> str:
        """The target as it is written."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether it is on this machine, by its address."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == _LOCAL_NAME


class SilenceError(Exception):
    """The service says nothing; the message says why, and what to set."""


def target_of(address: str) -> Target:
    """Return what *address* means: ``host:port``, or with ``http://`` or ``https://`` before it.

    Without a scheme it is what the service does there: plaintext on loopback, elsewhere TLS. The
    address of all interfaces is reached over loopback.

    Raises:
        ValueError: It has no host or no port, or more than these.
    """
    scheme, stated, place = address.rpartition("://")
    parts = urlsplit(f"//{reachable(place.removesuffix('/'))}")
    if not parts.hostname or parts.port is None or parts.netloc != parts.geturl()[2:]:
        raise ValueError(address)
    if parts.username is not None or (stated and scheme not in _SCHEMES):
        raise ValueError(address)
    target = Target(scheme or "https", parts.hostname, parts.port)
    if not stated and target.is_loopback and place == reachable(place):
        return target._replace(scheme="http")
    return target


def fetch(address: str, path: str, timeout_seconds: float, shown: Credentials = NOTHING) -> bytes:
    """Return what stands at *path*, whatever the status says but that the token is not right.

    Raises:
        SilenceError: Nothing answers, or it cannot be trusted, or does not trust us.
    """
    try:
        target = target_of(address)
    except ValueError:
        raise SilenceError(f"{address} is not an address and a port") from None
    headers = _headers(target, shown)
    try:
        with contextlib.closing(_connection(target, timeout_seconds, shown)) as connection:
            connection.request("GET", path, headers=headers)
            response = connection.getresponse()
            content = response.read()
    except ssl.SSLCertVerificationError as error:
        raise SilenceError(_distrust(target, error)) from None
    except (OSError, http.client.HTTPException):
        raise SilenceError(f"nothing answers at {target.url}") from None
    if response.status == http.HTTPStatus.UNAUTHORIZED:
        raise SilenceError(_refusal(target, shown))
    return content


def _headers(target: Target, shown: Credentials) -> dict[str, str]:
    """Return the headers that show the token.

    Raises:
        SilenceError: There is no token to show, or others could read it on its way.
    """
    if shown.token_file is None:
        return {}
    if target.scheme == "http" and not target.is_loopback:
        raise SilenceError(
            f"{target.url} is plaintext, and others can read it: no token is sent there; "
            "use https:// or a loopback address"
        )
    try:
        token = read_tokens(shown.token_file)[0]
    except TokenFileError as wrong:
        raise SilenceError(str(wrong)) from None
    return {"Authorization": f"Bearer {token.decode('ascii')}"}


def _connection(
    target: Target, timeout_seconds: float, shown: Credentials
) -> http.client.HTTPConnection:
    """Return a connection that was made, or is about to be.

    Raises:
        OSError: Nobody accepts it, or the service is not trusted.
        SilenceError: A CA file cannot be used.
    """
    connection = http.client.HTTPConnection(target.host, target.port, timeout=timeout_seconds)
    if target.scheme == "https":
        context = _context(shown)
        connection.connect()
        connection.sock = context.wrap_socket(
            connection.sock, server_hostname=shown.name or target.host
        )
        if shown.pinned:
            _require_pinned(connection, target, shown.pinned)
    return connection


def _require_pinned(connection: http.client.HTTPConnection, target: Target, pinned: Path) -> None:
    """Refuse a peer that shows another certificate than the first of *pinned*.

    Those behind it in the file are trusted too, as far as OpenSSL is concerned, and with them
    whatever they have signed.

    Raises:
        SilenceError: It does; nothing has been sent to it.
    """
    spoken = connection.sock
    peer = spoken.getpeercert(binary_form=True) if isinstance(spoken, ssl.SSLSocket) else b""
    try:
        _, begin, rest = pinned.read_text(encoding="ascii").partition(ssl.PEM_HEADER)
        first, end, _ = rest.partition(ssl.PEM_FOOTER)
        own = ssl.PEM_cert_to_DER_cert(f"{begin}{first}{end}")
    except (OSError, ValueError):
        own = b""
    if not own or peer != own:
        connection.close()
        raise SilenceError(
            f"{target.url} shows another certificate than {pinned}: another program, or the file "
            "was replaced just now; nothing was sent"
        )


def _context(shown: Credentials) -> ssl.SSLContext:
    """Return how the service is known.

    Raises:
        SilenceError: A CA file cannot be used.
    """
    try:
        context = ssl.create_default_context(cafile=shown.pinned or shown.ca)
    except OSError as error:
        why = getattr(error, "strerror", "") or "is no certificate in PEM"
        raise SilenceError(f"{shown.pinned or shown.ca}: {why.lower()}") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if shown.pinned:
        context.check_hostname = False
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


def _distrust(target: Target, error: ssl.SSLCertVerificationError) -> str:
    """Return why the service's certificate is not trusted, and what to set."""
    return (
        f"the certificate of {target.url} is not trusted ({error.verify_message}); name who signed "
        "it: --tls-ca or AUTHZ_SERVER_CA, and a host that the certificate names"
    )


def _refusal(target: Target, shown: Credentials) -> str:
    """Return why the service answers nothing, and what to set."""
    if shown.token_file is None:
        return f"{target.url} asks for a token: --http-token-file or AUTHZ_HTTP_TOKEN_FILE"
    return (
        f"{target.url} does not accept the token of {shown.token_file}, its first line; "
        "name another file: --http-token-file or AUTHZ_HTTP_TOKEN_FILE"
    )

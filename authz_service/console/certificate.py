"""The TLS context of the HTTP address, out of the service's own certificate and key."""

from __future__ import annotations

import ssl
from pathlib import Path


class CertificateError(Exception):
    """Certificate and key cannot be used; the message names the files."""


def server_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """Return a new context: TLS 1.2 or newer, no client certificate asked for.

    Raises:
        CertificateError: A file is missing, is no PEM, or is not the other's.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(certificate, key, password=_no_password)
    except (OSError, ValueError) as error:
        why = _why(error)
        raise CertificateError(
            f"AUTHZ_TLS_CERT={certificate}, AUTHZ_TLS_KEY={key}: cannot be used: {why}"
        ) from None
    return context


def _no_password() -> str:
    """Give no password: a service has nobody to ask.

    Raises:
        ValueError: Always.
    """
    message = "the key has a password; store it without one, readable by the service alone"
    raise ValueError(message)


def _why(error: OSError | ValueError) -> str:
    """Return what is wrong, in OpenSSL's words or the system's."""
    if isinstance(error, ssl.SSLError):
        return (error.reason or "it is no PEM").replace("_", " ").lower()
    if isinstance(error, OSError):
        return (error.strerror or type(error).__name__).lower()
    return str(error)

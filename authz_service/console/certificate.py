"""The TLS context of the HTTP address, out of the service's own certificate and key."""

from __future__ import annotations

import ssl
from datetime import datetime
from pathlib import Path

from authz_service.identity.tls_files import TlsFilesError, read_own


def server_context(certificate: Path, key: Path, now: datetime) -> ssl.SSLContext:
    """Return a new context: TLS 1.2 or newer, no client certificate asked for.

    Raises:
        TlsFilesError: What the port of callers would refuse at *now*, or what OpenSSL does.
    """
    judged = read_own(certificate, key, now)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    place = f"AUTHZ_TLS_CERT={certificate}, AUTHZ_TLS_KEY={key}"
    try:
        context.load_cert_chain(certificate, key, password=_no_password)
    except (OSError, ValueError) as error:
        raise TlsFilesError(f"{place}: cannot be used: {_why(error)}") from None
    if read_own(certificate, key, now) != judged:  # OpenSSL reads paths, not what was judged
        raise TlsFilesError(f"{place}: were replaced while they were read; try again")
    return context


def _no_password() -> str:
    """Give no password, where a key that has one came meanwhile: a service has nobody to ask."""
    return ""


def _why(error: OSError | ValueError) -> str:
    """Return what is wrong, in OpenSSL's words or the system's."""
    if isinstance(error, ssl.SSLError):
        return (error.reason or "it is no PEM").replace("_", " ").lower()
    if isinstance(error, OSError):
        return (error.strerror or type(error).__name__).lower()
    return str(error)

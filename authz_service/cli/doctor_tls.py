"""The doctor's look at the files for TLS."""

from __future__ import annotations

from authz_service.cli.doctor_finding import Finding, bad, fine, odd
from authz_service.clocks import SystemClock
from authz_service.identity.tls_files import TlsFilesError, tls_files_of, tls_identity_of
from authz_service.settings import Settings

_NAME = "certificates"
_FILES = {"server": "AUTHZ_TLS_CERT", "client_ca": "AUTHZ_CLIENT_CA"}


def certificates(settings: Settings) -> Finding:
    """Look whether the service's certificate, its key and the CA of callers can be served with."""
    now = SystemClock().now()
    try:
        files = tls_files_of(settings.tls_cert, settings.tls_key, settings.client_ca)
        if files is None:
            return _without(settings)
        identity = tls_identity_of(files, files.read(), now)
    except TlsFilesError as wrong:
        return bad(_NAME, str(wrong), "the service does not start with these files")
    if settings.insecure_loopback:
        what = "AUTHZ_INSECURE_LOOPBACK and AUTHZ_TLS_CERT are both set"
        return bad(_NAME, what, "unset one of them")
    ending = identity.ending(now)
    if ending:
        what = ", ".join(f"{_FILES[file]} ends at {end:%FT%TZ}" for file, end in ending.items())
        return odd(_NAME, what, "replace the file; a running service takes it up by itself")
    if files.key_is_open():
        what = f"others on this machine can read or replace {files.key}"
        return odd(_NAME, what, f"chmod o= {files.key}, and no writing for its group")
    first = min(identity.ends().values())
    return fine(_NAME, f"fit together, the first ends at {first:%FT%TZ}")


def _without(settings: Settings) -> Finding:
    """Return that callers are not asked for certificates."""
    if settings.insecure_loopback:
        return fine(_NAME, "none: plaintext on loopback")
    return odd(
        _NAME,
        "none, and the service would not start: it could identify no caller",
        "set AUTHZ_TLS_CERT, AUTHZ_TLS_KEY and AUTHZ_CLIENT_CA (see: authz dev-certs), or "
        "AUTHZ_INSECURE_LOOPBACK=1 for a trial on this machine",
    )

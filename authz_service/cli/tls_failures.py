"""Why no connection with certificates came to be, in words; looked into once it has failed."""

from __future__ import annotations

from datetime import UTC, datetime

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization

from authz_service.cli.client_tls import ClientTls, contents_of
from authz_service.cli.codes import ExitCode
from authz_service.cli.failures import CommandError

_PUBLIC = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


_UNTRUSTED = "CERTIFICATE_VERIFY_FAILED: "
_REFUSALS: tuple[tuple[tuple[str, ...], str, str], ...] = (
    (
        ("peer certificate", "Hostname Verification"),
        "the certificate of the service at {address} is for another name",
        "ask it by a name that is in its certificate, or say which one with --tls-name",
    ),
    (
        ("WRONG_VERSION_NUMBER",),
        "the service at {address} speaks no TLS",
        "ask it without --tls-ca, --tls-cert and --tls-key, and without AUTHZ_SERVER_CA",
    ),
    (
        ("closed", "reset"),
        "the service at {address} does not accept the client certificate {cert}",
        "have it signed by a CA of the service's AUTHZ_CLIENT_CA; and is it valid already?",
    ),
)
"""By what gRPC says: what is wrong, and what to do."""


def failed_handshake(said: str, address: str, tls: ClientTls) -> CommandError | None:
    """Return why there was no connection to *address*; None where it is not for certificates.

    Args:
        said: What gRPC says of it.
        address: Where to.
        tls: What was shown.
    """
    own = _fault_of_own(tls)
    if own:
        return _failure(own, "name a certificate and key that fit, with --tls-cert and --tls-key")
    if _UNTRUSTED in said:
        why = said.partition(_UNTRUSTED)[2].partition(":")[0].strip()
        return _failure(
            f"the service at {address} is not trusted: {why}",
            f"name who signed its certificate with --tls-ca (AUTHZ_SERVER_CA); it is {tls.ca} now",
        )
    for words, message, hint in _REFUSALS:
        if any(word in said for word in words):
            return _failure(message.format(address=address, cert=tls.cert), hint)
    return None


def _fault_of_own(tls: ClientTls) -> str:
    """Return what is wrong with the files themselves; empty where nothing is."""
    ca, cert, key = contents_of(tls)
    return _fault_of_authorities(ca, tls.ca) or _fault_of_certificate(cert, key, tls)


def _fault_of_authorities(pem: bytes, path: str) -> str:
    """Return what is wrong with the file of who signs."""
    try:
        x509.load_pem_x509_certificates(pem)
    except ValueError:
        return f"{path} holds no certificate in PEM"
    return ""


def _fault_of_certificate(cert: bytes, key: bytes, tls: ClientTls) -> str:
    """Return what is wrong with the verb's own certificate and key."""
    try:
        certificate = x509.load_pem_x509_certificate(cert)
    except ValueError:
        return f"{tls.cert} holds no certificate in PEM"
    try:
        public = serialization.load_pem_private_key(key, password=None).public_key()
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return f"{tls.key} holds no private key in PEM, or one with a passphrase"
    if public.public_bytes(*_PUBLIC) != certificate.public_key().public_bytes(*_PUBLIC):
        return f"the key {tls.key} does not fit the certificate {tls.cert}"
    if certificate.not_valid_after_utc < datetime.now(UTC):
        return f"the certificate {tls.cert} expired at {certificate.not_valid_after_utc:%FT%TZ}"
    return ""


def _failure(message: str, hint: str) -> CommandError:
    """Return a failure of a connection."""
    return CommandError(message, code=ExitCode.UNAVAILABLE, reason="TLS", hint=hint)

"""Who a caller's certificate says it is: its one SPIFFE ID, by the rules for X509-SVIDs.

The chain was verified when the connection was made. What is asked here is what such a verification
leaves open: whether the certificate is a workload's, and which. Its subject's name never counts.
"""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from authz_service.identity.authorities import CertificateError, parsed
from authz_service.identity.spiffe import fault_of

_MOST_PEM_BYTES = 64 << 10


class CertificateFaultError(Exception):
    """A certificate is not a workload's; the message goes on from "the client certificate"."""


class Leaf(NamedTuple):
    """What a workload's certificate says.

    Attributes:
        spiffe_id: Who it is.
        certificate: The certificate.
    """

    spiffe_id: str
    certificate: x509.Certificate

    @property
    def ends_at(self) -> datetime:
        """The last instant at which it is valid (RFC 5280, section 4.1.2.5)."""
        return self.certificate.not_valid_after_utc


def leaf_of(pem: bytes) -> Leaf:
    """Return who the certificate *pem* is of.

    Raises:
        CertificateFaultError: It is no X509-SVID of a workload; says which rule it breaks.
    """
    if len(pem) > _MOST_PEM_BYTES:
        raise CertificateFaultError(f"has more than {_MOST_PEM_BYTES} bytes")
    try:
        certificate = parsed(pem)
    except CertificateError:
        raise CertificateFaultError("cannot be read") from None
    extensions = certificate.extensions
    spiffe_id = _spiffe_id(extensions)
    _require_leaf(extensions)
    _require_signing(extensions)
    _require_client(extensions)
    return Leaf(spiffe_id, certificate)


def _spiffe_id(extensions: x509.Extensions) -> str:
    """Return the one SPIFFE ID (X509-SVID, section 2).

    Raises:
        CertificateFaultError: There is none, more than one, or one that is none of a workload.
    """
    try:
        names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        raise CertificateFaultError(
            "has no subjectAltName, and so no SPIFFE ID; its subject's name does not count"
        ) from None
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    if not uris:
        raise CertificateFaultError("has no URI in its subjectAltName, and so no SPIFFE ID")
    if len(uris) > 1:
        raise CertificateFaultError(
            f"has {len(uris)} URIs in its subjectAltName; there must be one, the SPIFFE ID"
        )
    fault = fault_of(uris[0])
    if fault:
        raise CertificateFaultError(f"has a URI that is no workload's: the SPIFFE ID {fault}")
    return uris[0]


def _require_leaf(extensions: x509.Extensions) -> None:
    """Refuse a certificate that may sign others (X509-SVID, section 4.1).

    Raises:
        CertificateFaultError: It may.
    """
    try:
        constraints = extensions.get_extension_for_class(x509.BasicConstraints).value
    except x509.ExtensionNotFound:
        return
    if constraints.ca:
        raise CertificateFaultError(
            "is one of a CA (basicConstraints has cA); a CA's never says who calls"
        )


def _require_signing(extensions: x509.Extensions) -> None:
    """Ask for a key that signs, and signs no certificates (X509-SVID, section 4.3).

    Raises:
        CertificateFaultError: It may not, or more.
    """
    try:
        found = extensions.get_extension_for_class(x509.KeyUsage)
    except x509.ExtensionNotFound:
        raise CertificateFaultError(
            "has no keyUsage; it must be there, critical, with digitalSignature"
        ) from None
    usage = found.value
    if not found.critical:
        raise CertificateFaultError("has a keyUsage that is not critical")
    if usage.key_cert_sign:
        raise CertificateFaultError("may sign certificates (keyUsage has keyCertSign)")
    if usage.crl_sign:
        raise CertificateFaultError("may sign revocation lists (keyUsage has cRLSign)")
    if not usage.digital_signature:
        raise CertificateFaultError("has a keyUsage without digitalSignature")


def _require_client(extensions: x509.Extensions) -> None:
    """Refuse a certificate that is not for clients, where it says what for (section 4.4).

    Raises:
        CertificateFaultError: It is not.
    """
    try:
        uses = extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return
    if ExtendedKeyUsageOID.CLIENT_AUTH not in uses:
        raise CertificateFaultError("is not for clients (extendedKeyUsage lacks clientAuth)")

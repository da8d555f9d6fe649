"""Who may sign callers' certificates, and whether one leads to any of them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

PARSE_ERRORS = (
    ValueError,
    TypeError,
    OverflowError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)
"""What may come of a certificate that is odd in any way; some are no `ValueError`."""

_BEGIN = b"-----BEGIN CERTIFICATE-----"
_MOST_ABOVE = 5
"""Most certificates between a caller's own and one of the authorities."""


class CertificateError(Exception):
    """A certificate cannot be read."""


def parsed(pem: bytes) -> x509.Certificate:
    """Return the first certificate of *pem*, all of which that is ever asked for can be read.

    Raises:
        CertificateError: There is none, or it is odd.
    """
    try:
        certificate = x509.load_pem_x509_certificate(pem)
        certificate.public_key()
        _ = certificate.subject, certificate.issuer, certificate.not_valid_before_utc
        _ = list(certificate.extensions), certificate.not_valid_after_utc
    except PARSE_ERRORS:
        raise CertificateError from None
    return certificate


def parsed_chain(pem: bytes) -> tuple[x509.Certificate, ...]:
    """Return the certificates of *pem* that can be read; any other is passed over."""
    found = []
    for part in pem.split(_BEGIN)[1:]:
        with suppress(CertificateError):
            found.append(parsed(_BEGIN + part))
    return tuple(found)


def all_parsed(pem: bytes) -> tuple[x509.Certificate, ...]:
    """Return the certificates of *pem*; none where any of them cannot be read."""
    found = parsed_chain(pem)
    return found if len(found) == pem.count(_BEGIN) else ()


def trusted_until(
    certificate: x509.Certificate,
    above: Sequence[x509.Certificate],
    authorities: Sequence[x509.Certificate],
) -> datetime | None:
    """Return until when *certificate* leads to one of *authorities*; None where it does not.

    It does until the first of all certificates on the way ends; of several ways the longest
    counts. Only signatures, names and ends are looked at: that a way exists was verified in full
    when the connection was made, and what is asked is whether it still leads anywhere.

    Args:
        certificate: Whose way it is.
        above: What the peer has sent beside it.
        authorities: Where a way may end.
    """
    nodes = [certificate, *(each for each in above[:_MOST_ABOVE] if is_authority(each))]
    direct = [_ends(node, authorities) for node in nodes]
    signers = [
        [number for number, signer in enumerate(nodes) if number and _signed(node, signer)]
        for node in nodes
    ]
    until: list[datetime | None] = [None for _ in nodes]
    for _ in nodes:  # each time a way may be longer by one
        until = [
            _first_of(node, [*direct[number], *(until[above] for above in signers[number])])
            for number, node in enumerate(nodes)
        ]
    return until[0]


def _ends(certificate: x509.Certificate, signers: Sequence[x509.Certificate]) -> list[datetime]:
    """Return when those of *signers* end that have signed *certificate*."""
    return [each.not_valid_after_utc for each in signers if _signed(certificate, each)]


def _first_of(certificate: x509.Certificate, ways: Sequence[datetime | None]) -> datetime | None:
    """Return until when *certificate* is good by the best of *ways*; None where there is none."""
    known = [way for way in ways if way is not None]
    return min(max(known), certificate.not_valid_after_utc) if known else None


def is_authority(certificate: x509.Certificate) -> bool:
    """Whether *certificate* may sign others (RFC 5280, section 4.2.1.9)."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    except (x509.ExtensionNotFound, *PARSE_ERRORS):
        return False
    return found.value.ca


def _signed(certificate: x509.Certificate, signer: x509.Certificate) -> bool:
    """Whether *signer* has signed *certificate*."""
    try:
        certificate.verify_directly_issued_by(signer)
    except (InvalidSignature, *PARSE_ERRORS):
        return False
    return True

"""Certificates that no CA makes: each is refused or passed over, and nothing else comes of it."""

from __future__ import annotations

import ssl
from contextlib import suppress
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import example, given, settings
from hypothesis import strategies as st

from authz_service.identity.authorities import all_parsed, parsed_chain, trusted_until
from authz_service.identity.callers import ActiveCallers, Callers
from authz_service.identity.certificates import CertificateFaultError, leaf_of
from authz_service.pdp.errors import CallerRefusal, CallerUnauthenticatedError
from authz_service.server.certificate_admission import CertificateAdmission
from tests.certificates import CALLER, authority

CA = authority()
LEAF = CA.client()
DER = LEAF.certificate.public_bytes(Encoding.DER)
_V3, _V2 = b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x01"


class Clock:
    """The real time."""

    def now(self) -> datetime:
        return datetime.now(UTC)


class Context:
    """What gRPC says of a peer that shows *leaf*, then *above*."""

    def __init__(self, leaf: bytes, above: bytes) -> None:
        self._properties = {"x509_pem_cert": (leaf,), "x509_pem_cert_chain": (above,)}

    def auth_context(self) -> object:
        return self._properties


def pem_of(der: bytes) -> bytes:
    return ssl.DER_cert_to_PEM_cert(der).encode()


def of_version_2(der: bytes) -> bytes:
    assert der.count(_V3) == 1
    return pem_of(der.replace(_V3, _V2))


def admission() -> CertificateAdmission:
    return CertificateAdmission(ActiveCallers(Callers("one", {})), [CA.certificate], Clock())


def refusal_of(admission: CertificateAdmission, leaf: bytes, above: bytes = b"") -> CallerRefusal:
    with pytest.raises(CallerUnauthenticatedError) as refused:
        admission.admit(Context(leaf, above))
    return refused.value.refusal


def test_a_certificate_of_version_2_is_refused_and_remembered() -> None:
    """Its library raises an error of its own for it, which is no `ValueError`."""
    odd, gate = of_version_2(DER), admission()

    assert [refusal_of(gate, odd) for _ in range(3)] == [CallerRefusal.CERTIFICATE] * 3
    assert gate._known.cache_info().misses == 1


def test_one_in_the_chain_is_passed_over_and_the_way_is_found_by_the_others() -> None:
    between = CA.intermediate()
    leaf = between.client()
    above = of_version_2(DER) + between.pem + of_version_2(DER)

    assert parsed_chain(above) == (between.certificate,)
    assert all_parsed(above) == ()
    found = trusted_until(leaf.certificate, parsed_chain(above), [CA.certificate])
    assert found == min(each.certificate.not_valid_after_utc for each in (leaf, between, CA))


@st.composite
def spoilt(draw: st.DrawFn) -> bytes:
    """Return the bytes of a certificate, some of them changed."""
    der = bytearray(DER)
    for _ in range(draw(st.integers(1, 4))):
        der[draw(st.integers(0, len(der) - 1))] = draw(st.integers(0, 255))
    return bytes(der)


@settings(max_examples=600, deadline=None)
@given(st.one_of(st.binary(max_size=400), spoilt()))
@example(DER.replace(_V3, _V2))
def test_whatever_the_bytes_there_is_a_refusal_and_nothing_else(der: bytes) -> None:
    pem = pem_of(der)
    certificate: x509.Certificate | None = None
    with suppress(CertificateFaultError):
        certificate = leaf_of(pem).certificate

    if certificate is not None:
        trusted_until(certificate, parsed_chain(pem), [CA.certificate, *all_parsed(pem)])
    for odd in parsed_chain(pem):
        trusted_until(LEAF.certificate, [odd, *CA_ABOVE], [odd])
    assert refusal_of(admission(), pem, pem) in set(CallerRefusal)


CA_ABOVE = (CA.intermediate().certificate,)


def test_the_caller_that_is_spoilt_there_is_one_that_is_known() -> None:
    """So that what is refused above is refused for what was changed, or for its missing row."""
    assert leaf_of(pem_of(DER)).spiffe_id == CALLER

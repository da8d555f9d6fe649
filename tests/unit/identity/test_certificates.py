"""Who a certificate says it is: every rule for X509-SVIDs, broken one at a time."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID

from authz_service.identity.certificates import CertificateFaultError, leaf_of
from tests.certificates import CALLER, LEAF_USAGE, SERVER, Form, authority, key_usage

CA = authority()


def pem_of(**form: Any) -> bytes:
    """Return a caller's certificate of that form, signed."""
    return CA.issue(Form(**{"uris": [CALLER], **form})).pem


@pytest.mark.parametrize(
    "form",
    [
        pytest.param({}, id="as-the-standard-has-it"),
        pytest.param({"is_ca": None}, id="without-basic-constraints"),
        pytest.param({"extended": None}, id="without-extended-key-usage"),
        pytest.param({"extended": [ExtendedKeyUsageOID.CLIENT_AUTH]}, id="for-clients-only"),
        pytest.param({"names": ["gateway.internal", "10.0.0.1"]}, id="with-other-names-too"),
        pytest.param({"common_name": "spiffe://example.org/other"}, id="with-a-common-name"),
        pytest.param(
            {"usage": key_usage("digital_signature", "key_encipherment", "key_agreement")},
            id="whose-key-may-more",
        ),
    ],
)
def test_a_workloads_certificate_says_who_it_is(form: dict[str, Any]) -> None:
    assert leaf_of(pem_of(**form)).spiffe_id == CALLER


@pytest.mark.parametrize(
    ("form", "fault"),
    [
        pytest.param({"uris": [CALLER, SERVER]}, "has 2 URIs", id="two-uris"),
        pytest.param({"uris": [CALLER, CALLER]}, "has 2 URIs", id="the-same-uri-twice"),
        pytest.param(
            {"uris": [CALLER, "https://example.org/"]}, "has 2 URIs", id="a-uri-beside-it"
        ),
        pytest.param({"uris": [], "names": ["a.example.org"]}, "has no URI", id="no-uri"),
        pytest.param(
            {"uris": [], "common_name": CALLER}, "has no subjectAltName", id="common-name-only"
        ),
        pytest.param({"uris": ["https://example.org/a"]}, "does not begin with", id="https"),
        pytest.param({"uris": ["spiffe://Example.org/a"]}, "with capitals", id="capitals"),
        pytest.param({"uris": ["spiffe://example.org"]}, "has no path", id="no-path"),
        pytest.param({"uris": ["spiffe://example.org/"]}, "has no path", id="root-path"),
        pytest.param({"uris": ["spiffe://example.org/a/../b"]}, "segment '..'", id="dots"),
        pytest.param({"uris": ["spiffe://example.org/a%2eb"]}, "percent-encoded", id="percent"),
        pytest.param({"uris": ["spiffe://example.org/" + "a" * 2048]}, "more than", id="too-long"),
        pytest.param({"uris": ["spiffe://u@example.org/a"]}, "names a user", id="user"),
        pytest.param({"uris": ["spiffe://example.org:1/a"]}, "names a port", id="port"),
        pytest.param({"uris": ["spiffe://example.org/a?b"]}, "has a query", id="query"),
        pytest.param({"uris": ["spiffe://example.org/a#b"]}, "has a fragment", id="fragment"),
        pytest.param({"is_ca": True}, "is one of a CA", id="ca"),
        pytest.param({"usage": None}, "has no keyUsage", id="no-key-usage"),
        pytest.param({"usage_is_critical": False}, "not critical", id="key-usage-not-critical"),
        pytest.param(
            {"usage": key_usage("digital_signature", "key_cert_sign")},
            "keyCertSign",
            id="signs-certificates",
        ),
        pytest.param(
            {"usage": key_usage("digital_signature", "crl_sign")}, "cRLSign", id="signs-lists"
        ),
        pytest.param(
            {"usage": key_usage("key_encipherment")}, "without digitalSignature", id="no-signing"
        ),
        pytest.param(
            {"extended": [ExtendedKeyUsageOID.SERVER_AUTH]}, "lacks clientAuth", id="for-servers"
        ),
    ],
)
def test_a_certificate_that_breaks_a_rule_is_refused_and_the_rule_is_named(
    form: dict[str, Any], fault: str
) -> None:
    with pytest.raises(CertificateFaultError) as refused:
        leaf_of(pem_of(**form))

    assert fault in str(refused.value)


@pytest.mark.parametrize(
    "pem",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", id="junk"),
        pytest.param(CA.key_pem, id="a-key"),
        pytest.param(b"x" * 70_000, id="much"),
    ],
)
def test_what_is_no_certificate_is_refused(pem: bytes) -> None:
    with pytest.raises(CertificateFaultError, match=r"cannot be read|has more than"):
        leaf_of(pem)


def test_the_certificate_of_the_authority_itself_says_nothing() -> None:
    signer = authority(uris=[CALLER], usage=LEAF_USAGE)

    with pytest.raises(CertificateFaultError, match="is one of a CA"):
        leaf_of(signer.pem)

"""Whether a caller's certificate leads to an authority that is still in force, and until when."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from authz_service.identity.authorities import all_parsed, parsed_chain, trusted_until
from tests.certificates import CALLER, Credential, Form, authority


def until(leaf: Credential, above: Sequence[Credential], *authorities: Credential) -> object:
    return trusted_until(leaf.certificate, _all(above), _all(authorities))


def _all(credentials: Sequence[Credential]) -> tuple[x509.Certificate, ...]:
    return tuple(each.certificate for each in credentials)


def end_of(credential: Credential) -> object:
    return credential.certificate.not_valid_after_utc


def test_a_leaf_is_good_until_its_own_end_where_its_signer_lasts_longer() -> None:
    ca = authority(lasts=timedelta(hours=2))
    leaf = ca.client()

    assert until(leaf, [], authority("other"), ca) == end_of(leaf)


def test_a_leaf_is_good_until_its_signers_end_where_that_is_sooner() -> None:
    ca = authority(lasts=timedelta(minutes=5))

    assert until(ca.client(), [], ca) == end_of(ca)


def test_the_longest_of_several_ways_counts() -> None:
    """A CA whose certificate is renewed is in the file twice for a while."""
    old = authority(lasts=timedelta(minutes=5))
    renewed = _renewed(old, timedelta(minutes=30))
    leaf = old.client()

    assert until(leaf, [], old, renewed) == end_of(renewed)
    assert until(leaf, [], renewed) == end_of(renewed)


def _renewed(old: Credential, lasts: timedelta) -> Credential:
    """Return a certificate of the same name and key that ends later."""
    fresh = authority(lasts=lasts).certificate
    builder = x509.CertificateBuilder(
        issuer_name=old.certificate.subject,
        subject_name=old.certificate.subject,
        public_key=old.key.public_key(),
        serial_number=x509.random_serial_number(),
        not_valid_before=fresh.not_valid_before_utc,
        not_valid_after=fresh.not_valid_after_utc,
        extensions=list(old.certificate.extensions),
    )
    return Credential(builder.sign(old.key, hashes.SHA256()), old.key)


def test_a_leaf_of_an_authority_that_is_gone_leads_nowhere() -> None:
    gone = authority()

    assert until(gone.client(), [], authority()) is None
    assert until(gone.client(), [gone], authority()) is None


def test_a_leaf_behind_intermediates_leads_to_the_root() -> None:
    root = authority("root")
    first = root.intermediate("first")
    second = first.intermediate("second")
    leaf = second.client()

    assert until(leaf, [second, first], root) == end_of(leaf)
    assert until(leaf, [first, second], root) == end_of(leaf)
    assert until(leaf, [second], root) is None
    assert until(leaf, [first], root) is None
    assert until(leaf, [second, first], authority("root")) is None
    assert until(leaf, [second], first) == end_of(leaf)


def test_a_certificate_that_may_not_sign_is_no_way() -> None:
    root = authority()
    middle = root.issue(Form(uris=[CALLER], common_name="middle"))
    leaf = middle.client()

    assert until(leaf, [middle], root) is None


def test_many_certificates_that_sign_each_other_end_the_search() -> None:
    """All of them have one name and one key, so each has signed each."""
    old = authority()
    ring = [_renewed(old, timedelta(minutes=n)) for n in range(30)]

    assert until(old.client(), ring, authority()) is None


def test_of_a_chain_what_cannot_be_read_is_passed_over() -> None:
    root = authority()
    first = root.intermediate()

    assert parsed_chain(first.pem + root.pem) == (first.certificate, root.certificate)
    assert parsed_chain(b"") == ()
    spoilt = root.pem.replace(b"M", b"?")
    assert parsed_chain(spoilt + first.pem + spoilt + root.pem[:99]) == (first.certificate,)
    assert all_parsed(first.pem + root.pem) == (first.certificate, root.certificate)
    assert all_parsed(first.pem + spoilt) == ()
    assert all_parsed(first.pem + root.pem[:99]) == ()

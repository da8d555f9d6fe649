"""The files for TLS: served with as one set that fits, or not at all."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtendedKeyUsageOID

from authz_service.identity.tls_files import (
    TlsFiles,
    TlsFilesError,
    tls_files_of,
    tls_identity_of,
)
from tests.certificates import Credential, Estate, authority

Spoil = Callable[[Estate], None]


def files_of(estate: Estate) -> TlsFiles:
    settings = estate.settings
    return TlsFiles(settings["tls_cert"], settings["tls_key"], settings["client_ca"])


def encrypted(credential: Credential) -> bytes:
    return credential.key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret"),
    )


def test_what_fits_is_one_set(estate: Estate) -> None:
    files = files_of(estate)
    server = estate.ca.server(lasts=timedelta(days=3))
    estate.put_server(server)

    identity = tls_identity_of(files, files.read(), datetime.now(UTC))

    assert (identity.chain_pem, identity.key_pem) == (server.chain, server.key_pem)
    assert identity.authorities == (estate.ca.certificate,)
    assert identity.ends() == {
        "server": server.certificate.not_valid_after_utc,
        "client_ca": estate.ca.certificate.not_valid_after_utc,
    }
    assert b"PRIVATE" not in repr(identity).encode()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        pytest.param(
            lambda e: (e.folder / "server.key").unlink(),
            r"^AUTHZ_TLS_KEY=\S+server\.key: cannot be read \(no such file",
            id="no-key",
        ),
        pytest.param(
            lambda e: (e.folder / "clients-ca.crt").unlink(),
            r"^AUTHZ_CLIENT_CA=\S+clients-ca\.crt: cannot be read",
            id="no-ca",
        ),
        pytest.param(
            lambda e: (e.folder / "server.crt").write_bytes(b""),
            r"^AUTHZ_TLS_CERT=\S+server\.crt: is no certificate",
            id="empty-certificate",
        ),
        pytest.param(
            lambda e: (e.folder / "server.crt").write_bytes(e.ca.server().chain[:-90]),
            r"^AUTHZ_TLS_CERT=\S+server\.crt: is no certificate",
            id="half-a-certificate",
        ),
        pytest.param(
            lambda e: (e.folder / "clients-ca.crt").write_bytes(e.ca.pem + e.ca.pem[:-90]),
            r"^AUTHZ_CLIENT_CA=\S+clients-ca\.crt: is no certificate",
            id="half-a-ca-at-the-end",
        ),
        pytest.param(
            lambda e: (e.folder / "server.key").write_bytes(b"?"),
            r"^AUTHZ_TLS_KEY=\S+server\.key: is no private key",
            id="not-a-key",
        ),
        pytest.param(
            lambda e: (e.folder / "server.key").write_bytes(encrypted(e.ca)),
            r"^AUTHZ_TLS_KEY=\S+server\.key: the key is encrypted",
            id="encrypted-key",
        ),
        pytest.param(
            lambda e: (e.folder / "server.key").write_bytes(e.ca.key_pem),
            r"^AUTHZ_TLS_KEY=\S+: the key does not fit the certificate AUTHZ_TLS_CERT=\S+server",
            id="another-key",
        ),
        pytest.param(
            lambda e: e.put_server(e.ca.server(lasts=timedelta(minutes=-1))),
            r"^AUTHZ_TLS_CERT=\S+: the certificate expired at ",
            id="expired",
        ),
        pytest.param(
            lambda e: e.put_server(
                e.ca.server(begins=timedelta(minutes=30), lasts=timedelta(hours=2))
            ),
            r"^AUTHZ_TLS_CERT=\S+: the certificate is not valid before ",
            id="not-yet",
        ),
        pytest.param(
            lambda e: e.put_server(e.ca),
            r"^AUTHZ_TLS_CERT=\S+: the first certificate is one of a CA",
            id="ca-first",
        ),
        pytest.param(
            lambda e: e.put_server(e.ca.server(extended=[ExtendedKeyUsageOID.CLIENT_AUTH])),
            r"^AUTHZ_TLS_CERT=\S+: the certificate is not for servers",
            id="for-clients",
        ),
        pytest.param(
            lambda e: e.put_client_ca(e.ca, e.ca.client()),
            r"^AUTHZ_CLIENT_CA=\S+: certificate 2 is not one of a CA",
            id="a-callers-own",
        ),
        pytest.param(
            lambda e: e.put_client_ca(authority(lasts=timedelta(minutes=-1))),
            r"^AUTHZ_CLIENT_CA=\S+: every CA in it has expired",
            id="ca-expired",
        ),
        pytest.param(
            lambda e: (e.folder / "clients-ca.crt").write_bytes(e.ca.key_pem),
            r"^AUTHZ_CLIENT_CA=\S+: is no certificate",
            id="no-certificate-in-it",
        ),
    ],
)
def test_what_does_not_fit_is_refused_by_setting_and_file(
    estate: Estate, spoil: Spoil, said: str
) -> None:
    files = files_of(estate)
    spoil(estate)

    with pytest.raises(TlsFilesError, match=said) as refused:
        tls_identity_of(files, files.read(), datetime.now(UTC))

    assert "PRIVATE" not in str(refused.value)


def test_one_expired_authority_beside_a_good_one_is_served_with(estate: Estate) -> None:
    files = files_of(estate)
    expired = authority(lasts=timedelta(minutes=-1))
    estate.put_client_ca(estate.ca, expired)

    identity = tls_identity_of(files, files.read(), datetime.now(UTC))

    assert identity.ends()["client_ca"] == expired.certificate.not_valid_after_utc


@pytest.mark.parametrize(
    ("lasts", "near"),
    [
        pytest.param(timedelta(days=90), {"client_ca"}, id="of-months-with-half-of-it-left"),
        pytest.param(timedelta(minutes=40), {"client_ca"}, id="of-hours-with-much-of-it-left"),
        pytest.param(
            timedelta(minutes=10), {"client_ca", "server"}, id="of-hours-and-near-its-end"
        ),
    ],
)
def test_an_end_is_near_by_how_long_a_certificate_lasts(
    estate: Estate, lasts: timedelta, near: set[str]
) -> None:
    """Certificates of an hour, which are replaced every half hour, must not alarm all the time."""
    files = files_of(estate)
    estate.put_server(estate.ca.server(lasts=lasts))
    ancient = authority(lasts=timedelta(minutes=59), begins=timedelta(days=-400))
    estate.put_client_ca(estate.ca, ancient)

    identity = tls_identity_of(files, files.read(), datetime.now(UTC))

    assert set(identity.ending(datetime.now(UTC))) == near


A, B, C = Path("a"), Path("b"), Path("c")


def test_none_of_the_settings_is_no_tls() -> None:
    assert tls_files_of(None, None, None) is None
    assert tls_files_of(A, B, C) == TlsFiles(A, B, C)


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ((A, None, None), "AUTHZ_TLS_KEY and AUTHZ_CLIENT_CA must"),
        ((None, B, None), "AUTHZ_TLS_CERT and AUTHZ_CLIENT_CA must"),
        ((A, B, None), "AUTHZ_CLIENT_CA must"),
        ((None, B, C), "AUTHZ_TLS_CERT must"),
        ((A, None, C), "AUTHZ_TLS_KEY must"),
    ],
)
def test_some_of_the_settings_are_refused_and_the_others_named(
    given: tuple[Path | None, Path | None, Path | None], missing: str
) -> None:
    with pytest.raises(TlsFilesError, match=f"^{missing}"):
        tls_files_of(*given)


@pytest.mark.parametrize(
    ("mode", "open_to_others"),
    [(0o600, False), (0o400, False), (0o640, False), (0o644, True), (0o660, True), (0o602, True)],
)
def test_a_key_that_others_can_read_is_noticed(
    estate: Estate, mode: int, *, open_to_others: bool
) -> None:
    files = files_of(estate)
    files.key.chmod(mode)

    assert files.key_is_open() == open_to_others

"""The service's own certificate, its key, and who signs callers' certificates: read as one set."""

from __future__ import annotations

import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtendedKeyUsageOID

from authz_service.identity.authorities import PARSE_ERRORS, all_parsed, is_authority
from authz_service.tables.reading import MAX_FILE_BYTES, read_regular_file

_OTHERS = stat.S_IRWXO | stat.S_IWGRP
_SOON = timedelta(days=14)
_PUBLIC = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


class TlsFilesError(Exception):
    """The files for TLS cannot be served with; the message names setting, file and what to do."""


class TlsFiles(NamedTuple):
    """Where the files are.

    Attributes:
        certificate: ``AUTHZ_TLS_CERT``.
        key: ``AUTHZ_TLS_KEY``.
        client_ca: ``AUTHZ_CLIENT_CA``.
    """

    certificate: Path
    key: Path
    client_ca: Path

    def read(self) -> dict[Path, bytes]:
        """Return what the files hold.

        Raises:
            TlsFilesError: One of them is missing or cannot be read.
        """
        return _read(self)

    def key_is_open(self) -> bool:
        """Whether others than its owner and group may read the key, or its group replace it."""
        try:
            return bool(self.key.stat().st_mode & _OTHERS)
        except OSError:
            return False


_SETTINGS = ("AUTHZ_TLS_CERT", "AUTHZ_TLS_KEY", "AUTHZ_CLIENT_CA")


@dataclass(frozen=True, slots=True)
class TlsIdentity:
    """What the files hold, once it is known to fit together.

    Attributes:
        chain_pem: The certificate and those of who signed it, as the file has them.
        key_pem: Its key.
        client_ca_pem: Who signs callers' certificates, as the file has them.
        certificate: The service's own.
        authorities: Who signs callers' certificates.
    """

    chain_pem: bytes
    key_pem: bytes
    client_ca_pem: bytes
    certificate: x509.Certificate
    authorities: tuple[x509.Certificate, ...]

    def __repr__(self) -> str:
        """Return which certificate it is; never the key."""
        return f"TlsIdentity({self.certificate.serial_number:x})"

    def ends(self) -> dict[str, datetime]:
        """Return when the certificate ends, and the first of the authorities, by file."""
        return {
            "server": self.certificate.not_valid_after_utc,
            "client_ca": min(each.not_valid_after_utc for each in self.authorities),
        }

    def ending(self, now: datetime) -> dict[str, datetime]:
        """Return those of `ends` that are near at *now*, for what lasts as long as it does."""
        first = min(self.authorities, key=lambda each: each.not_valid_after_utc)
        near = {"server": _near(self.certificate), "client_ca": _near(first)}
        return {file: end for file, end in self.ends().items() if end - now < near[file]}


def _near(certificate: x509.Certificate) -> timedelta:
    """Return how long before its end the end of *certificate* is near."""
    lasts = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    return min(_SOON, lasts / 4)


def tls_files_of(
    certificate: Path | None, key: Path | None, client_ca: Path | None
) -> TlsFiles | None:
    """Return where the files are; None where none is set.

    Raises:
        TlsFilesError: Some are set and others not.
    """
    settings = dict(zip(_SETTINGS, (certificate, key, client_ca), strict=True))
    missing = [name for name, path in settings.items() if path is None]
    if certificate is not None and key is not None and client_ca is not None:
        return TlsFiles(certificate, key, client_ca)
    if len(missing) < len(settings):
        raise TlsFilesError(
            f"{' and '.join(missing)} must be set as well: a certificate, its key and who signs "
            "callers' certificates go together; client certificates are never optional"
        )
    return None


def tls_identity_of(files: TlsFiles, contents: Mapping[Path, bytes], now: datetime) -> TlsIdentity:
    """Return what *contents* of *files* are, if a service can be served with them at *now*.

    Raises:
        TlsFilesError: They cannot be read, do not fit, or are not valid now.
    """
    _require_small(files, contents)
    certificate = _own_certificate(files.certificate, files.key, contents, now)
    return TlsIdentity(
        contents[files.certificate],
        contents[files.key],
        contents[files.client_ca],
        certificate,
        _authorities(files, contents[files.client_ca], now),
    )


def read_own(certificate: Path, key: Path, now: datetime) -> dict[Path, bytes]:
    """Return what the service's own files hold, if it can show that at *now*.

    Raises:
        TlsFilesError: They cannot be read, do not fit, or are not valid now.
    """
    contents = _read((certificate, key))
    _require_small((certificate, key), contents)
    _own_certificate(certificate, key, contents, now)
    return contents


def _read(paths: Sequence[Path]) -> dict[Path, bytes]:
    """Return what is in *paths*, which are in the order of their settings."""
    contents = {}
    for setting, path in zip(_SETTINGS, paths, strict=False):
        try:
            contents[path] = read_regular_file(path)
        except OSError as error:
            why = (error.strerror or type(error).__name__).lower()
            raise TlsFilesError(
                f"{setting}={path}: cannot be read ({why}); name a PEM file that it may read"
            ) from None
    return contents


def _require_small(paths: Sequence[Path], contents: Mapping[Path, bytes]) -> None:
    """Refuse a file of which only the beginning was read."""
    for setting, path in zip(_SETTINGS, paths, strict=False):
        if len(contents[path]) > MAX_FILE_BYTES:
            raise TlsFilesError(f"{setting}={path}: has more than {MAX_FILE_BYTES} bytes")


def _own_certificate(
    path: Path, key: Path, contents: Mapping[Path, bytes], now: datetime
) -> x509.Certificate:
    """Return the service's own certificate, the first of its file, once its key fits."""
    place = f"AUTHZ_TLS_CERT={path}"
    certificate = _server_certificate(contents[path], place, now)
    _require_fitting_key(f"AUTHZ_TLS_KEY={key}", contents[key], certificate, place)
    return certificate


def _server_certificate(pem: bytes, place: str, now: datetime) -> x509.Certificate:
    """Return the first certificate of *pem*, if it is a server's and valid at *now*."""
    certificate = _certificates(pem, place)[0]
    if certificate.not_valid_after_utc < now:
        ended = certificate.not_valid_after_utc.isoformat()
        raise TlsFilesError(f"{place}: the certificate expired at {ended}; put a new one there")
    if certificate.not_valid_before_utc > now:
        begins = certificate.not_valid_before_utc.isoformat()
        raise TlsFilesError(
            f"{place}: the certificate is not valid before {begins}; is this machine's clock right?"
        )
    if is_authority(certificate):
        raise TlsFilesError(
            f"{place}: the first certificate is one of a CA; the service's own goes first, then "
            "those of who signed it"
        )
    try:
        uses = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return certificate
    if ExtendedKeyUsageOID.SERVER_AUTH not in uses:
        raise TlsFilesError(
            f"{place}: the certificate is not for servers (extendedKeyUsage lacks serverAuth); "
            "have one issued that is"
        )
    return certificate


def _require_fitting_key(place: str, pem: bytes, certificate: x509.Certificate, shown: str) -> None:
    """Refuse a key that cannot be used, or is another certificate's than the one *shown*."""
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except TypeError:
        raise TlsFilesError(
            f"{place}: the key is encrypted; store it without a passphrase, readable by the "
            "service alone"
        ) from None
    except PARSE_ERRORS:
        raise TlsFilesError(f"{place}: is no private key in PEM") from None
    if key.public_key().public_bytes(*_PUBLIC) != certificate.public_key().public_bytes(*_PUBLIC):
        raise TlsFilesError(
            f"{place}: the key does not fit the certificate {shown}; "
            "give the key that this certificate was made for"
        )


def _authorities(files: TlsFiles, pem: bytes, now: datetime) -> tuple[x509.Certificate, ...]:
    """Return who signs callers' certificates: authorities all, one of them valid at *now*."""
    place = f"AUTHZ_CLIENT_CA={files.client_ca}"
    found = _certificates(pem, place)
    for number, certificate in enumerate(found, start=1):
        if not is_authority(certificate):
            raise TlsFilesError(
                f"{place}: certificate {number} is not one of a CA; name those that sign callers' "
                "certificates, not the callers' own"
            )
    if all(certificate.not_valid_after_utc < now for certificate in found):
        raise TlsFilesError(f"{place}: every CA in it has expired; put the new one there")
    return found


def _certificates(pem: bytes, place: str) -> tuple[x509.Certificate, ...]:
    """Return the certificates in *pem*, at least one, all of them readable."""
    found = all_parsed(pem)
    if not found:
        raise TlsFilesError(f"{place}: is no certificate in PEM, or holds one that is defective")
    return found

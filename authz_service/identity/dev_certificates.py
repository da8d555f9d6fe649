"""Certificates for development: of a CA whose key is forgotten, of a server, and of callers."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain, count

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_OWNER = "authz dev-certs: for development only"
_SERVER_NAMES = (
    x509.DNSName("localhost"),
    x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
    x509.IPAddress(ipaddress.ip_address("::1")),
)
_BOTH_USES = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)
_EARLIER = timedelta(minutes=5)
"""Clocks of machines that are tried out together may differ."""
_RESERVED = {"ca", "server"}


@dataclass(frozen=True, slots=True)
class DevCertificates:
    """What was made.

    Attributes:
        files: What each file holds, by its name.
        clients: The name of each caller's files without their ending, by SPIFFE ID.
        not_after: When all of it ends.
    """

    files: Mapping[str, bytes]
    clients: Mapping[str, str]
    not_after: datetime


def dev_certificates(
    server: str, callers: Sequence[str], now: datetime, lasts: timedelta
) -> DevCertificates:
    """Return certificates for a service and for callers on this machine.

    Args:
        server: The service's SPIFFE ID.
        callers: The callers' SPIFFE IDs.
        now: The time.
        lasts: How long they are valid.
    """
    names = _file_names(callers)
    end = now + lasts
    ca = _Authority(now - _EARLIER, end)
    files = {"ca.crt": ca.pem, **_pair("server", ca.leaf(server, _SERVER_NAMES, _BOTH_USES))}
    for caller, name in names.items():
        files |= _pair(name, ca.leaf(caller, (), (ExtendedKeyUsageOID.CLIENT_AUTH,)))
    return DevCertificates(files, names, end)


def _file_names(callers: Sequence[str]) -> dict[str, str]:
    """Return a name for the files of each caller: its path, numbered where another has it."""
    names: dict[str, str] = {}
    for caller in callers:
        short = caller.removeprefix("spiffe://").partition("/")[2].replace("/", "-")
        taken = _RESERVED | set(names.values())
        numbered = (f"{short}-{number}" for number in count(2))
        names[caller] = next(name for name in chain((short,), numbered) if name not in taken)
    return names


def _pair(name: str, made: tuple[bytes, bytes]) -> dict[str, bytes]:
    """Return the two files of a certificate."""
    return {f"{name}.crt": made[0], f"{name}.key": made[1]}


class _Authority:
    """Signs, for as long as it is held in memory."""

    def __init__(self, begin: datetime, end: datetime) -> None:
        """Sign what is valid from *begin* to *end*."""
        self._begin, self._end = begin, end
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, _OWNER)])
        made = self._signed(
            self._key.public_key(),
            self._name,
            (x509.BasicConstraints(ca=True, path_length=0), True),
            (_usage(signs_certificates=True), True),
        )
        self.pem = made.public_bytes(serialization.Encoding.PEM)

    def leaf(
        self,
        spiffe_id: str,
        names: Sequence[x509.GeneralName],
        uses: Sequence[x509.ObjectIdentifier],
    ) -> tuple[bytes, bytes]:
        """Return a certificate and its key, as X509-SVID has them."""
        key = ec.generate_private_key(ec.SECP256R1())
        made = self._signed(
            key.public_key(),
            x509.Name([]),
            (
                x509.SubjectAlternativeName([x509.UniformResourceIdentifier(spiffe_id), *names]),
                True,
            ),
            (x509.BasicConstraints(ca=False, path_length=None), True),
            (_usage(signs_certificates=False), True),
            (x509.ExtendedKeyUsage(uses), False),
        )
        return made.public_bytes(serialization.Encoding.PEM), key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )

    def _signed(
        self,
        public: ec.EllipticCurvePublicKey,
        subject: x509.Name,
        *extensions: tuple[x509.ExtensionType, bool],
    ) -> x509.Certificate:
        """Return a certificate of *public*; each extension says whether it is critical."""
        builder = x509.CertificateBuilder(
            issuer_name=self._name,
            subject_name=subject,
            public_key=public,
            serial_number=x509.random_serial_number(),
            not_valid_before=self._begin,
            not_valid_after=self._end,
        )
        own = x509.SubjectKeyIdentifier.from_public_key(public)
        above = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        for extension, critical in (*extensions, (own, False), (above, False)):
            builder = builder.add_extension(extension, critical)
        return builder.sign(self._key, hashes.SHA256())


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    """Return what a key is for: to sign certificates, or to prove who one is."""
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )

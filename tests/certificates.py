"""Certificates for tests, made while they run: a CA, a server, and callers that are right or wrong.

`Estate` is what most tests need: files for the service's settings, and credentials for clients.
What it makes is made without the code under test.
"""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

CALLER = "spiffe://example.org/media-gateway"
"""The caller that the estate's callers file lets do all that one caller may."""
BOOKING = "spiffe://example.org/booking"
MEDIA_SERVER = "spiffe://example.org/media-server"
SERVER = "spiffe://example.org/recording-access"
CALLERS_HEADER = "caller,rpcs,tenants,actions,purposes,writes,may\n"
_WRITTEN = (
    "tenant as operations|subject as directory|recording as pipeline|delegation as proxies"
    "|relationship as rosters|block as safeguarding|consent as consents|grant as releases"
    "|containment as operations"
)
EVERYTHING = f"*,*,*,*,{_WRITTEN},explain|assert_assurance|omit_token|contain|review|read_log"
"""The cells of a row that lets a caller do everything but speak as `BOOKING` or `MEDIA_SERVER`."""
WITNESSES = (
    f"{BOOKING},WriteFacts,*,,,consultation as booking,",
    f"{MEDIA_SERVER},WriteFacts,*,,,attendance as media-server,",
)
"""The rows of who says, beside `CALLER`, whose a recording is."""

_USES = {
    "digital_signature": False,
    "content_commitment": False,
    "key_encipherment": False,
    "data_encipherment": False,
    "key_agreement": False,
    "key_cert_sign": False,
    "crl_sign": False,
    "encipher_only": False,
    "decipher_only": False,
}


def key_usage(*uses: str) -> x509.KeyUsage:
    """Return a key usage of just *uses*, by cryptography's names."""
    return x509.KeyUsage(**{**_USES, **dict.fromkeys(uses, True)})


LEAF_USAGE = key_usage("digital_signature")
SIGNER_USAGE = key_usage("key_cert_sign", "crl_sign")
BOTH = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)


@dataclass(frozen=True)
class Form:
    """How a certificate is made; by default a leaf as X509-SVID has it, but for its names.

    Attributes:
        uris: URI SANs.
        names: DNS SANs and IP addresses.
        common_name: The subject's CN; none where it is empty.
        is_ca: basicConstraints' cA; None for no basicConstraints.
        usage: keyUsage; None for none.
        usage_is_critical: Whether keyUsage is critical.
        extended: extendedKeyUsage; None for none.
        begins: From when it is valid, from now.
        lasts: For how long it is valid from now; negative for one that has expired.
    """

    uris: Sequence[str] = ()
    names: Sequence[str] = ()
    common_name: str = ""
    is_ca: bool | None = False
    usage: x509.KeyUsage | None = LEAF_USAGE
    usage_is_critical: bool = True
    extended: Sequence[x509.ObjectIdentifier] | None = BOTH
    begins: timedelta = timedelta(hours=-1)
    lasts: timedelta = timedelta(hours=1)


@dataclass(frozen=True)
class Credential:
    """A certificate and its key, and who signed it; itself where nobody did."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey
    signer: Credential | None = None

    @cached_property
    def pem(self) -> bytes:
        """The certificate alone."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @cached_property
    def chain(self) -> bytes:
        """The certificate and the intermediates up to the root, without the root."""
        above = self.signer.chain if self.signer and self.signer.signer else b""
        return self.pem + above

    @cached_property
    def key_pem(self) -> bytes:
        """The key."""
        return self.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )

    def issue(self, form: Form) -> Credential:
        """Sign a certificate of that form."""
        return _made(form, self)

    def client(self, spiffe_id: str = CALLER, **form: Any) -> Credential:
        """Sign a caller's certificate."""
        return self.issue(Form(**{"uris": [spiffe_id], **form}))

    def server(self, **form: Any) -> Credential:
        """Sign the certificate of a service on this machine."""
        names = ("localhost", "127.0.0.1", "::1")
        return self.issue(Form(**{"uris": [SERVER], "names": names, **form}))

    def intermediate(self, common_name: str = "intermediate") -> Credential:
        """Sign an authority."""
        return self.issue(_authority_form(common_name))


def authority(common_name: str = "tests", **form: Any) -> Credential:
    """Return an authority that signed itself."""
    return _made(_authority_form(common_name, **form), None)


def _authority_form(common_name: str, **form: Any) -> Form:
    return Form(
        **{
            "common_name": common_name,
            "is_ca": True,
            "usage": SIGNER_USAGE,
            "extended": None,
            **form,
        }
    )


def _made(form: Form, signer: Credential | None) -> Credential:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name(
        [x509.NameAttribute(NameOID.COMMON_NAME, form.common_name)] if form.common_name else []
    )
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(
        issuer_name=signer.certificate.subject if signer else subject,
        subject_name=subject,
        public_key=key.public_key(),
        serial_number=x509.random_serial_number(),
        not_valid_before=now + min(form.begins, form.lasts - timedelta(hours=1)),
        not_valid_after=now + form.lasts,
    )
    signing = signer.key if signer else key
    own = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    theirs = x509.AuthorityKeyIdentifier.from_issuer_public_key(signing.public_key())
    for extension, critical in [*_extensions(form), (own, False), (theirs, False)]:
        builder = builder.add_extension(extension, critical)
    return Credential(builder.sign(signing, hashes.SHA256()), key, signer)


def _extensions(form: Form) -> list[tuple[Any, bool]]:
    found: list[tuple[Any, bool]] = []
    if form.uris or form.names:
        uris = [x509.UniformResourceIdentifier(uri) for uri in form.uris]
        names = [*uris, *(_name(name) for name in form.names)]
        found.append((x509.SubjectAlternativeName(names), not form.common_name))
    if form.is_ca is not None:
        found.append((x509.BasicConstraints(ca=form.is_ca, path_length=None), True))
    if form.usage is not None:
        found.append((form.usage, form.usage_is_critical))
    if form.extended is not None:
        found.append((x509.ExtendedKeyUsage(form.extended), False))
    return found


def _name(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)


class Estate:
    """A folder with what a service needs for mTLS, and who may call it.

    Attributes:
        folder: Where the files are.
        ca: Who signs the service and its callers.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ca = authority()
        self.put_server(self.ca.server())
        self.put_client_ca(self.ca)
        self.put_callers(f"{CALLER},{EVERYTHING}", *WITNESSES)

    @property
    def settings(self) -> dict[str, Any]:
        """What `tests.service_thread.serving` takes."""
        return {
            "insecure_loopback": False,
            "tls_cert": self.folder / "server.crt",
            "tls_key": self.folder / "server.key",
            "client_ca": self.folder / "clients-ca.crt",
            "callers_file": self.folder / "callers.csv",
        }

    @property
    def environment(self) -> dict[str, str]:
        """What `tests.service_process.serving_process` takes."""
        return {
            f"AUTHZ_{name.upper()}": "0" if value is False else str(value)
            for name, value in self.settings.items()
        }

    def put_server(self, credential: Credential) -> None:
        """Have the service show *credential*."""
        _put(self.folder / "server.crt", credential.chain)
        _put(self.folder / "server.key", credential.key_pem)

    def put_client_ca(self, *signers: Credential) -> None:
        """Have the service accept callers that *signers* have signed."""
        _put(self.folder / "clients-ca.crt", b"".join(signer.pem for signer in signers))

    def put_callers(self, *rows: str) -> None:
        """Have the service know the callers of these rows."""
        text = CALLERS_HEADER + "".join(f"{row}\n" for row in rows)
        _put(self.folder / "callers.csv", text.encode())

    def credentials(
        self, shown: Credential | str = CALLER, trusted: Credential | None = None
    ) -> grpc.ChannelCredentials:
        """Return what a client needs that shows *shown*, or a certificate of that SPIFFE ID."""
        client = self.ca.client(shown) if isinstance(shown, str) else shown
        roots = (trusted or self.ca).pem
        return grpc.ssl_channel_credentials(roots, client.key_pem, client.chain)

    def client_files(self, spiffe_id: str = CALLER) -> dict[str, str]:
        """Return the environment in which `authz` calls the service with a certificate of it."""
        client = self.ca.client(spiffe_id)
        for name, content in (("ca.crt", self.ca.pem), ("client.crt", client.chain)):
            _put(self.folder / name, content)
        _put(self.folder / "client.key", client.key_pem)
        return {
            "AUTHZ_SERVER_CA": str(self.folder / "ca.crt"),
            "AUTHZ_CLIENT_CERT": str(self.folder / "client.crt"),
            "AUTHZ_CLIENT_KEY": str(self.folder / "client.key"),
        }

    def context(self, shown: Credential | None = None) -> ssl.SSLContext:
        """Return what a bare socket, or an HTTP client, needs that shows *shown*, or nothing."""
        context = ssl.create_default_context(cadata=self.ca.pem.decode())
        if shown is not None:
            _put(self.folder / "shown.pem", shown.key_pem + shown.chain)
            context.load_cert_chain(self.folder / "shown.pem")
        return context


def _put(path: Path, content: bytes) -> None:
    """Write a file in one step, for its owner's eyes only."""
    new = path.with_name(f"{path.name}.new")
    new.touch(mode=0o600)
    new.write_bytes(content)
    new.replace(path)

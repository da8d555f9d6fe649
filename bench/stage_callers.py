"""What it takes by itself to know a caller by its certificate and to ask what it may."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from cryptography import x509

from authz_service.clocks import SystemClock
from authz_service.identity.callers import ActiveCallers
from authz_service.identity.callers_file import read_callers
from authz_service.server.certificate_admission import CertificateAdmission
from authz_service.server.grpc_server import RPCS
from bench.estate import ASKING, Estate
from bench.questions import CHECK_METHOD
from bench.world import TENANT


class Connected:
    """A call's context, as far as an admission asks: what gRPC knows of the connection."""

    def __init__(self, certificate: bytes) -> None:
        """Be a call over a connection that was made with *certificate*."""
        self._known: Mapping[str, Sequence[bytes]] = {
            "transport_security_type": [b"ssl"],
            "x509_pem_cert": [certificate],
            "x509_pem_cert_chain": [certificate],
            "peer_spiffe_id": [ASKING.encode()],
        }

    def auth_context(self) -> Mapping[str, Sequence[bytes]]:
        """Return what gRPC knows; what it takes to ask it is not measured here."""
        return self._known


def letting_in(estate: Estate) -> Callable[[Any], None]:
    """Return what is done for every call before the question itself, but for gRPC's own part."""
    rpcs = frozenset(method for _, method in RPCS)
    callers = read_callers(Path(estate.settings["AUTHZ_CALLERS_FILE"]), rpcs)
    trusted = x509.load_pem_x509_certificates(Path(estate.settings["AUTHZ_CLIENT_CA"]).read_bytes())
    admission = CertificateAdmission(ActiveCallers(callers), trusted, SystemClock())
    connected = Connected(estate.certificate)

    def let_in(_one: Any) -> None:
        rule = admission.admit(connected).rule
        rule.require_rpc(CHECK_METHOD[1])
        rule.require(TENANT, "VIEW", "PATRQT")

    return let_in

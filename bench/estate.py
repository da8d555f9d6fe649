"""An estate of twenty services with certificates, one of which asks."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc

from authz_service.identity.dev_certificates import dev_certificates
from bench.world import TENANT

_DOMAIN = "spiffe://bench.example"
_SERVICE = f"{_DOMAIN}/recording-access"
_CLINICS = (TENANT, "north", "south", "east", "west")
_ROWS = {
    "media-gateway": "CheckAccess,{tenant},VIEW|DOWNLOAD,PATRQT|TREAT,,explain",
    "replay-api": "CheckAccess|BatchCheckAccess,{tenant},VIEW|LIST,PATRQT|TREAT,,explain",
    "booking": "WriteFacts,{tenant},,,consultation as booking,",
    "media-server": "WriteFacts,{tenant},,,attendance as media-server,",
}
ASKING = f"{_DOMAIN}/{TENANT}/replay-api"
"""Who asks: a caller that is bound to RPCs, a tenant and purposes."""
_LASTS = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Estate:
    """What a service and one of its callers need to know each other.

    Attributes:
        settings: What the service is set to.
        tls: What the load generator connects with.
        credentials: The same for gRPC's own client.
        certificate: The caller's certificate, in PEM.
    """

    settings: dict[str, str]
    tls: ssl.SSLContext
    credentials: grpc.ChannelCredentials
    certificate: bytes


def callers() -> dict[str, str]:
    """Return the rest of the row of each caller, by its SPIFFE ID."""
    return {
        f"{_DOMAIN}/{clinic}/{name}": rest.format(tenant=clinic)
        for clinic in _CLINICS
        for name, rest in _ROWS.items()
    }


def estate_in(folder: Path) -> Estate:
    """Make certificates and a callers file in *folder*."""
    folder.mkdir(parents=True)
    rows = [f"{caller},{rest}" for caller, rest in callers().items()]
    header = "caller,rpcs,tenants,actions,purposes,writes,may"
    (folder / "callers.csv").write_text("\n".join([header, *rows, ""]), encoding="utf-8")
    made = dev_certificates(_SERVICE, [*callers()], datetime.now(UTC), _LASTS)
    for name, content in made.files.items():
        path = folder / name
        path.touch(mode=0o600)
        path.write_bytes(content)
    client = made.clients[ASKING]
    tls = ssl.create_default_context(cafile=str(folder / "ca.crt"))
    tls.set_alpn_protocols(["h2"])
    tls.load_cert_chain(folder / f"{client}.crt", folder / f"{client}.key")
    certificate, key = made.files[f"{client}.crt"], made.files[f"{client}.key"]
    return Estate(
        {
            "AUTHZ_INSECURE_LOOPBACK": "0",
            "AUTHZ_TLS_CERT": str(folder / "server.crt"),
            "AUTHZ_TLS_KEY": str(folder / "server.key"),
            "AUTHZ_CLIENT_CA": str(folder / "ca.crt"),
            "AUTHZ_CALLERS_FILE": str(folder / "callers.csv"),
        },
        tls,
        grpc.ssl_channel_credentials(made.files["ca.crt"], key, certificate),
        certificate,
    )

"""What every new connection is shown and asked for: replaced as one, without dropping a call."""

from __future__ import annotations

import threading
from collections import deque

import grpc

from authz_service.identity.tls_files import TlsIdentity


class ServedTls:
    """The service's certificate, and who signs those that callers have to show.

    TLS 1.2 is the least that gRPC speaks. A connection keeps what it was made with; `replace` says
    what the next one is made with.

    Attributes:
        credentials: What the port is served with.
        begun: How many handshakes were begun.
    """

    def __init__(self, identity: TlsIdentity) -> None:
        """Begin with *identity*."""
        self.begun = 0
        self._counting = threading.Lock()
        self._next: deque[grpc.ServerCertificateConfiguration] = deque(maxlen=1)
        self.credentials = grpc.dynamic_ssl_server_credentials(
            _configuration(identity),
            self._fetch,  # type: ignore[arg-type]  # None stands for no change
            require_client_authentication=True,
        )

    def replace(self, identity: TlsIdentity) -> None:
        """Make connections with *identity* from now on. From any thread."""
        self._next.append(_configuration(identity))

    def _fetch(self) -> grpc.ServerCertificateConfiguration | None:
        """Return what has come since the last connection; gRPC asks on threads of its own."""
        with self._counting:
            self.begun += 1
        try:
            return self._next.pop()
        except IndexError:
            return None


def _configuration(identity: TlsIdentity) -> grpc.ServerCertificateConfiguration:
    """Return *identity* as gRPC takes it."""
    return grpc.ssl_server_certificate_configuration(
        [(identity.key_pem, identity.chain_pem)], identity.client_ca_pem
    )

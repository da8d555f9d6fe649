"""Callers told apart by the certificate that each call's connection was made with.

gRPC has verified that it was signed by one of the authorities of that moment. What it says, and
whether it still leads to an authority, is found out once for each certificate and remembered by the
certificate itself: never by the peer's address, which is another's as soon as it is given back.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple

from cryptography import x509

from authz_service.identity.authorities import parsed_chain, trusted_until
from authz_service.identity.callers import ActiveCallers
from authz_service.identity.certificates import CertificateFaultError, leaf_of
from authz_service.operations.ports import Clock
from authz_service.pdp.errors import CallerRefusal, CallerUnauthenticatedError
from authz_service.server.admission import Admitted

_LEAF, _CHAIN, _ID = "x509_pem_cert", "x509_pem_cert_chain", "peer_spiffe_id"
_MOST_KNOWN = 1024


class _Known(NamedTuple):
    """What is known of a certificate, as long as the authorities stay the same.

    Attributes:
        spiffe_id: Who it is of; empty where that is not to be told.
        peer_ids: What gRPC has to say of it as well.
        until: Until when it is good; None where it is not.
        refusal: For what it is refused, where it is not good.
        why: The same in words.
    """

    spiffe_id: str
    peer_ids: tuple[bytes, ...]
    until: datetime | None
    refusal: CallerRefusal = CallerRefusal.CERTIFICATE
    why: str = ""


class CertificateAdmission:
    """Lets in who shows a certificate of a caller in force. For one event loop."""

    def __init__(
        self, callers: ActiveCallers, authorities: Sequence[x509.Certificate], clock: Clock
    ) -> None:
        """Let in *callers* whose certificates lead to *authorities*, by the time of *clock*."""
        self._callers = callers
        self._authorities = tuple(authorities)
        self._clock = clock
        self._known = lru_cache(_MOST_KNOWN)(self._found_out)

    def trust(self, authorities: Sequence[x509.Certificate]) -> None:
        """Let in from the next call on whose certificates lead to *authorities*, and no others."""
        self._authorities = tuple(authorities)
        self._known.cache_clear()

    def admit(self, context: Any) -> Admitted:
        properties = context.auth_context()
        leaf = properties.get(_LEAF, ())
        if len(leaf) != 1:
            raise CallerUnauthenticatedError(
                "there is no client certificate; connect with one", CallerRefusal.CERTIFICATE
            )
        known = self._known(leaf[0], *properties.get(_CHAIN, ()))
        if known.until is None:
            raise CallerUnauthenticatedError(known.why, known.refusal, known.spiffe_id)
        if tuple(properties.get(_ID, ())) != known.peer_ids:
            raise CallerUnauthenticatedError(
                "the client certificate's SPIFFE ID is read in two ways", CallerRefusal.CERTIFICATE
            )
        if self._clock.now() > known.until:
            raise CallerUnauthenticatedError(
                f"the client certificate, or one that it rests on, expired at "
                f"{known.until.isoformat()}; connect anew with one that is valid",
                CallerRefusal.EXPIRED,
                known.spiffe_id,
            )
        callers = self._callers.current
        return Admitted(callers.rule_of(known.spiffe_id), callers.revision)

    def _found_out(self, pem: bytes, *above: bytes) -> _Known:
        """Find out what there is to know of the certificate *pem*, which came with *above*."""
        try:
            leaf = leaf_of(pem)
        except CertificateFaultError as fault:
            return _Known("", (), None, why=f"the client certificate {fault}")
        chain = [certificate for each in above for certificate in parsed_chain(each)]
        until = trusted_until(leaf.certificate, chain, self._authorities)
        if until is None:
            return _Known(
                leaf.spiffe_id,
                (),
                None,
                CallerRefusal.WITHDRAWN,
                "the client certificate was signed by a CA that is no longer trusted; connect anew "
                "with one of a CA that is",
            )
        return _Known(leaf.spiffe_id, (leaf.spiffe_id.encode(),), until)

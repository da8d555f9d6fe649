"""A failed call in words: the status, its ErrorInfo and its field violations."""

from __future__ import annotations

from typing import Any

import grpc

from authz_service.cli.client_tls import ClientTls
from authz_service.cli.codes import ExitCode
from authz_service.cli.failures import CommandError
from authz_service.cli.wording import start_hint

_TENANT = "tenant_id"
_CODES = {
    grpc.StatusCode.INVALID_ARGUMENT: ExitCode.USAGE,
    grpc.StatusCode.UNAVAILABLE: ExitCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED: ExitCode.UNAVAILABLE,
}
_HINTS = {
    "CALLER_UNAUTHENTICATED": "the service's callers file (AUTHZ_CALLERS_FILE) says who may ask",
    "CALLER_NOT_ALLOWED": "the service's callers file (AUTHZ_CALLERS_FILE) says who may what",
    "FACTS_UNAVAILABLE": "see: authz status, and authz doctor where the service runs",
    "JOURNAL_UNAVAILABLE": "see: authz status, and authz doctor where the service runs",
    "DECISIONS_UNAVAILABLE": "see: authz status, and authz doctor where the service runs",
    "DECISIONS_NOT_KEPT": "name a store in AUTHZ_DECISIONS_URL; its journal holds the records",
    "HISTORY_GONE": "ask for a later instant",
    "POLICY_NOT_READY": "see: authz policy status",
    "INTERNAL": "this is a defect of the service; its log has the details under the request id",
}


def failed_call(error: Any, address: str, tls: ClientTls | None = None) -> CommandError:
    """Return why a call to *address* failed, as its user is told it; *tls* is what was shown."""
    status: grpc.StatusCode = error.code()
    reason, violations = _details(error)
    if reason is None and status in {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
    }:
        found = _unconnected(error.details() or "", address, tls)
        return found or _silent(status, address, over_tls=tls is not None)
    if status is grpc.StatusCode.UNIMPLEMENTED:
        return CommandError(
            f"what answers at {address} does not know this call",
            reason="UNIMPLEMENTED",
            hint="is it this service, and as new as this command? see: authz --version",
        )
    return CommandError(
        _with_flag(error.details() or status.name),
        code=_CODES.get(status, ExitCode.ERROR),
        reason=reason or status.name,
        details=tuple(map(_with_flag, violations)) if len(violations) > 1 else (),
        hint=_HINTS.get(reason or "", ""),
    )


def _with_flag(said: str) -> str:
    """Return what was *said* of a field, with the flag for it where its name does not tell."""
    return (
        f"tenant_id (--tenant){said.removeprefix(_TENANT)}"
        if said.startswith(_TENANT + ":")
        else said
    )


def _unconnected(said: str, address: str, tls: ClientTls | None) -> CommandError | None:
    """Return why no connection came to be, where it may be for certificates."""
    if tls is not None:
        from authz_service.cli.tls_failures import failed_handshake  # noqa: PLC0415  # heavy

        return failed_handshake(said, address, tls)
    if "closed" not in said:
        return None
    return CommandError(
        f"no service answers at {address} in plaintext",
        code=ExitCode.UNAVAILABLE,
        reason="NO_ANSWER",
        hint="if it wants certificates, name yours with --tls-ca, --tls-cert and --tls-key",
    )


def _silent(status: grpc.StatusCode, address: str, *, over_tls: bool) -> CommandError:
    """Return that nothing of ours answered."""
    late = status is grpc.StatusCode.DEADLINE_EXCEEDED
    return CommandError(
        f"no answer from {address} in time" if late else f"no service answers at {address}",
        code=ExitCode.UNAVAILABLE,
        reason="NO_ANSWER",
        hint=f"{start_hint(over_tls=over_tls)}; or name another with --address",
    )


def _details(error: Any) -> tuple[str | None, tuple[str, ...]]:
    """Return the ErrorInfo reason and the field violations that came with *error*."""
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            from authz_service.cli.status_details import read_details  # noqa: PLC0415  # heavy

            return read_details(value)
    return None, ()

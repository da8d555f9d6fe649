"""What fails at the edge: the status that it becomes, and who hears of it."""

from __future__ import annotations

from typing import Any, Protocol

import grpc
import structlog

from authz_service.identity.callers_file import is_caller
from authz_service.operations.records import CallContext
from authz_service.pdp import errors
from authz_service.server.admission import RefusalObserver
from authz_service.server.failures import Failure, failure_of
from authz_service.telemetry.seldom import Seldom

log = structlog.get_logger(__name__)


class LimitObserver(Protocol):
    """Hears of calls that came up against a limit."""

    def call_limited(self, limit: errors.CallLimit) -> None:
        """Count a call that came up against a limit. Must not raise."""
        ...


class Troubles:
    """Turns what was raised into a failure, and tells of it where somebody has to know."""

    def __init__(self, refusals: RefusalObserver, observer: LimitObserver) -> None:
        """Tell *refusals* of callers that may not, *observer* of limits, and the log."""
        self._refusals = refusals
        self._observer = observer
        self._said = Seldom()

    def failure(self, raised: Exception, known_as: CallContext, rpc: str) -> Failure:
        """Return the failure that *raised* is, once everybody concerned has been told."""
        failure = failure_of(raised)
        error, status, reason = failure
        limit = getattr(error, "limit", None)
        if limit is not None:
            self._observer.call_limited(limit)
            fields = {**_fields(error, known_as, rpc), "limit": limit.value}
            self._tell(log.warning, "call_limited", fields)
        if isinstance(error, errors.CallerUnauthenticatedError):
            caller = error.caller if is_caller(error.caller) else ""  # it comes from outside
            known_as = known_as._replace(caller=caller)
            self._refusals.refused(error.refusal, known_as, rpc)
        elif isinstance(error, errors.CallerNotAllowedError):
            self._refusals.refused(error.refusal, known_as, rpc)
        elif status is grpc.StatusCode.INTERNAL:
            self._tell(log.error, "rpc_failed", _fields(error, known_as, rpc), exc_info=error)
        elif status is grpc.StatusCode.UNAVAILABLE and reason != "DRAINING":
            fields = _fields(error, known_as, rpc)
            self._tell(log.warning, "rpc_unavailable", fields, why=str(error))
        return failure

    def _tell(self, tell: Any, event: str, fields: dict[str, str], **more: Any) -> None:
        """Log *event* once a minute for each RPC and kind of error, with how often it happened."""
        kind = f"{event} {fields['rpc']} {fields['error_type']} {fields.get('limit')}"
        unsaid = self._said.due(kind)
        if unsaid is not None:
            tell(event, **fields, **more, **({"since_last": unsaid} if unsaid else {}))


def let_go(error: BaseException | None) -> None:
    """Drop what *error* remembers of where it was raised.

    gRPC keeps the error with the call, and the call's frames keep both: so a request, of up to
    4 MiB, would be held until the cyclic collector comes by, which is after thousands of calls.
    """
    while error is not None:
        error.__traceback__ = None
        error = error.__context__


def _fields(error: Exception, known_as: CallContext, rpc: str) -> dict[str, str]:
    """Return what a line in the log says of a call that failed."""
    return {
        "rpc": rpc,
        "request_id": known_as.request_id,
        "caller": known_as.caller,
        "error_type": type(error).__name__,
    }

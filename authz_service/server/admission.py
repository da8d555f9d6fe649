"""Who calls: the identity behind a call, and what that caller may."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

from authz_service.identity.caller_rules import LOOPBACK, CallerRule
from authz_service.identity.callers import ActiveCallers
from authz_service.operations.records import CallContext
from authz_service.pdp.errors import CallerRefusal


class Admitted(NamedTuple):
    """A caller that is known.

    Attributes:
        rule: What it may.
        callers_revision: The callers file that says so.
    """

    rule: CallerRule
    callers_revision: str


class Admission(Protocol):
    """Tells callers apart."""

    def admit(self, context: Any) -> Admitted:
        """Return who calls in *context*, gRPC's own. On the hot path: must not block.

        Raises:
            CallerUnauthenticatedError: It is not known who calls.
        """
        ...


class RefusalObserver(Protocol):
    """Hears of every caller that was refused."""

    def refused(self, refusal: CallerRefusal, context: CallContext, rpc: str) -> None:
        """Take note that a call of *rpc* was refused. On the event loop; must not raise or block.

        Args:
            refusal: For what.
            context: Who called; the caller is empty where there is no SPIFFE ID.
            rpc: The method.
        """
        ...


class Gate(NamedTuple):
    """Who is let in, and who hears of those that are not.

    Attributes:
        admission: Tells callers apart.
        refusals: Hears of every refusal.
    """

    admission: Admission
    refusals: RefusalObserver


class LoopbackAdmission:
    """On insecure loopback there is one caller, whoever calls."""

    def __init__(self, callers: ActiveCallers) -> None:
        """Ask *callers*, which may be replaced at any time."""
        self._callers = callers

    def admit(self, context: Any) -> Admitted:  # noqa: ARG002  # nobody is told apart
        """Return the one caller."""
        callers = self._callers.current
        return Admitted(callers.rule_of(LOOPBACK), callers.revision)

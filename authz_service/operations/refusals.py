"""Callers that were refused: counted."""

from __future__ import annotations

from typing import Protocol

from authz_service.operations.records import CallContext
from authz_service.pdp.errors import CallerRefusal


class RefusalCounter(Protocol):
    """Counts refusals."""

    def caller_refused(self, refusal: CallerRefusal) -> None:
        """Count one. Must not raise or block."""
        ...


class Refusals:
    """Hears of every caller that was refused. For one event loop."""

    def __init__(self, counter: RefusalCounter) -> None:
        """Count with *counter*."""
        self._counter = counter

    def refused(self, refusal: CallerRefusal, context: CallContext, rpc: str) -> None:  # noqa: ARG002  # counted by what was refused
        """Take note that a call of *rpc* was refused."""
        self._counter.caller_refused(refusal)

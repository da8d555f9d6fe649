"""What is recorded: of every decision, and of every change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from authz_service.pdp.model import AccessRequest, Decision, Instant


class CallContext(NamedTuple):
    """Who asked, and how the call is known.

    Attributes:
        caller: The service that asks.
        request_id: The call's id.
        trace_id: The trace that it belongs to (W3C Trace Context), or None.
    """

    caller: str
    request_id: str
    trace_id: str | None = None


class DecisionRecord(NamedTuple):
    """One decision, as it is recorded.

    Attributes:
        decision_id: UUIDv7.
        evaluated_at: The instant at which it was judged.
        context: Who asked.
        request: The question; None where it was malformed.
        decision: The answer.
        policy_revision: The policy that judged.
        facts_revision: The state of the registry on which it rests.
        elapsed_microseconds: From the call's arrival to the record.
    """

    decision_id: str
    evaluated_at: Instant
    context: CallContext
    request: AccessRequest | None
    decision: Decision
    policy_revision: str
    facts_revision: int
    elapsed_microseconds: int


@dataclass(frozen=True, slots=True)
class EventRecord:
    """One change, or one reading of something that is watched.

    Attributes:
        event: ``facts_written``, ``facts_deleted``, ``conflict_resolved``, ``policy_reloaded``,
            ``policy_read``, ``journal_recovered`` …
        at: When.
        context: Who asked; None where the service itself did it.
        actor: The person who is answerable; None where there is none.
        details: What else, by name: ids, counts, digests and revisions; never free text.
    """

    event: str
    at: Instant
    context: CallContext | None
    actor: str | None
    details: tuple[tuple[str, str | int | tuple[str, ...]], ...] = ()


Record = DecisionRecord | EventRecord

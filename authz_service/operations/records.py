"""What is recorded: of every decision, and of every change."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from authz_service.operations.lists import ListRequest
from authz_service.operations.subjects import SubjectsRequest
from authz_service.pdp.emergency import OpeningRequest
from authz_service.pdp.model import AccessRequest, Decision, Instant


class CallContext(NamedTuple):
    """Who asked, and how the call is known.

    Attributes:
        caller: The service that asks.
        request_id: The call's id.
        trace_id: The trace that it belongs to (W3C Trace Context), or None.
        callers_revision: The callers file by which the caller was let in; empty where none was
            asked.
    """

    caller: str
    request_id: str
    trace_id: str | None = None
    callers_revision: str = ""


class RecordKind(StrEnum):
    """What a decision's record is of."""

    DECISION = "DECISION"
    PRESENTED = "PRESENTED"
    EXPLAINED = "EXPLAINED"


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
        kind: A single answer, a row of a list that is returned, or an answer that was explained.
        as_of: The instant by which an explained answer was judged; None where it was that of the
            answer.
    """

    decision_id: str
    evaluated_at: Instant
    context: CallContext
    request: AccessRequest | None
    decision: Decision
    policy_revision: str
    facts_revision: int
    elapsed_microseconds: int
    kind: RecordKind = RecordKind.DECISION
    as_of: Instant | None = None


class ListRecord(NamedTuple):
    """One page of a list, as it is recorded: LISTED, rows or none; EXPLAINED, to who asked why.

    Attributes:
        decision_id: UUIDv7.
        evaluated_at: The instant at which its rows were judged.
        context: Who asked.
        request: The question.
        rows: How many rows are returned.
        considered: How many candidates were judged for them.
        is_last: Whether nothing follows.
        policy_revision: The policy that judged.
        facts_revision: The state of the registry on which it rests.
        elapsed_microseconds: From the call's arrival to the record.
        explained: The recordings of a page that was not shown to the subject, but to who asked
            what the subject may; None where the subject was shown it.
    """

    decision_id: str
    evaluated_at: Instant
    context: CallContext
    request: ListRequest
    rows: int
    considered: int
    is_last: bool
    policy_revision: str
    facts_revision: int
    elapsed_microseconds: int
    explained: tuple[str, ...] | None = None


class SubjectsRecord(NamedTuple):
    """One page of those who may, as it is recorded: EXPLAINED, rows or none.

    Attributes:
        decision_id: UUIDv7.
        evaluated_at: The instant at which its rows were judged.
        context: Who asked.
        request: The question.
        subject_ids: Who was named.
        considered: How many candidates were judged for them.
        is_last: Whether nothing follows.
        policy_revision: The policy that judged.
        facts_revision: The state of the registry on which it rests.
        elapsed_microseconds: From the call's arrival to the record.
    """

    decision_id: str
    evaluated_at: Instant
    context: CallContext
    request: SubjectsRequest
    subject_ids: tuple[str, ...]
    considered: int
    is_last: bool
    policy_revision: str
    facts_revision: int
    elapsed_microseconds: int


class EmergencyRecord(NamedTuple):
    """One opening of emergency access, or its refusal, as it is recorded: EMERGENCY.

    Attributes:
        decision_id: UUIDv7.
        evaluated_at: The instant at which it was judged.
        context: Who asked.
        actor: The person who is answerable.
        request: The question. Of its reason the digest alone is recorded.
        decision: The answer.
        grant_id: The grant that was opened; None where none was.
        valid_to: When it ends; None where none was opened.
        policy_revision: The policy that judged.
        facts_revision: The state of the registry on which it rests; of an ALLOW, the one that holds
            the grant.
        elapsed_microseconds: From the call's arrival to the record.
    """

    decision_id: str
    evaluated_at: Instant
    context: CallContext
    actor: str
    request: OpeningRequest
    decision: Decision
    grant_id: str | None
    valid_to: Instant | None
    policy_revision: str
    facts_revision: int
    elapsed_microseconds: int


@dataclass(frozen=True, slots=True)
class EventRecord:
    """One change, or one reading of something that is watched.

    Attributes:
        event: ``facts_written``, ``facts_deleted``, ``conflict_resolved``, ``policy_reloaded``,
            ``policy_read``, ``callers_reloaded``, ``callers_file_refused``, ``caller_refused``,
            ``emergency_reviewed``, ``journal_recovered`` …
        at: When.
        context: Who asked; None where the service itself did it.
        actor: The person who is answerable; None where there is none.
        details: What else, by name: ids, counts, digests and revisions; never free text.
        actor_verified: Whether that person's own token said so; False where the caller did.
    """

    event: str
    at: Instant
    context: CallContext | None
    actor: str | None
    details: tuple[tuple[str, str | int | tuple[str, ...]], ...] = ()
    actor_verified: bool = False


Record = DecisionRecord | ListRecord | SubjectsRecord | EmergencyRecord | EventRecord

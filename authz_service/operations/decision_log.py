"""What auditors ask of the decision store, and what they are given."""

from __future__ import annotations

from typing import NamedTuple

from authz_service.pdp.model import Effect, Instant, Reason


class DecisionKey(NamedTuple):
    """Where a listing of decisions stands: it goes on with what is older, or of a smaller id.

    Attributes:
        evaluated_at: When it was judged.
        decision_id: The decision.
    """

    evaluated_at: Instant
    decision_id: str


class DecisionsQuestion(NamedTuple):
    """Which records are asked for: those to which all that is not None applies.

    Attributes:
        subject_id: About whom.
        recording_id: About which recording.
        patient_id: About whose recordings.
        caller: Asked by which service.
        effect: With which effect.
        reason: With which reason.
        kind: ``DECISION``, ``PRESENTED``, ``LISTED``, ``EXPLAINED`` or ``EMERGENCY``.
        evaluated_from: Judged at that instant or later.
        evaluated_to: Judged before that instant.
    """

    subject_id: str | None = None
    recording_id: str | None = None
    patient_id: str | None = None
    caller: str | None = None
    effect: Effect | None = None
    reason: Reason | None = None
    kind: str | None = None
    evaluated_from: Instant | None = None
    evaluated_to: Instant | None = None


class StoredRecord(NamedTuple):
    """A record as the decision store holds it.

    Attributes:
        key: When it was judged, and its id.
        content: Its own bytes: JSON, as the journal holds it.
        journal_id: The journal that it came from.
        sequence: The number of its line there.
        line_hash: The hash of that line, in hex.
    """

    key: DecisionKey
    content: bytes
    journal_id: str
    sequence: int
    line_hash: str

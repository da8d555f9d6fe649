"""An opening of emergency access as it is written: ids and words, and of the reason a digest."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Final

from authz_service.operations.records import EmergencyRecord

_FORMAT: Final = 1


def emergency(
    record: EmergencyRecord,
    software: str,
    situation: dict[str, object] | None,
    obligations: Sequence[dict[str, object]],
) -> dict[str, object]:
    """Return an opening, or its refusal, as it is written.

    Nobody has done anything with a recording yet, so it names no recording and no action. The
    patient is the one that was asked for, known or not.

    Args:
        record: The record.
        software: The version of the service.
        situation: What the policy saw, as it is written.
        obligations: What the answer obliges to, as it is written.
    """
    context, request, decision = record.context, record.request, record.decision
    return {
        "format": _FORMAT,
        "kind": "EMERGENCY",
        "decision_id": record.decision_id,
        "evaluated_at": record.evaluated_at,
        "request_id": context.request_id,
        "trace_id": context.trace_id,
        "caller": context.caller,
        "callers_revision": context.callers_revision,
        "actor": record.actor,
        "actor_verified": False,
        "subject_id": request.subject_id,
        "tenant_id": request.tenant_id,
        "patient_id": request.patient_id,
        "effect": decision.effect.value,
        "reason": decision.reason.value,
        "rule": decision.rule,
        "obligations": obligations,
        "situation": situation,
        "ground": request.ground.value,
        "reason_digest": sha256(request.reason.encode()).hexdigest(),
        "grant_id": record.grant_id,
        "valid_to": record.valid_to,
        "policy_revision": record.policy_revision,
        "facts_revision": record.facts_revision,
        "elapsed_microseconds": record.elapsed_microseconds,
        "software": software,
    }

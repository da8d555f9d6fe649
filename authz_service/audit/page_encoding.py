"""Pages of lists as they are written, and the words that every record is made of."""

from __future__ import annotations

from typing import TypeAlias

from authz_service.operations.lists import ListRequest
from authz_service.operations.records import ListRecord, RecordKind, SubjectsRecord
from authz_service.operations.subjects import SubjectsRequest
from authz_service.pdp.emergency import OpeningRequest
from authz_service.pdp.model import (
    AccessRequest,
    Action,
    Condition,
    Effect,
    PurposeOfUse,
    Reason,
    Relation,
)

Plain: TypeAlias = dict[str, object]
"""A JSON object, as Python holds it."""

FORMAT = 1
"""The format of records; it grows when a field changes its meaning."""

_EXPLAINED = RecordKind.EXPLAINED.value

# Plain strings: orjson takes an Enum apart by attribute access, at half a microsecond each.
TEXT: dict[str, str] = {
    member: member.value
    for members in (Action, Effect, Reason, Relation, PurposeOfUse, Condition)
    for member in members
}


def unseen(
    request: AccessRequest | ListRequest | SubjectsRequest | OpeningRequest | None,
) -> Plain | None:
    """Return the situation where no policy saw one: the purpose as asked, the rest unknown."""
    if request is None:
        return None
    purpose = TEXT[request.purpose_of_use]
    return {"roles": None, "relations": None, "purpose": purpose, "conditions": None}


def listed(record: ListRecord, software: str) -> Plain:
    """Return a page of a list as it is written; not the token that it came by."""
    context, request = record.context, record.request
    shown = record.explained
    return {
        "format": FORMAT,
        "kind": "LISTED" if shown is None else _EXPLAINED,
        "decision_id": record.decision_id,
        "evaluated_at": record.evaluated_at,
        "request_id": context.request_id,
        "trace_id": context.trace_id,
        "caller": context.caller,
        "callers_revision": context.callers_revision,
        "subject_id": request.subject_id,
        "tenant_id": request.tenant_id,
        "patient_id": request.patient_id,
        "action": TEXT[request.action],
        "situation": unseen(request),
        "created_from": request.created_from,
        "created_to": request.created_to,
        "page_size": request.page_size,
        "rows": record.rows,
        **({} if shown is None else {"recording_ids": shown}),
        "considered": record.considered,
        "is_last": record.is_last,
        "policy_revision": record.policy_revision,
        "facts_revision": record.facts_revision,
        "elapsed_microseconds": record.elapsed_microseconds,
        "software": software,
    }


def subjects(record: SubjectsRecord, software: str) -> Plain:
    """Return a page of those who may as it is written, with everybody whom it named."""
    context, request = record.context, record.request
    return {
        "format": FORMAT,
        "kind": _EXPLAINED,
        "decision_id": record.decision_id,
        "evaluated_at": record.evaluated_at,
        "request_id": context.request_id,
        "trace_id": context.trace_id,
        "caller": context.caller,
        "callers_revision": context.callers_revision,
        "tenant_id": request.tenant_id,
        "recording_id": request.recording_id,
        "action": TEXT[request.action],
        "situation": unseen(request),
        "page_size": request.page_size,
        "rows": len(record.subject_ids),
        "subject_ids": record.subject_ids,
        "considered": record.considered,
        "is_last": record.is_last,
        "policy_revision": record.policy_revision,
        "facts_revision": record.facts_revision,
        "elapsed_microseconds": record.elapsed_microseconds,
        "software": software,
    }

"""Records as canonical JSON: the only module that knows how a record is written down.

One append is one JSON object without a newline. A single record is its own object; several are
``{"format":1,"kind":"BATCH","records":[…]}``. Fields stand in a fixed order, nothing is indented,
instants are RFC 3339 in UTC, and what is unknown is null, never left out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import orjson

from authz_service.audit.encoded_emergency import emergency
from authz_service.audit.page_encoding import FORMAT, TEXT, Plain, listed, subjects, unseen
from authz_service.operations.records import (
    DecisionRecord,
    EmergencyRecord,
    EventRecord,
    ListRecord,
    Record,
    RecordKind,
    SubjectsRecord,
)
from authz_service.pdp.model import (
    Evidence,
    Obligation,
    Relation,
    Situation,
)

_DECISION = RecordKind.DECISION
_PRESENTED = RecordKind.PRESENTED.value
_EXPLAINED = RecordKind.EXPLAINED
_OPTIONS = orjson.OPT_UTC_Z
_MOST_REMEMBERED = 4096


def line_encoder(software: str) -> Callable[[Sequence[Record]], bytes]:
    """Return a function from the records of one append to its line, without the newline.

    The function is called on one thread at a time and raises `ValueError` where it is given no
    record. It remembers the text of situations, of which there are few.

    Args:
        software: The version of the service, put into every record.
    """
    situation_text = _remembering_situations()

    def plain(record: Record) -> Plain:
        if isinstance(record, DecisionRecord):
            decision = _decision(record, software, situation_text)
            return _explained(decision, record) if record.kind is _EXPLAINED else decision
        return _seldom(record, software)

    def encoded(records: Sequence[Record]) -> bytes:
        if len(records) == 1:
            return orjson.dumps(plain(records[0]), option=_OPTIONS)
        if not records:
            raise ValueError("an append needs a record")
        batch = {"format": FORMAT, "kind": "BATCH", "records": [plain(each) for each in records]}
        return orjson.dumps(batch, option=_OPTIONS)

    return encoded


def records_in(line: bytes) -> list[Plain]:
    """Return the records of one append, from the line that `line_encoder` made of them.

    Raises:
        ValueError: The line is not a JSON object.
    """
    read = orjson.loads(line)
    if not isinstance(read, dict):
        raise ValueError("a line holds one JSON object")  # noqa: TRY004  # the bytes are wrong
    if read.get("kind") == "BATCH":
        return list(read["records"])
    return [read]


def _decision(
    record: DecisionRecord, software: str, situation_text: Callable[[Situation], orjson.Fragment]
) -> Plain:
    """Return a decision as it is written. The hot path: every answer waits for it."""
    decision_id, evaluated_at, context, request, decision, policy, revision, spent, kind, _ = record
    caller, request_id, trace_id, callers_revision = context
    effect, reason, rule, obligations, patient_id, situation, evidence = decision
    subject_id = tenant_id = recording_id = action = None
    if request is not None:
        subject_id, recording_id, action, _, tenant_id, _, _, _ = request
    return {
        "format": FORMAT,
        "kind": "DECISION" if kind is _DECISION else _PRESENTED,
        "decision_id": decision_id,
        "evaluated_at": evaluated_at,
        "request_id": request_id,
        "trace_id": trace_id,
        "caller": caller,
        "callers_revision": callers_revision,
        "subject_id": subject_id,
        "tenant_id": tenant_id,
        "recording_id": recording_id,
        "patient_id": patient_id,
        "action": TEXT[action] if action else None,
        "effect": TEXT[effect],
        "reason": TEXT[reason],
        "rule": rule,
        "obligations": _obligations(obligations) if obligations else [],
        "situation": unseen(request) if situation is None else situation_text(situation),
        "evidence": _evidence(evidence) if evidence else {},
        "policy_revision": policy,
        "facts_revision": revision,
        "elapsed_microseconds": spent,
        "software": software,
    }


def _explained(decision: Plain, record: DecisionRecord) -> Plain:
    """Return a decision as what it is: explained to somebody, at an instant that they may name."""
    return {**decision, "kind": _EXPLAINED.value, "as_of": record.as_of}


def _seldom(
    record: ListRecord | SubjectsRecord | EmergencyRecord | EventRecord, software: str
) -> Plain:
    """Return what is not a decision of its own as it is written."""
    if isinstance(record, ListRecord):
        return listed(record, software)
    if isinstance(record, SubjectsRecord):
        return subjects(record, software)
    if isinstance(record, EmergencyRecord):
        return _opened(record, software)
    return _event(record, software)


def _opened(record: EmergencyRecord, software: str) -> Plain:
    """Return an opening of emergency access, or its refusal, as it is written."""
    seen, asked = record.decision.situation, record.request
    situation = unseen(asked) if seen is None else _situation(seen)
    return emergency(record, software, situation, _obligations(record.decision.obligations))


def _remembering_situations() -> Callable[[Situation], orjson.Fragment]:
    """Return a function from a situation to its text, which remembers."""
    remembered: dict[Situation, orjson.Fragment] = {}

    def text_of(situation: Situation) -> orjson.Fragment:
        text = remembered.get(situation)
        if text is None:
            if len(remembered) >= _MOST_REMEMBERED:
                remembered.clear()
            text = remembered[situation] = orjson.Fragment(orjson.dumps(_situation(situation)))
        return text

    return text_of


def _situation(situation: Situation) -> Plain:
    """Return what the policy saw, its sets in order."""
    return {
        "roles": sorted(situation.roles),
        "relations": sorted(TEXT[each] for each in situation.relations),
        "purpose": TEXT[situation.purpose_of_use],
        "conditions": sorted(TEXT[each] for each in situation.conditions),
    }


def _evidence(evidence: tuple[tuple[Relation, tuple[Evidence, ...]], ...]) -> Plain:
    """Return for each relation the facts that gave it."""
    found: Plain = {}
    for relation, facts in evidence:
        found[TEXT[relation]] = [
            {"kind": kind, "id": fact_id, "revision": revision} for kind, fact_id, revision in facts
        ]
    return found


def _obligations(obligations: tuple[Obligation, ...]) -> list[Plain]:
    """Return obligations as they are written."""
    return [{"id": each.id, "parameters": dict(each.parameters)} for each in obligations]


def _event(record: EventRecord, software: str) -> Plain:
    """Return an event as it is written; its kind is the event's name in upper case."""
    context = record.context
    return {
        "format": FORMAT,
        "kind": record.event.upper(),
        "at": record.at,
        "request_id": context.request_id if context else None,
        "trace_id": context.trace_id if context else None,
        "caller": context.caller if context else None,
        "callers_revision": context.callers_revision if context else None,
        "actor": record.actor,
        "actor_verified": None if record.actor is None else record.actor_verified,
        "details": dict(record.details),
        "software": software,
    }

"""Questions about the decision log out of their messages, and records into theirs."""

from __future__ import annotations

import re
from typing import Any

import orjson

from authz_service.api.v1 import decision_log_pb2 as pb
from authz_service.api.v1 import vocabulary_pb2 as words
from authz_service.identity.callers_file import is_caller
from authz_service.operations.decision_log import DecisionsQuestion, StoredRecord
from authz_service.pdp.errors import InvalidRequestError, Violation
from authz_service.pdp.model import Instant, Reason, is_id
from authz_service.server.convert import (
    EFFECTS,
    ID_HINT,
    REASONS,
    instant_from_proto,
    set_instant,
)

MAX_PAGE = 500
"""Most records on a page."""
DEFAULT_PAGE = 50
"""Records on a page where the caller does not say."""

KINDS = {
    pb.RECORD_KIND_DECISION: "DECISION",
    pb.RECORD_KIND_PRESENTED: "PRESENTED",
    pb.RECORD_KIND_LISTED: "LISTED",
    pb.RECORD_KIND_EXPLAINED: "EXPLAINED",
    pb.RECORD_KIND_EMERGENCY: "EMERGENCY",
}
_NEVER_RECORDED = {Reason.ALLOWED, Reason.NOT_AVAILABLE}
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_TEXTS = (
    "decision_id", "caller", "request_id", "trace_id", "subject_id", "tenant_id", "recording_id",
    "patient_id", "rule", "policy_revision",
    "callers_revision",
)  # fmt: skip


def _numbers_of(enum: Any, prefix: str) -> dict[str, int]:
    """Return the numbers of *enum* by the words of a record."""
    return {name.removeprefix(prefix): number for name, number in enum.items()}


_ENUMS = (
    ("kind", _numbers_of(pb.RecordKind, "RECORD_KIND_")),
    ("action", _numbers_of(words.Action, "ACTION_")),
    ("effect", _numbers_of(words.Effect, "EFFECT_")),
    ("reason", _numbers_of(words.Reason, "REASON_")),
)


def decision_id_of(message: pb.GetDecisionRequest) -> str:
    """Return the id that *message* asks for.

    Raises:
        InvalidRequestError: It is missing, or no UUID.
    """
    if not message.decision_id:
        raise InvalidRequestError(Violation("decision_id", "is missing"))
    if not _UUID.fullmatch(message.decision_id):
        raise InvalidRequestError(
            Violation("decision_id", "is no UUID in lower case, as answers carry it")
        )
    return message.decision_id


def question_of(message: pb.ListDecisionsRequest) -> DecisionsQuestion:
    """Return the question that *message* asks.

    Raises:
        InvalidRequestError: Names every field that is malformed.
    """
    violations = _malformed(message)
    evaluated_from = _instant(message, "evaluated_from", violations)
    evaluated_to = _instant(message, "evaluated_to", violations)
    if evaluated_from and evaluated_to and evaluated_from >= evaluated_to:
        violations.append(Violation("evaluated_to", "is not after evaluated_from"))
    if violations:
        raise InvalidRequestError(*violations)
    return DecisionsQuestion(
        subject_id=message.subject_id or None,
        recording_id=message.recording_id or None,
        patient_id=message.patient_id or None,
        caller=message.caller or None,
        effect=EFFECTS.get(message.effect),
        reason=REASONS.get(message.reason),
        kind=KINDS.get(message.kind),
        evaluated_from=evaluated_from,
        evaluated_to=evaluated_to,
    )


def _malformed(message: pb.ListDecisionsRequest) -> list[Violation]:
    """Return what is malformed beside the instants, in the order of the fields."""
    found = [
        Violation(field, ID_HINT)
        for field in ("subject_id", "recording_id", "patient_id")
        if getattr(message, field) and not is_id(getattr(message, field))
    ]
    if message.caller and not is_caller(message.caller):
        found.append(Violation("caller", "is no caller: a SPIFFE ID with a path, or loopback"))
    enums: tuple[tuple[str, Any], ...] = (("effect", EFFECTS), ("reason", REASONS), ("kind", KINDS))
    for field, known in enums:
        number = getattr(message, field)
        if number and number not in known:
            found.append(Violation(field, f"has no value {number}"))
    if REASONS.get(message.reason) in _NEVER_RECORDED:
        found.append(Violation("reason", "is never recorded: records hold reasons in full"))
    if not 0 <= message.page_size <= MAX_PAGE:
        found.append(Violation("page_size", f"is not 1 to {MAX_PAGE}, nor 0 for {DEFAULT_PAGE}"))
    return found


def _instant(
    message: pb.ListDecisionsRequest, field: str, violations: list[Violation]
) -> Instant | None:
    """Return the instant in *field*; None where it has none, or a malformed one, which is noted."""
    if not message.HasField(field):  # type: ignore[arg-type]  # a name out of this module
        return None
    try:
        return instant_from_proto(getattr(message, field), field)
    except InvalidRequestError as error:
        violations.extend(error.violations)
        return None


def fill_record(message: pb.DecisionRecord, stored: StoredRecord) -> None:
    """Put *stored* into *message*. What it says in a word not known here stands in its JSON only.

    Raises:
        ValueError: The record is no JSON object in UTF-8.
    """
    plain = orjson.loads(stored.content)
    for name in _TEXTS:
        text = plain.get(name)
        if text:
            setattr(message, name, text)
    for name, numbers in _ENUMS:
        number = numbers.get(plain.get(name))
        if number:
            setattr(message, name, number)
    for each in plain.get("obligations") or ():
        message.obligations.add(id=each["id"], parameters=each["parameters"])
    message.facts_revision = plain.get("facts_revision") or 0
    set_instant(message.evaluated_at, stored.key.evaluated_at)
    message.json = stored.content.decode()
    message.journal_id = stored.journal_id
    message.journal_sequence = stored.sequence
    message.journal_line_hash = stored.line_hash

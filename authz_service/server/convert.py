"""Messages to values and back. Everything that a caller can get wrong is found here."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any, TypeVar

from google.protobuf import timestamp_pb2
from google.protobuf.message import Message

from authz_service.api.v1 import recording_access_pb2 as pb
from authz_service.api.v1 import vocabulary_pb2 as words
from authz_service.identity.caller_rules import CallerRule
from authz_service.operations.records import DecisionRecord
from authz_service.pdp.errors import InvalidRequestError, Violation
from authz_service.pdp.model import (
    MAX_ID_LENGTH,
    AccessRequest,
    Action,
    Assurance,
    Effect,
    Instant,
    PurposeOfUse,
    Reason,
    is_id,
)
from authz_service.pdp.reasons import reason_for

E = TypeVar("E", bound=Enum)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ID_HINT = (
    "is not an id: ASCII letters and digits, joined by single . _ or -, "
    f"1 to {MAX_ID_LENGTH} bytes; ids are never mended"
)


def numbers_of(enum: type[E], names: Any, prefix: str) -> Mapping[int, E]:
    """Return the members of *enum* by their numbers on the wire."""
    return {names.Value(prefix + member.name): member for member in enum}


ACTIONS = numbers_of(Action, words.Action, "ACTION_")
PURPOSES = numbers_of(PurposeOfUse, words.PurposeOfUse, "PURPOSE_OF_USE_")
ASSURANCES = numbers_of(Assurance, words.Assurance, "ASSURANCE_")
EFFECTS = numbers_of(Effect, words.Effect, "EFFECT_")
REASONS = numbers_of(Reason, words.Reason, "REASON_")
ACTION_NUMBERS = {member: number for number, member in ACTIONS.items()}
EFFECT_NUMBERS = {member: number for number, member in EFFECTS.items()}
REASON_NUMBERS = {member: number for number, member in REASONS.items()}


def request_from_proto(message: pb.CheckAccessRequest, rule: CallerRule) -> AccessRequest:
    """Return the question that *message* asks.

    Raises:
        InvalidRequestError: Names every field that is malformed.
        CallerNotAllowedError: The caller may not ask it.
    """
    context = message.context
    action = ACTIONS.get(message.action)
    purpose = PURPOSES.get(context.purpose_of_use)
    subject_id, recording_id = message.subject.id, message.recording_id
    tenant_id, matter_id = message.tenant_id, context.matter_id
    assurance = ASSURANCES.get(context.assurance)
    if (
        action is None
        or purpose is None
        or not is_id(subject_id)
        or not is_id(recording_id)
        or (tenant_id and not is_id(tenant_id))
        or (matter_id and not is_id(matter_id))
        or (assurance is None and context.assurance)
        or (rule.tenants is not None and not tenant_id)
    ):
        raise InvalidRequestError(*_violations(message, rule))
    authenticated_at = (
        instant_from_proto(context.authenticated_at, "context.authenticated_at")
        if context.HasField("authenticated_at")
        else None
    )
    rule.require(tenant_id, action, purpose)
    trusted = "assert_assurance" in rule.may
    return AccessRequest(
        subject_id,
        recording_id,
        action,
        purpose,
        tenant_id or None,
        assurance if trusted else None,
        authenticated_at if trusted else None,
        matter_id or None,
    )


def _violations(message: pb.CheckAccessRequest, rule: CallerRule) -> list[Violation]:
    """Return what is malformed in *message*, in the order of its fields."""
    context = message.context
    found = []
    for field, text, required in (
        ("subject.id", message.subject.id, True),
        ("recording_id", message.recording_id, True),
        ("tenant_id", message.tenant_id, rule.tenants is not None),
        ("context.matter_id", context.matter_id, False),
    ):
        if not text and required:
            found.append(Violation(field, "is missing"))
        elif text and not is_id(text):
            found.append(Violation(field, ID_HINT))
    for field, number, known, required in (
        ("action", message.action, ACTIONS, True),
        ("context.purpose_of_use", context.purpose_of_use, PURPOSES, True),
        ("context.assurance", context.assurance, ASSURANCES, False),
    ):
        if not number and required:
            found.append(Violation(field, "is missing"))
        elif number and number not in known:
            found.append(Violation(field, f"has no value {number}"))
    try:
        instant_from_proto(context.authenticated_at, "context.authenticated_at")
    except InvalidRequestError as error:
        found.extend(error.violations)
    return found


def filled(item: pb.CheckAccessRequest, defaults: pb.CheckAccessRequest) -> pb.CheckAccessRequest:
    """Return *item* with whole fields that it leaves out taken from *defaults*."""
    present = {field.name for field, _ in item.ListFields()}
    merged = pb.CheckAccessRequest()
    merged.CopyFrom(item)
    for field, value in defaults.ListFields():
        if field.name in present:
            continue
        if field.message_type is not None:
            getattr(merged, field.name).CopyFrom(value)
        else:
            setattr(merged, field.name, value)
    return merged


def instant_from_proto(stamp: timestamp_pb2.Timestamp, field: str) -> Instant:
    """Return the instant of *stamp*, finer than a microsecond cut off.

    Raises:
        InvalidRequestError: It is outside of the years 1 to 9999, or its nanoseconds of a second.
    """
    try:
        if 0 <= stamp.nanos <= 999_999_999:  # noqa: PLR2004  # nanoseconds in a second
            return _EPOCH + timedelta(seconds=stamp.seconds, microseconds=stamp.nanos // 1000)
    except OverflowError:
        pass
    raise InvalidRequestError(Violation(field, "is not an instant of the years 1 to 9999"))


def check_instants(message: Message, path: str) -> None:
    """Refuse a message in which an instant does not exist.

    Raises:
        InvalidRequestError: Names the field, as in ``facts[3].delegation.valid_to``.
    """
    if isinstance(message, timestamp_pb2.Timestamp):
        instant_from_proto(message, path)
        return
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        place = f"{path}.{field.name}"
        if isinstance(value, Message):
            check_instants(value, place)
        else:
            for index, item in enumerate(value):
                check_instants(item, f"{place}[{index}]")


def instant_to_proto(instant: Instant) -> timestamp_pb2.Timestamp:
    """Return *instant* as a message."""
    stamp = timestamp_pb2.Timestamp()
    set_instant(stamp, instant)
    return stamp


def set_instant(stamp: timestamp_pb2.Timestamp, instant: Instant) -> None:
    """Set *stamp* to *instant*."""
    since = instant - _EPOCH
    stamp.seconds = since.days * 86400 + since.seconds
    stamp.nanos = since.microseconds * 1000


def response_to_proto(record: DecisionRecord, rule: CallerRule) -> pb.CheckAccessResponse:
    """Return the answer that *record* holds, as the caller of *rule* is told it."""
    response = pb.CheckAccessResponse()
    fill_response(response, record, rule)
    return response


def fill_response(
    response: pb.CheckAccessResponse, record: DecisionRecord, rule: CallerRule
) -> None:
    """Put the answer that *record* holds into *response*; field by field is the fastest way."""
    request, decision = record.request, record.decision
    reason = decision.reason
    if not rule.may_explain:
        reason = reason_for(reason, may_explain=False)
    response.effect = EFFECT_NUMBERS[decision.effect]  # type: ignore[assignment]  # enums are ints
    response.reason = REASON_NUMBERS[reason]  # type: ignore[assignment]  # enums are ints
    response.decision_id = record.decision_id
    response.policy_revision = record.policy_revision
    response.facts_revision = record.facts_revision
    set_instant(response.evaluated_at, record.evaluated_at)
    response.request_id = record.context.request_id
    if request is not None:
        response.subject_id = request.subject_id
        response.recording_id = request.recording_id
        response.action = ACTION_NUMBERS[request.action]  # type: ignore[assignment]  # as above
    for obligation in decision.obligations:
        response.obligations.add(id=obligation.id, parameters=dict(obligation.parameters))


def echo_malformed(response: pb.CheckAccessResponse, item: pb.CheckAccessRequest) -> None:
    """Echo a malformed item as it came: its sender knows it, and the record does not hold it."""
    response.subject_id = item.subject.id
    response.recording_id = item.recording_id
    response.action = item.action


def require_actor(actor: str) -> str:
    """Return *actor*, the person who is answerable for a change.

    Raises:
        InvalidRequestError: It is missing or not an id.
    """
    if not actor:
        raise InvalidRequestError(
            Violation("actor", "is missing; name the person who is answerable for the change")
        )
    if not is_id(actor):
        raise InvalidRequestError(Violation("actor", ID_HINT))
    return actor

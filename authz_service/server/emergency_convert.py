"""The messages of EmergencyAccessService to values and back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from google.protobuf import json_format

from authz_service.api.v1 import emergency_access_pb2 as pb
from authz_service.api.v1 import entities_pb2 as entities
from authz_service.identity.caller_rules import CallerRule
from authz_service.operations.emergency_access import AccessesShown
from authz_service.operations.emergency_ports import AccessesQuestion, AccessState
from authz_service.operations.open_emergency import Asked, Opened
from authz_service.pdp.emergency import APPROVER, OpeningRequest
from authz_service.pdp.entities import Grant
from authz_service.pdp.entity_plain import entity_to_plain
from authz_service.pdp.entity_words import EmergencyGround, ReviewVerdict
from authz_service.pdp.errors import InvalidRequestError, Violation
from authz_service.pdp.model import Action, is_id
from authz_service.pdp.reasons import reason_for
from authz_service.server.convert import (
    ASSURANCES,
    EFFECT_NUMBERS,
    ID_HINT,
    PURPOSES,
    REASON_NUMBERS,
    instant_from_proto,
    numbers_of,
    require_actor,
    set_instant,
)

MAX_WORDS = 4096
"""Most characters of a reason or a note."""
MAX_PAGE = 500
"""Most accesses on a page."""
DEFAULT_PAGE = 50
"""Accesses on a page where the caller does not say."""
GRANT = "grant"

GROUNDS = numbers_of(EmergencyGround, entities.EmergencyGround, "EMERGENCY_GROUND_")
VERDICTS = numbers_of(ReviewVerdict, entities.ReviewVerdict, "REVIEW_VERDICT_")
STATES = numbers_of(AccessState, pb.EmergencyAccessState, "EMERGENCY_ACCESS_STATE_")


def asked_from_proto(
    message: pb.OpenEmergencyAccessRequest, rule: CallerRule, started_ns: int
) -> Asked:
    """Return the question that *message* asks.

    Raises:
        InvalidRequestError: Names every field that is malformed.
        CallerNotAllowedError: The caller may not ask it.
    """
    found = [*_wrong_ids(message, rule), *_wrong_words(message)]
    context = message.context
    authenticated_at = None
    if context.HasField("authenticated_at"):
        try:
            authenticated_at = instant_from_proto(
                context.authenticated_at, "context.authenticated_at"
            )
        except InvalidRequestError as error:
            found.extend(error.violations)
    if found:
        raise InvalidRequestError(*found)
    purpose = PURPOSES[context.purpose_of_use]
    rule.require(message.tenant_id, Action.VIEW, purpose)
    trusted = "assert_assurance" in rule.may
    request = OpeningRequest(
        message.subject.id,
        message.patient_id,
        purpose,
        GROUNDS[message.ground],
        message.reason,
        message.tenant_id or None,
        ASSURANCES.get(context.assurance) if trusted else None,
        authenticated_at if trusted else None,
        context.matter_id or None,
    )
    return Asked(
        request,
        message.actor or request.subject_id,
        source_for(rule),
        message.at_least_facts_revision,
        started_ns,
    )


def source_for(rule: CallerRule) -> str:
    """Return the source as which the caller of *rule* writes grants, or the service's own."""
    return rule.source_of(GRANT) or APPROVER


def _wrong_ids(message: pb.OpenEmergencyAccessRequest, rule: CallerRule) -> Iterator[Violation]:
    """Yield the ids that are missing or none."""
    for field, text, required in (
        ("subject.id", message.subject.id, True),
        ("patient_id", message.patient_id, True),
        ("tenant_id", message.tenant_id, rule.tenants is not None),
        ("context.matter_id", message.context.matter_id, False),
        ("actor", message.actor, False),
    ):
        if not text and required:
            yield Violation(field, "is missing")
        elif text and not is_id(text):
            yield Violation(field, ID_HINT)


def _wrong_words(message: pb.OpenEmergencyAccessRequest) -> Iterator[Violation]:
    """Yield the words that are missing or unknown."""
    context = message.context
    for field, number, known, required in (
        ("ground", message.ground, GROUNDS, True),
        ("context.purpose_of_use", context.purpose_of_use, PURPOSES, True),
        ("context.assurance", context.assurance, ASSURANCES, False),
    ):
        if not number and required:
            yield Violation(field, "is missing")
        elif number and number not in known:
            yield Violation(field, f"has no value {number}")
    if not message.reason.strip():
        yield Violation("reason", "is missing; write why access is needed")
    elif len(message.reason) > MAX_WORDS:
        yield Violation("reason", f"is longer than {MAX_WORDS} characters")


def opened_to_proto(opened: Opened, rule: CallerRule) -> pb.OpenEmergencyAccessResponse:
    """Return an answer as the caller of *rule* is told it."""
    record, grant = opened
    decision = record.decision
    reason = reason_for(decision.reason, may_explain=rule.may_explain)
    response = pb.OpenEmergencyAccessResponse(
        decision_id=record.decision_id,
        policy_revision=record.policy_revision,
        facts_revision=record.facts_revision,
        subject_id=record.request.subject_id,
        patient_id=record.request.patient_id,
        request_id=record.context.request_id,
    )
    response.effect = EFFECT_NUMBERS[decision.effect]  # type: ignore[assignment]  # enums are ints
    response.reason = REASON_NUMBERS[reason]  # type: ignore[assignment]  # enums are ints
    set_instant(response.evaluated_at, record.evaluated_at)
    for obligation in decision.obligations:
        response.obligations.add(id=obligation.id, parameters=dict(obligation.parameters))
    if grant is not None:
        grant_to_proto(grant, response.grant)
    return response


def grant_to_proto(grant: Grant, message: entities.Grant) -> None:
    """Put *grant* into *message*, as it is stored."""
    plain: Any = entity_to_plain(grant, long_names=True)
    json_format.ParseDict(plain, message)


def question_from_proto(message: pb.ListEmergencyAccessRequest) -> AccessesQuestion:
    """Return which accesses *message* asks for.

    Raises:
        InvalidRequestError: Names every field that is malformed.
    """
    found = [
        Violation(field, ID_HINT)
        for field, text in (("subject_id", message.subject_id), ("patient_id", message.patient_id))
        if text and not is_id(text)
    ]
    if message.state and message.state not in STATES:
        found.append(Violation("state", f"has no value {message.state}"))
    if not 0 <= message.page_size <= MAX_PAGE:
        found.append(Violation("page_size", f"is not 1 to {MAX_PAGE}, nor 0 for {DEFAULT_PAGE}"))
    if found:
        raise InvalidRequestError(*found)
    return AccessesQuestion(
        message.subject_id or None, message.patient_id or None, STATES.get(message.state)
    )


def page_size_of(message: pb.ListEmergencyAccessRequest) -> int:
    """Return how many accesses at most *message* asks for."""
    return message.page_size or DEFAULT_PAGE


def accesses_to_proto(shown: AccessesShown) -> pb.ListEmergencyAccessResponse:
    """Return a page as the wire has it."""
    response = pb.ListEmergencyAccessResponse(
        next_page_token=shown.next_page_token, facts_revision=shown.page.revision
    )
    for grant in shown.page.grants:
        grant_to_proto(grant, response.grants.add())
    return response


def review_from_proto(message: pb.ReviewEmergencyAccessRequest) -> ReviewVerdict:
    """Return what *message* says of an access; the rest of it is checked.

    Raises:
        InvalidRequestError: Names the field that is malformed.
    """
    require_actor(message.actor)
    found = []
    if not is_id(message.id):
        found.append(Violation("id", "is missing or not an id"))
    if message.verdict not in VERDICTS:
        found.append(Violation("verdict", "is missing; say JUSTIFIED or UNJUSTIFIED"))
    if len(message.note) > MAX_WORDS:
        found.append(Violation("note", f"is longer than {MAX_WORDS} characters"))
    if found:
        raise InvalidRequestError(*found)
    return VERDICTS[message.verdict]

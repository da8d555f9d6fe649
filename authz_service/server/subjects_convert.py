"""ListSubjects out of its message and into it."""

from __future__ import annotations

from authz_service.api.v1 import recording_access_pb2 as pb
from authz_service.identity.caller_rules import CallerRule
from authz_service.operations.list_recordings import DEFAULT_PAGE
from authz_service.operations.list_subjects import SubjectsOutcome
from authz_service.operations.subjects import SubjectsRequest
from authz_service.pdp.errors import InvalidRequestError, Violation
from authz_service.pdp.model import is_id
from authz_service.server.convert import (
    ACTION_NUMBERS,
    ACTIONS,
    ASSURANCES,
    ID_HINT,
    PURPOSES,
    set_instant,
)
from authz_service.server.list_convert import instant_in, wrong_circumstances, wrong_size


def subjects_request_from_proto(
    message: pb.ListSubjectsRequest, rule: CallerRule
) -> SubjectsRequest:
    """Return the question that *message* asks.

    Raises:
        InvalidRequestError: Names every field that is malformed.
        CallerNotAllowedError: The caller may not ask it.
    """
    context = message.context
    found = [
        *_wrong_ids(message, rule),
        *_wrong_action(message),
        *wrong_circumstances(context),
        *wrong_size(message.page_size),
    ]
    authenticated_at = instant_in(context, "context.authenticated_at", found)
    if found:
        raise InvalidRequestError(*found)
    action, purpose = ACTIONS[message.action], PURPOSES[context.purpose_of_use]
    rule.require(message.tenant_id, action, purpose)
    trusted = "assert_assurance" in rule.may
    return SubjectsRequest(
        message.recording_id,
        action,
        purpose,
        message.tenant_id or None,
        ASSURANCES.get(context.assurance) if trusted else None,
        authenticated_at if trusted else None,
        context.matter_id or None,
        message.page_size or DEFAULT_PAGE,
        message.page_token,
    )


def _wrong_ids(message: pb.ListSubjectsRequest, rule: CallerRule) -> list[Violation]:
    """Return the ids that are missing or none."""
    found = []
    for field, text, required in (
        ("recording_id", message.recording_id, True),
        ("tenant_id", message.tenant_id, rule.tenants is not None),
        ("context.matter_id", message.context.matter_id, False),
    ):
        if not text and required:
            found.append(Violation(field, "is missing"))
        elif text and not is_id(text):
            found.append(Violation(field, ID_HINT))
    return found


def _wrong_action(message: pb.ListSubjectsRequest) -> list[Violation]:
    """Return what is wrong with the action."""
    if not message.action:
        return [Violation("action", "is missing")]
    if message.action not in ACTIONS:
        return [Violation("action", f"has no value {message.action}")]
    return []


def subjects_response_to_proto(outcome: SubjectsOutcome) -> pb.ListSubjectsResponse:
    """Return the answer that *outcome* holds."""
    record = outcome.record
    response = pb.ListSubjectsResponse(
        next_page_token=outcome.next_page_token,
        decision_id=record.decision_id,
        policy_revision=record.policy_revision,
        facts_revision=record.facts_revision,
        recording_id=record.request.recording_id,
        request_id=record.context.request_id,
    )
    response.action = ACTION_NUMBERS[record.request.action]  # type: ignore[assignment]  # enums are ints
    set_instant(response.evaluated_at, record.evaluated_at)
    for row in outcome.rows:
        response.subjects.add(
            subject_id=row.subject_id,
            rule=row.rule,
            relations=[relation.value for relation in row.relations],
        )
    return response

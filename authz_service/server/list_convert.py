"""ListRecordings out of its message and into it."""

from __future__ import annotations

from authz_service.api.v1 import recording_access_pb2 as pb
from authz_service.api.v1 import vocabulary_pb2 as words
from authz_service.identity.caller_rules import CallerRule
from authz_service.operations.list_recordings import DEFAULT_PAGE, MAX_PAGE, ListOutcome
from authz_service.operations.lists import ListRequest
from authz_service.pdp.errors import InvalidRequestError, Violation
from authz_service.pdp.model import Action, Instant, is_id
from authz_service.server.convert import (
    ACTION_NUMBERS,
    ACTIONS,
    ASSURANCES,
    ID_HINT,
    PURPOSES,
    instant_from_proto,
    set_instant,
)

_LISTED = {**ACTIONS, words.ACTION_UNSPECIFIED: Action.LIST}


def list_request_from_proto(message: pb.ListRecordingsRequest, rule: CallerRule) -> ListRequest:
    """Return the question that *message* asks.

    Raises:
        InvalidRequestError: Names every field that is malformed.
        CallerNotAllowedError: The caller may not ask it.
    """
    context = message.context
    found = [*_wrong_ids(message, rule), *_wrong_words(message), *wrong_size(message.page_size)]
    authenticated_at = instant_in(context, "context.authenticated_at", found)
    created_from = instant_in(message, "created_from", found)
    created_to = instant_in(message, "created_to", found)
    if created_from and created_to and created_from >= created_to:
        found.append(Violation("created_to", "is not after created_from"))
    if found:
        raise InvalidRequestError(*found)
    action, purpose = _LISTED[message.action], PURPOSES[context.purpose_of_use]
    rule.require(message.tenant_id, action, purpose)
    if message.explained:
        rule.require_power("explain", "ask what somebody may")
    trusted = "assert_assurance" in rule.may
    return ListRequest(
        message.subject.id,
        action,
        purpose,
        message.tenant_id or None,
        ASSURANCES.get(context.assurance) if trusted else None,
        authenticated_at if trusted else None,
        context.matter_id or None,
        message.patient_id or None,
        created_from,
        created_to,
        message.page_size or DEFAULT_PAGE,
        message.page_token,
        message.explained,
    )


def _wrong_ids(message: pb.ListRecordingsRequest, rule: CallerRule) -> list[Violation]:
    """Return the ids that are missing or none."""
    found = []
    for field, text, required in (
        ("subject.id", message.subject.id, True),
        ("tenant_id", message.tenant_id, rule.tenants is not None),
        ("context.matter_id", message.context.matter_id, False),
        ("patient_id", message.patient_id, False),
    ):
        if not text and required:
            found.append(Violation(field, "is missing"))
        elif text and not is_id(text):
            found.append(Violation(field, ID_HINT))
    return found


def _wrong_words(message: pb.ListRecordingsRequest) -> list[Violation]:
    """Return the enum values that are missing or unknown."""
    found = []
    if message.action not in _LISTED:
        found.append(Violation("action", f"has no value {message.action}"))
    return found + wrong_circumstances(message.context)


def wrong_circumstances(context: pb.AccessContext) -> list[Violation]:
    """Return the enum values of the circumstances that are missing or unknown."""
    found = []
    if not context.purpose_of_use:
        found.append(Violation("context.purpose_of_use", "is missing"))
    elif context.purpose_of_use not in PURPOSES:
        text = f"has no value {context.purpose_of_use}"
        found.append(Violation("context.purpose_of_use", text))
    if context.assurance and context.assurance not in ASSURANCES:
        found.append(Violation("context.assurance", f"has no value {context.assurance}"))
    return found


def wrong_size(page_size: int) -> list[Violation]:
    """Return what is wrong with a page's size."""
    if 0 <= page_size <= MAX_PAGE:
        return []
    return [Violation("page_size", f"is not 1 to {MAX_PAGE}, nor 0 for {DEFAULT_PAGE}")]


def instant_in(
    message: pb.ListRecordingsRequest | pb.AccessContext, path: str, found: list[Violation]
) -> Instant | None:
    """Return the instant at *path*; None where there is none, or one that is noted as malformed."""
    field = path.rpartition(".")[2]
    if not message.HasField(field):  # type: ignore[arg-type]  # a name out of this module
        return None
    try:
        return instant_from_proto(getattr(message, field), path)
    except InvalidRequestError as error:
        found.extend(error.violations)
        return None


def list_response_to_proto(outcome: ListOutcome) -> pb.ListRecordingsResponse:
    """Return the answer that *outcome* holds."""
    record = outcome.record
    request = record.request
    response = pb.ListRecordingsResponse(
        next_page_token=outcome.next_page_token,
        decision_id=record.decision_id,
        policy_revision=record.policy_revision,
        facts_revision=record.facts_revision,
        subject_id=request.subject_id,
        patient_id=request.patient_id or "",
        request_id=record.context.request_id,
    )
    response.action = ACTION_NUMBERS[request.action]  # type: ignore[assignment]  # enums are ints
    set_instant(response.evaluated_at, record.evaluated_at)
    for created_at, presented in outcome.rows:
        row = response.recordings.add()
        if presented.request is not None:
            row.recording_id = presented.request.recording_id
        row.patient_id = presented.decision.patient_id or ""
        row.decision_id = presented.decision_id
        if request.is_explained:
            row.rule = presented.decision.rule or ""
            row.relations.extend(sorted(each.value for each, _ in presented.decision.evidence))
        set_instant(row.created_at, created_at)
    return response

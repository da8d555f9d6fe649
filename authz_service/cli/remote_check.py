"""A check asked of the running service, whose answer must repeat the question."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from authz_service.api.v1 import emergency_access_pb2 as emergency
from authz_service.api.v1 import recording_access_pb2 as pb
from authz_service.api.v1 import recording_access_pb2_grpc as grpc_api
from authz_service.api.v1 import vocabulary_pb2 as words
from authz_service.cli.answer import Answer
from authz_service.cli.channel import connected, new_request_id
from authz_service.cli.failures import CommandError
from authz_service.operations.lists import ListRequest
from authz_service.operations.subjects import SubjectsRequest
from authz_service.pdp.model import AccessRequest, Obligation


def check_remote(
    request: AccessRequest, *, at_least: int, address: str, timeout_seconds: float
) -> Answer:
    """Return the service's answer to *request*.

    Raises:
        CommandError: The call failed, or the answer is to another question.
    """
    request_id = new_request_id()
    with connected(address, timeout_seconds) as service:
        stub = service.stub(grpc_api.RecordingAccessServiceStub)
        message = to_proto(request, at_least)
        response = service.call(stub.CheckAccess, message, request_id)
    require_echo(message, response, request_id)
    return answer_of(response)


def to_proto(request: AccessRequest, at_least: int) -> pb.CheckAccessRequest:
    """Return *request* as a message."""
    message = pb.CheckAccessRequest(
        recording_id=request.recording_id,
        action=words.Action.Value(f"ACTION_{request.action.name}"),
        tenant_id=request.tenant_id or "",
        at_least_facts_revision=at_least,
    )
    message.subject.id = request.subject_id
    fill_context(message.context, request)
    return message


def fill_context(
    context: pb.AccessContext, request: AccessRequest | ListRequest | SubjectsRequest
) -> None:
    """Put the circumstances of *request* into *context*."""
    purpose = f"PURPOSE_OF_USE_{request.purpose_of_use.name}"
    context.purpose_of_use = words.PurposeOfUse.Value(purpose)
    context.matter_id = request.matter_id or ""
    if request.assurance is not None:
        context.assurance = words.Assurance.Value(f"ASSURANCE_{request.assurance.name}")
    if request.authenticated_at is not None:
        context.authenticated_at.FromDatetime(request.authenticated_at)


def require_echo(
    asked: pb.CheckAccessRequest, answered: pb.CheckAccessResponse, request_id: str
) -> None:
    """Refuse an answer to another question: it may be somebody else's.

    Raises:
        CommandError: Names what is not repeated.
    """
    pairs = {
        "subject": (asked.subject.id, answered.subject_id),
        "recording": (asked.recording_id, answered.recording_id),
        "action": (asked.action, answered.action),
        "request id": (request_id, answered.request_id),
    }
    wrong = not_repeated(pairs)
    if wrong:
        raise CommandError(
            f"the answer is to another question: it does not repeat the {wrong}",
            reason="ECHO_MISMATCH",
            hint="do not act on it; something between here and the service mixes up answers",
        )


def require_instant(asked: pb.ExplainAccessRequest, response: pb.ExplainAccessResponse) -> None:
    """Refuse an explanation of another instant than the one that was asked about.

    Raises:
        CommandError: It is one.
    """
    if asked.HasField("as_of") != response.HasField("as_of") or response.as_of != asked.as_of:
        raise CommandError(
            "the answer is to another question: it does not repeat the instant",
            reason="ECHO_MISMATCH",
            hint="do not act on it; something between here and the service mixes up answers",
        )


def not_repeated(pairs: Mapping[str, tuple[object, object]]) -> str:
    """Return the names of what was sent and not repeated, in words; empty where all was."""
    return ", ".join(name for name, (sent, repeated) in pairs.items() if sent != repeated)


def answer_of(response: pb.CheckAccessResponse | emergency.OpenEmergencyAccessResponse) -> Answer:
    """Return the answer that *response* holds; what is unknown in it never allows."""
    return Answer(
        effect=_name(words.Effect, response.effect, "EFFECT_"),
        reason=_name(words.Reason, response.reason, "REASON_"),
        obligations=tuple(
            Obligation(each.id, tuple(sorted(each.parameters.items())))
            for each in response.obligations
        ),
        policy_revision=response.policy_revision,
        facts_revision=response.facts_revision,
        evaluated_at=response.evaluated_at.ToJsonString(),
        decision_id=response.decision_id,
        request_id=response.request_id,
    )


def _name(enum: Any, number: int, prefix: str) -> str:
    """Return the name of *number* without its prefix, or the number where it has none."""
    try:
        return str(enum.Name(number)).removeprefix(prefix)
    except ValueError:
        return f"{prefix}{number}"

"""Emergency access asked of the running service; an answer must repeat its question."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from authz_service.api.v1 import emergency_access_pb2 as pb
from authz_service.api.v1 import emergency_access_pb2_grpc as grpc_api
from authz_service.api.v1 import entities_pb2 as entities
from authz_service.api.v1 import vocabulary_pb2 as words
from authz_service.cli.answer import Answer
from authz_service.cli.channel import connected, new_request_id
from authz_service.cli.failures import CommandError
from authz_service.cli.question import is_text
from authz_service.cli.remote_check import answer_of, not_repeated
from authz_service.operations.emergency_ports import AccessesQuestion
from authz_service.pdp.emergency import OpeningRequest
from authz_service.pdp.entity_words import ReviewVerdict
from authz_service.pdp.errors import InvalidRequestError, Violation

_MOST_ON_A_PAGE = 500


@dataclass(frozen=True, slots=True)
class OpenedAccess:
    """What the service answered.

    Attributes:
        answer: The answer.
        grant: What was opened; None where nothing was.
    """

    answer: Answer
    grant: entities.Grant | None


class Verdict(NamedTuple):
    """A review as it was typed.

    Attributes:
        access: The access.
        verdict: Whether it was right.
        note: Why; empty where nothing is said.
        actor: Who says so.
    """

    access: str
    verdict: ReviewVerdict
    note: str
    actor: str


def open_remote(
    request: OpeningRequest, actor: str, *, address: str, timeout_seconds: float
) -> OpenedAccess:
    """Return the service's answer to *request*.

    Raises:
        InvalidRequestError: The reason says nothing, or is not text.
        CommandError: The call failed, or the answer is to another question.
    """
    if not request.reason.strip() or not is_text(request.reason):
        raise InvalidRequestError(Violation("--reason", "says nothing; write why it is needed"))
    message, request_id = _to_proto(request, actor), new_request_id()
    with connected(address, timeout_seconds) as service:
        stub = service.stub(grpc_api.EmergencyAccessServiceStub)
        response: pb.OpenEmergencyAccessResponse = service.call(
            stub.OpenEmergencyAccess, message, request_id
        )
    pairs: dict[str, tuple[object, object]] = {
        "subject": (request.subject_id, response.subject_id),
        "patient": (request.patient_id, response.patient_id),
        "request id": (request_id, response.request_id),
    }
    wrong = not_repeated(pairs)
    if wrong:
        raise CommandError(
            f"the answer is to another question: it does not repeat the {wrong}",
            reason="ECHO_MISMATCH",
            hint="do not act on it; something between here and the service mixes up answers",
        )
    grant = response.grant if response.HasField("grant") else None
    return OpenedAccess(answer_of(response), grant)


def list_remote(
    question: AccessesQuestion, *, address: str, timeout_seconds: float
) -> list[entities.Grant]:
    """Return all accesses that *question* asks for.

    Raises:
        CommandError: A call failed.
    """
    request = pb.ListEmergencyAccessRequest(
        subject_id=question.subject_id or "",
        patient_id=question.patient_id or "",
        page_size=_MOST_ON_A_PAGE,
    )
    if question.state is not None:
        request.state = pb.EmergencyAccessState.Value(f"EMERGENCY_ACCESS_STATE_{question.state}")
    found: list[entities.Grant] = []
    with connected(address, timeout_seconds) as service:
        stub = service.stub(grpc_api.EmergencyAccessServiceStub)
        while True:
            page: pb.ListEmergencyAccessResponse = service.call(stub.ListEmergencyAccess, request)
            found.extend(page.grants)
            request.page_token = page.next_page_token
            if not request.page_token:
                return found


def review_remote(
    said: Verdict, *, address: str, timeout_seconds: float
) -> pb.ReviewEmergencyAccessResponse:
    """Review an access; return it as it is stored then.

    Raises:
        InvalidRequestError: The note is not text.
        CommandError: The service refuses, or does not answer.
    """
    if not is_text(said.note):
        raise InvalidRequestError(Violation("--note", "is not text"))
    request = pb.ReviewEmergencyAccessRequest(
        id=said.access,
        verdict=entities.ReviewVerdict.Value(f"REVIEW_VERDICT_{said.verdict}"),
        note=said.note,
        actor=said.actor,
    )
    with connected(address, timeout_seconds) as service:
        stub = service.stub(grpc_api.EmergencyAccessServiceStub)
        response: pb.ReviewEmergencyAccessResponse = service.call(
            stub.ReviewEmergencyAccess, request
        )
    return response


def _to_proto(request: OpeningRequest, actor: str) -> pb.OpenEmergencyAccessRequest:
    """Return *request* as a message."""
    message = pb.OpenEmergencyAccessRequest(
        patient_id=request.patient_id,
        ground=entities.EmergencyGround.Value(f"EMERGENCY_GROUND_{request.ground}"),
        reason=request.reason,
        tenant_id=request.tenant_id or "",
        actor=actor,
    )
    message.subject.id = request.subject_id
    context = message.context
    context.purpose_of_use = words.PurposeOfUse.Value(f"PURPOSE_OF_USE_{request.purpose_of_use}")
    if request.assurance is not None:
        context.assurance = words.Assurance.Value(f"ASSURANCE_{request.assurance}")
    if request.authenticated_at is not None:
        context.authenticated_at.FromDatetime(request.authenticated_at)
    return message

"""A list asked of the running service, page by page; each must repeat the question."""

from __future__ import annotations

from authz_service.api.v1 import recording_access_pb2 as pb
from authz_service.api.v1 import recording_access_pb2_grpc as grpc_api
from authz_service.api.v1 import vocabulary_pb2 as words
from authz_service.cli.channel import connected, new_request_id
from authz_service.cli.failures import CommandError
from authz_service.cli.listing import ListedRecording, Listing, PageAnswer
from authz_service.cli.remote_check import fill_context, not_repeated
from authz_service.operations.lists import ListRequest


def list_remote(
    request: ListRequest, *, every_page: bool, at_least: int, address: str, timeout_seconds: float
) -> Listing:
    """Return the service's answer to *request*: a page, or all from there on.

    Raises:
        CommandError: A call failed, or an answer is to another question.
    """
    message = to_proto(request, at_least)
    recordings: list[ListedRecording] = []
    pages: list[PageAnswer] = []
    with connected(address, timeout_seconds) as service:
        stub = service.stub(grpc_api.RecordingAccessServiceStub)
        while True:
            request_id = new_request_id()
            response = service.call(stub.ListRecordings, message, request_id)
            require_echo(message, response, request_id)
            recordings += _rows_of(response)
            pages.append(_page_of(response))
            if not (every_page and response.next_page_token):
                break
            message.page_token = response.next_page_token
    return Listing(tuple(recordings), tuple(pages), response.next_page_token)


def to_proto(request: ListRequest, at_least: int) -> pb.ListRecordingsRequest:
    """Return *request* as a message."""
    message = pb.ListRecordingsRequest(
        action=words.Action.Value(f"ACTION_{request.action.name}"),
        tenant_id=request.tenant_id or "",
        patient_id=request.patient_id or "",
        page_size=request.page_size,
        page_token=request.page_token,
        at_least_facts_revision=at_least,
        explained=request.is_explained,
    )
    message.subject.id = request.subject_id
    fill_context(message.context, request)
    if request.created_from is not None:
        message.created_from.FromDatetime(request.created_from)
    if request.created_to is not None:
        message.created_to.FromDatetime(request.created_to)
    return message


def require_echo(
    asked: pb.ListRecordingsRequest, answered: pb.ListRecordingsResponse, request_id: str
) -> None:
    """Refuse an answer to another question: it may be somebody else's list.

    Raises:
        CommandError: Names what is not repeated.
    """
    pairs = {
        "subject": (asked.subject.id, answered.subject_id),
        "action": (asked.action, answered.action),
        "patient": (asked.patient_id, answered.patient_id),
        "request id": (request_id, answered.request_id),
    }
    wrong = not_repeated(pairs)
    if wrong:
        raise CommandError(
            f"the list is of another question: it does not repeat the {wrong}",
            reason="ECHO_MISMATCH",
            hint="do not show it; something between here and the service mixes up answers",
        )


def _rows_of(response: pb.ListRecordingsResponse) -> list[ListedRecording]:
    """Return the rows of one page."""
    return [
        ListedRecording(
            row.recording_id, row.patient_id, row.created_at.ToJsonString(), row.decision_id
        )
        for row in response.recordings
    ]


def _page_of(response: pb.ListRecordingsResponse) -> PageAnswer:
    """Return what one page says beside its rows."""
    return PageAnswer(
        len(response.recordings),
        response.policy_revision,
        response.facts_revision,
        response.evaluated_at.ToJsonString(),
        response.decision_id,
        response.request_id,
    )

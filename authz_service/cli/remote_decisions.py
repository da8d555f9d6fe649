"""Records of the decision log, asked of the running service page by page."""

from __future__ import annotations

from dataclasses import dataclass

from rich.progress import Progress, SpinnerColumn, TextColumn

from authz_service.api.v1 import decision_log_pb2 as pb
from authz_service.api.v1 import decision_log_pb2_grpc as grpc_api
from authz_service.api.v1 import vocabulary_pb2 as words
from authz_service.cli.channel import connected
from authz_service.cli.output import screen
from authz_service.operations.decision_log import DecisionsQuestion

_MOST_ON_A_PAGE = 500


@dataclass(frozen=True, slots=True)
class Listed:
    """What a listing found.

    Attributes:
        records: The records, newest first.
        more: Whether more follow, which were not asked for.
    """

    records: list[pb.DecisionRecord]
    more: bool


def list_remote(
    question: DecisionsQuestion, *, most: int | None, address: str, timeout_seconds: float
) -> Listed:
    """Return the newest records, at most *most* of them; all where it is None.

    Raises:
        CommandError: A call failed.
    """
    request = _to_proto(question)
    records: list[pb.DecisionRecord] = []
    with connected(address, timeout_seconds) as service, _told() as progress:
        stub = service.stub(grpc_api.DecisionLogServiceStub)
        task = progress.add_task("records", total=None)
        while most is None or len(records) < most:
            left = _MOST_ON_A_PAGE if most is None else most - len(records)
            request.page_size = min(left, _MOST_ON_A_PAGE)
            response: pb.ListDecisionsResponse = service.call(stub.ListDecisions, request)
            records.extend(response.decisions)
            progress.update(task, completed=len(records))
            request.page_token = response.next_page_token
            if not request.page_token:
                break
    return Listed(records, bool(request.page_token))


def show_remote(decision_id: str, *, address: str, timeout_seconds: float) -> pb.DecisionRecord:
    """Return one record.

    Raises:
        CommandError: The call failed.
    """
    with connected(address, timeout_seconds) as service:
        stub = service.stub(grpc_api.DecisionLogServiceStub)
        request = pb.GetDecisionRequest(decision_id=decision_id)
        response: pb.GetDecisionResponse = service.call(stub.GetDecision, request)
    return response.decision


def _told() -> Progress:
    """Return what says on a terminal how far a long listing is."""
    console = screen(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.completed} {task.description}"))
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


def _to_proto(question: DecisionsQuestion) -> pb.ListDecisionsRequest:
    """Return *question* as a message."""
    request = pb.ListDecisionsRequest(
        subject_id=question.subject_id or "",
        recording_id=question.recording_id or "",
        patient_id=question.patient_id or "",
        caller=question.caller or "",
    )
    if question.effect:
        request.effect = words.Effect.Value(f"EFFECT_{question.effect}")
    if question.reason:
        request.reason = words.Reason.Value(f"REASON_{question.reason}")
    if question.kind:
        request.kind = pb.RecordKind.Value(f"RECORD_KIND_{question.kind}")
    if question.evaluated_from:
        request.evaluated_from.FromDatetime(question.evaluated_from)
    if question.evaluated_to:
        request.evaluated_to.FromDatetime(question.evaluated_to)
    return request

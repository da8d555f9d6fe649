"""Containments asked of the running service.

The call comes first: what shows its answer is loaded afterwards.
"""

from __future__ import annotations

from authz_service.api.v1 import containment_pb2 as pb
from authz_service.api.v1 import containment_pb2_grpc as grpc_api
from authz_service.api.v1 import entities_pb2 as entities
from authz_service.api.v1 import vocabulary_pb2 as words
from authz_service.cli.channel import connected
from authz_service.cli.options import Format
from authz_service.pdp.entities import ContainmentScope

_MAX_PAGE = 500


def set_containment(
    scope: ContainmentScope,
    reason: str,
    actor: str,
    *,
    address: str,
    timeout_seconds: float,
    form: Format,
) -> None:
    """Set a containment and print it.

    Raises:
        CommandError: The service refuses, or does not answer.
    """
    request = pb.ContainRequest(scope=_to_proto(scope), reason=reason, actor=actor)
    with connected(address, timeout_seconds) as service:
        stub = service.stub(grpc_api.ContainmentServiceStub)
        response: pb.ContainResponse = service.call(stub.Contain, request)
    from authz_service.cli.containments_report import show_set  # noqa: PLC0415  # heavy

    show_set(response.containment, response.facts_revision, form)


def lift_containment(
    containment_id: str,
    reason: str,
    actor: str,
    *,
    address: str,
    timeout_seconds: float,
    form: Format,
) -> None:
    """Lift a containment and print it.

    Raises:
        CommandError: The service refuses, or does not answer.
    """
    request = pb.LiftContainmentRequest(id=containment_id, reason=reason, actor=actor)
    with connected(address, timeout_seconds) as service:
        stub = service.stub(grpc_api.ContainmentServiceStub)
        response: pb.LiftContainmentResponse = service.call(stub.LiftContainment, request)
    from authz_service.cli.containments_report import show_lifted  # noqa: PLC0415  # heavy

    show_lifted(response.containment, response.facts_revision, form)


def list_containments(
    *, include_lifted: bool, address: str, timeout_seconds: float, form: Format
) -> None:
    """Print every containment that is in force, or every one there is.

    Raises:
        CommandError: The service refuses, or does not answer.
    """
    request = pb.ListContainmentsRequest(include_lifted=include_lifted, page_size=_MAX_PAGE)
    found: list[entities.Containment] = []
    with connected(address, timeout_seconds) as service:
        stub = service.stub(grpc_api.ContainmentServiceStub)
        while True:
            response: pb.ListContainmentsResponse = service.call(stub.ListContainments, request)
            found += response.containments
            if not response.next_page_token:
                break
            request.page_token = response.next_page_token
    from authz_service.cli.containments_report import show_all  # noqa: PLC0415  # heavy

    show_all(found, response.facts_revision, form, include_lifted=include_lifted)


def _to_proto(scope: ContainmentScope) -> entities.ContainmentScope:
    """Return *scope* as a message."""
    message = entities.ContainmentScope(
        tenant_id=scope.tenant_id or "",
        created_by_release=scope.created_by_release or "",
        recording_ids=scope.recording_ids,
    )
    if scope.audience is not None:
        message.audience = entities.Audience.Value(f"AUDIENCE_{scope.audience.name}")
    if scope.action is not None:
        message.action = words.Action.Value(f"ACTION_{scope.action.name}")
    if scope.created_from is not None:
        message.created_from.FromDatetime(scope.created_from)
    if scope.created_to is not None:
        message.created_to.FromDatetime(scope.created_to)
    return message

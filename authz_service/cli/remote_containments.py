"""Containments asked of the running service, and how they are shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from google.protobuf import json_format

from authz_service.api.v1 import containment_pb2 as pb
from authz_service.api.v1 import containment_pb2_grpc as grpc_api
from authz_service.api.v1 import entities_pb2 as entities
from authz_service.api.v1 import vocabulary_pb2 as words
from authz_service.cli.channel import connected
from authz_service.cli.options import Format
from authz_service.cli.output import print_fields, print_json, print_line, print_table
from authz_service.cli.wording import counted
from authz_service.pdp.entities import ContainmentScope

_HEADER = ("id", "set at", "set by", "lifted at", "covers")
_MAX_PAGE = 500
_SHOWN = 3
_AUDIENCES = {
    entities.AUDIENCE_PATIENTS: "patients",
    entities.AUDIENCE_STAFF: "staff",
}


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
    containment = response.containment
    if form is Format.JSON:
        print_json(_changed(containment, response.facts_revision))
        return
    print_line("contained, on every replica", "red")
    print_fields(
        [
            ("id", containment.id),
            ("covers", covered(containment.scope)),
            ("facts revision", str(response.facts_revision)),
            ("to end it", f"authz lift {containment.id} --actor SOMEBODY-ELSE --reason WHY"),
        ]
    )


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
    containment = response.containment
    if form is Format.JSON:
        print_json(_changed(containment, response.facts_revision))
        return
    print_line("lifted", "green")
    print_fields(
        [
            ("id", containment.id),
            ("covered", covered(containment.scope)),
            ("set by", _printable(containment.set_by)),
            ("facts revision", str(response.facts_revision)),
        ]
    )


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
    if form is Format.JSON:
        plain = [_plain(one) for one in found]
        print_json({"containments": plain, "facts_revision": response.facts_revision})
        return
    if found:
        print_table(_HEADER, [_cells(one) for one in found], {})
        return
    print_line("no containments" if include_lifted else "no containment is in force", "bold")


def covered(scope: entities.ContainmentScope) -> str:
    """Return what *scope* covers, in words."""
    action = "every action"
    if scope.action:
        action = words.Action.Name(scope.action).removeprefix("ACTION_")
    who = _AUDIENCES.get(scope.audience, "everyone")
    return f"{action} by {who} on {_recordings(scope)}"


def _recordings(scope: entities.ContainmentScope) -> str:
    """Return which recordings *scope* covers, in words."""
    ids = scope.recording_ids
    said = "every recording"
    if ids:
        more = f" and {len(ids) - _SHOWN} more" if len(ids) > _SHOWN else ""
        said = f"{counted(len(ids), 'recording')} ({', '.join(ids[:_SHOWN])}{more})"
    if scope.tenant_id:
        said += f" of {scope.tenant_id}"
    if scope.created_by_release:
        said += f" made by release {_printable(scope.created_by_release)}"
    if scope.HasField("created_from"):
        said += f" made from {scope.created_from.ToJsonString()} on"
    if scope.HasField("created_to"):
        said += f" made before {scope.created_to.ToJsonString()}"
    return said


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


def _changed(containment: entities.Containment, revision: int) -> dict[str, Any]:
    """Return a change as a document."""
    return {
        "containment": _plain(containment),
        "covers": covered(containment.scope),
        "facts_revision": revision,
    }


def _plain(containment: entities.Containment) -> dict[str, Any]:
    """Return *containment* as a document."""
    return json_format.MessageToDict(containment, preserving_proto_field_name=True)


def _cells(containment: entities.Containment) -> Sequence[str]:
    """Return the row of *containment* in a table."""
    return (
        containment.id,
        containment.set_at.ToJsonString() if containment.HasField("set_at") else "",
        containment.set_by,
        containment.lifted_at.ToJsonString() if containment.HasField("lifted_at") else "",
        covered(containment.scope),
    )


def _printable(text: str) -> str:
    """Return *text* without what a terminal would obey."""
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text)

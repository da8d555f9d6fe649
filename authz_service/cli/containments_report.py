"""Containments as they are shown; what this needs is loaded when they are set already."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from google.protobuf import json_format

from authz_service.api.v1 import entities_pb2 as entities
from authz_service.api.v1 import vocabulary_pb2 as words
from authz_service.cli.options import Format
from authz_service.cli.output import print_fields, print_json, print_line, print_table
from authz_service.cli.wording import counted

_HEADER = ("id", "set at", "set by", "lifted at", "covers")
_SHOWN = 3
_AUDIENCES = {
    entities.AUDIENCE_PATIENTS: "patients",
    entities.AUDIENCE_STAFF: "staff",
}


def show_set(containment: entities.Containment, revision: int, form: Format) -> None:
    """Print a containment that was set at *revision*."""
    if form is Format.JSON:
        print_json(_changed(containment, revision))
        return
    print_line("contained, on every replica", "red")
    print_fields(
        [
            ("id", containment.id),
            ("covers", covered(containment.scope)),
            ("facts revision", str(revision)),
            ("to end it", f"authz lift {containment.id} --actor SOMEBODY-ELSE --reason WHY"),
        ]
    )


def show_lifted(containment: entities.Containment, revision: int, form: Format) -> None:
    """Print a containment that was lifted at *revision*."""
    if form is Format.JSON:
        print_json(_changed(containment, revision))
        return
    print_line("lifted", "green")
    print_fields(
        [
            ("id", containment.id),
            ("covered", covered(containment.scope)),
            ("set by", _printable(containment.set_by)),
            ("facts revision", str(revision)),
        ]
    )


def show_all(
    found: Sequence[entities.Containment], revision: int, form: Format, *, include_lifted: bool
) -> None:
    """Print the containments that were *found* at *revision*."""
    if form is Format.JSON:
        plain = [_plain(one) for one in found]
        print_json({"containments": plain, "facts_revision": revision})
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

"""Emergency accesses as they are printed: what was opened, what there is, what was found."""

from __future__ import annotations

from typing import Any

from google.protobuf import json_format

from authz_service.api.v1 import emergency_access_pb2 as pb
from authz_service.api.v1 import entities_pb2 as entities
from authz_service.cli.options import Format
from authz_service.cli.output import print_fields, print_json, print_line, print_table
from authz_service.cli.remote_emergency import OpenedAccess
from authz_service.pdp.emergency import OpeningRequest

_HEADER = ("access", "subject", "patient", "from", "to", "ground", "review", "reason")
_STYLES = {"UNREVIEWED": "yellow", "UNJUSTIFIED": "red", "JUSTIFIED": "green"}
_PREFIXES = {
    "kind": "GRANT_KIND_",
    "ground": "EMERGENCY_GROUND_",
    "verdict": "REVIEW_VERDICT_",
}


def show_opened(opened: OpenedAccess, request: OpeningRequest, form: Format) -> None:
    """Print what became of *request*."""
    answer, grant = opened.answer, opened.grant
    if form is Format.JSON:
        print_json(
            {
                "effect": answer.effect,
                "reason": answer.reason,
                "obligations": [
                    {"id": each.id, "parameters": dict(each.parameters)}
                    for each in answer.obligations
                ],
                "subject_id": request.subject_id,
                "patient_id": request.patient_id,
                "purpose_of_use": request.purpose_of_use.value,
                "grant": None if grant is None else _plain(grant),
                "decision_id": answer.decision_id,
                "request_id": answer.request_id,
                "policy_revision": answer.policy_revision,
                "facts_revision": answer.facts_revision,
                "evaluated_at": answer.evaluated_at,
            }
        )
        return
    print_line(f"{answer.effect}  {answer.reason}", "bold green" if answer.allows else "bold red")
    obligations = [
        " ".join([each.id, *(f"{name}={value}" for name, value in each.parameters)])
        for each in answer.obligations
    ]
    print_fields(
        [
            ("subject", request.subject_id),
            ("patient", request.patient_id),
            *([("obligations", ", ".join(obligations))] if obligations else []),
            *(
                []
                if grant is None
                else [("access", grant.id), ("until", _instant(grant, "valid_to"))]
            ),
            ("decision", str(answer.decision_id)),
            ("policy", answer.policy_revision),
            ("facts revision", str(answer.facts_revision)),
            ("evaluated at", answer.evaluated_at),
        ]
    )


def _opened_fields(grant: entities.Grant) -> list[tuple[str, str]]:
    """Return what was opened, and for how long."""
    return [("access", grant.id), ("until", _instant(grant, "valid_to"))]


def report_accesses(grants: list[entities.Grant], form: Format) -> None:
    """Print accesses."""
    if form is Format.JSON:
        print_json({"accesses": [_plain(grant) for grant in grants]})
        return
    if not grants:
        print_line("no emergency access to which all of this applies", "dim")
        return
    print_table(_HEADER, [_row(grant) for grant in grants], _STYLES)


def report_review(response: pb.ReviewEmergencyAccessResponse, form: Format) -> None:
    """Print a review as it is stored."""
    grant = response.grant
    if form is Format.JSON:
        print_json({"access": _plain(grant), "facts_revision": response.facts_revision})
        return
    verdict = _verdict(grant)
    print_line(f"{grant.id} was {verdict.lower()}", _STYLES.get(verdict, ""))
    print_fields(
        [
            ("subject", grant.subject_id or "-"),
            ("patient", grant.patient_id or "-"),
            ("reviewed by", grant.review.by),
            ("facts revision", str(response.facts_revision)),
        ]
    )


def _row(grant: entities.Grant) -> tuple[str, ...]:
    """Return the cells of one access."""
    return (
        grant.id,
        grant.subject_id or "-",
        grant.patient_id or grant.recording_id or "-",
        _instant(grant, "valid_from"),
        _instant(grant, "valid_to"),
        _word(entities.EmergencyGround, grant.ground, "ground") if grant.ground else "-",
        _verdict(grant),
        " ".join(grant.reason.split()) or "-",
    )


def _verdict(grant: entities.Grant) -> str:
    """Return what a review found, or that there is none."""
    if not grant.HasField("review"):
        return "UNREVIEWED"
    return _word(entities.ReviewVerdict, grant.review.verdict, "verdict")


def _word(enum: Any, number: int, field: str) -> str:
    """Return the name of *number* without its prefix, or the number where it has none."""
    try:
        return str(enum.Name(number)).removeprefix(_PREFIXES[field])
    except ValueError:
        return f"{_PREFIXES[field]}{number}"


def _instant(grant: entities.Grant, name: str) -> str:
    """Return the instant in a field, or that there is none."""
    return str(getattr(grant, name).ToJsonString()) if grant.HasField(name) else "-"  # type: ignore[arg-type]  # a name out of this module


def _plain(grant: entities.Grant) -> dict[str, Any]:
    """Return *grant* for programs, words without their type's prefix."""
    plain: dict[str, Any] = json_format.MessageToDict(grant, preserving_proto_field_name=True)
    plain["actions"] = [str(one).removeprefix("ACTION_") for one in plain.get("actions", ())]
    for holder in (plain, plain.get("review", {})):
        for name, prefix in _PREFIXES.items():
            if name in holder:
                holder[name] = str(holder[name]).removeprefix(prefix)
    return plain

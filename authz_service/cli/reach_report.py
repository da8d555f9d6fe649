"""Who may, and what somebody may, as `authz who-can` and `authz what-can` show it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from authz_service.api.v1 import recording_access_pb2 as pb
from authz_service.cli.explanation_report import NOT_RECORDED
from authz_service.cli.options import Format
from authz_service.cli.output import print_fields, print_json, print_line, print_table
from authz_service.cli.wire_words import document_of
from authz_service.operations.lists import ListRequest
from authz_service.operations.subjects import SubjectsRequest

_MORE = "more follow: ask again with --all"
_ROWS = frozenset({"subjects", "recordings", "next_page_token"})

Pages = Sequence[pb.ListSubjectsResponse] | Sequence[pb.ListRecordingsResponse]


def show_subjects(
    pages: Sequence[pb.ListSubjectsResponse],
    request: SubjectsRequest,
    form: Format,
    *,
    recorded: bool,
) -> None:
    """Print everybody on *pages*."""
    rows = [row for page in pages for row in page.subjects]
    if form is Format.JSON:
        found = {"subjects": [document_of(row) for row in rows]}
        print_json({**found, **_around(pages, request, recorded=recorded)})
        return
    if rows:
        header = ("subject", "rule", "relations")
        cells = [(row.subject_id, row.rule, ", ".join(row.relations)) for row in rows]
        print_table(header, cells, {})
        print_line("")
    else:
        print_line("nobody may", "bold")
    about = [("recording", request.recording_id), ("subjects", str(len(rows)))]
    _print_rest(pages, request, about, recorded=recorded)


def show_recordings(
    pages: Sequence[pb.ListRecordingsResponse],
    request: ListRequest,
    form: Format,
    *,
    recorded: bool,
) -> None:
    """Print every recording on *pages*."""
    rows = [row for page in pages for row in page.recordings]
    if form is Format.JSON:
        found = [
            {name: value for name, value in document_of(row).items() if name != "decision_id"}
            for row in rows
        ]
        print_json({"recordings": found, **_around(pages, request, recorded=recorded)})
        return
    if rows:
        header = ("recording", "patient", "made at", "rule", "relations")
        cells = [
            (
                row.recording_id,
                row.patient_id,
                row.created_at.ToJsonString(),
                row.rule,
                ", ".join(row.relations),
            )
            for row in rows
        ]
        print_table(header, cells, {})
        print_line("")
    else:
        print_line("no recordings", "bold")
    about = [("subject", request.subject_id), ("recordings", str(len(rows)))]
    _print_rest(pages, request, about, recorded=recorded)


def _around(
    pages: Pages, request: SubjectsRequest | ListRequest, *, recorded: bool
) -> dict[str, Any]:
    """Return what stands around the rows, for programs."""
    return {
        "action": request.action.value,
        "purpose_of_use": request.purpose_of_use.value,
        "more": bool(pages[-1].next_page_token),
        "pages": [
            {name: value for name, value in document_of(page).items() if name not in _ROWS}
            for page in pages
        ],
        "recorded": recorded,
    }


def _print_rest(
    pages: Pages,
    request: SubjectsRequest | ListRequest,
    about: list[tuple[str, str]],
    *,
    recorded: bool,
) -> None:
    """Print the question, and what the last page rests on."""
    last = pages[-1]
    fields = [
        *about,
        ("action", f"{request.action.value} for {request.purpose_of_use.value}"),
        ("policy", last.policy_revision),
        ("facts revision", str(last.facts_revision)),
        ("evaluated at", last.evaluated_at.ToJsonString()),
    ]
    if last.decision_id:
        fields.append(("decision", last.decision_id))
    print_fields(fields)
    if last.next_page_token:
        print_line(_MORE, "yellow")
    if not recorded:
        print_line(NOT_RECORDED, "yellow")

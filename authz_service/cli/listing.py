"""A list as `authz list` shows it, whoever gave it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from authz_service.cli.options import Format
from authz_service.cli.output import print_fields, print_json, print_line, print_table
from authz_service.operations.lists import ListRequest

NOT_RECORDED = "decided offline: this list was not recorded, and no service gave it"

_HEADER = ("recording", "patient", "made at", "decision")


@dataclass(frozen=True, slots=True)
class ListedRecording:
    """One row.

    Attributes:
        recording_id: The recording.
        patient_id: Whose it is.
        created_at: When it was made, RFC 3339.
        decision_id: Under which the row is recorded; None where it is not.
    """

    recording_id: str
    patient_id: str
    created_at: str
    decision_id: str | None


@dataclass(frozen=True, slots=True)
class PageAnswer:
    """What a page says beside its rows.

    Attributes:
        rows: How many it has.
        policy_revision: The policy that judged.
        facts_revision: The state of the registry on which it rests.
        evaluated_at: RFC 3339.
        decision_id: Under which it is recorded; None where it is not.
        request_id: The call's id; None where there was no call.
    """

    rows: int
    policy_revision: str
    facts_revision: int
    evaluated_at: str
    decision_id: str | None = None
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class Listing:
    """Some pages of a list, one after the other.

    Attributes:
        recordings: The rows of all, newest first.
        pages: The pages, at least one.
        next_page_token: Where to go on; empty where nothing follows.
    """

    recordings: tuple[ListedRecording, ...]
    pages: tuple[PageAnswer, ...]
    next_page_token: str


def show(listing: Listing, request: ListRequest, form: Format) -> None:
    """Print *listing*, the answer to *request*."""
    if form is Format.JSON:
        print_json(_document(listing, request))
        return
    if listing.recordings:
        print_table(_HEADER, [_cells(row) for row in listing.recordings], {})
        print_line("")
    else:
        print_line("no recordings", "bold")
    print_fields(_fields(listing, request))
    if listing.next_page_token:
        print_line("more follow: ask again with --all, or with this --page-token", "yellow")
    if listing.pages[-1].decision_id is None:
        print_line(NOT_RECORDED, "yellow")


def _cells(row: ListedRecording) -> tuple[str, ...]:
    """Return one row for people."""
    return row.recording_id, row.patient_id, row.created_at, row.decision_id or "-"


def _fields(listing: Listing, request: ListRequest) -> list[tuple[str, str]]:
    """Return the list with its question, for people; of several pages what the last one says."""
    last = listing.pages[-1]
    fields = [
        ("subject", request.subject_id),
        ("action", f"{request.action.value} for {request.purpose_of_use.value}"),
        ("recordings", str(len(listing.recordings))),
        ("policy", last.policy_revision),
        ("facts revision", str(last.facts_revision)),
        ("evaluated at", last.evaluated_at),
    ]
    if request.patient_id is not None:
        fields.insert(1, ("patient", request.patient_id))
    if len(listing.pages) > 1:
        fields.append(("pages", str(len(listing.pages))))
    elif last.decision_id is not None:
        fields.append(("decision", last.decision_id))
    if last.request_id is not None and len(listing.pages) == 1:
        fields.append(("request", last.request_id))
    if listing.next_page_token:
        fields.append(("page token", listing.next_page_token))
    return fields


def _document(listing: Listing, request: ListRequest) -> dict[str, Any]:
    """Return the list with its question, for programs."""
    return {
        "subject_id": request.subject_id,
        "action": request.action.value,
        "purpose_of_use": request.purpose_of_use.value,
        "patient_id": request.patient_id,
        "recordings": [
            {
                "recording_id": row.recording_id,
                "patient_id": row.patient_id,
                "created_at": row.created_at,
                "decision_id": row.decision_id,
            }
            for row in listing.recordings
        ],
        "next_page_token": listing.next_page_token,
        "pages": [
            {
                "rows": page.rows,
                "decision_id": page.decision_id,
                "request_id": page.request_id,
                "policy_revision": page.policy_revision,
                "facts_revision": page.facts_revision,
                "evaluated_at": page.evaluated_at,
            }
            for page in listing.pages
        ],
        "recorded": listing.pages[-1].decision_id is not None,
    }

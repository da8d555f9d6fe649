"""A listing of the decision log, as it is printed: a row for each record."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from authz_service.cli.options import Format
from authz_service.cli.output import print_json, print_line, print_table
from authz_service.cli.remote_decisions import Listed
from authz_service.cli.wording import counted

_HEADER = ("evaluated at", "kind", "answer", "reason", "subject", "action", "recording", "decision")
_NOTHING = (
    "no record in the decision store to which all of this applies; "
    "authz status says whether shipping is behind"
)
_STYLES = {"ALLOW": "green", "DENY": "red"}


def report_rows(listed: Listed, form: Format) -> None:
    """Print *listed*: rows for people; for programs the records themselves."""
    records = [json.loads(record.json) for record in listed.records]
    if form is Format.JSON:
        print_json({"decisions": records, "more": listed.more})
        return
    if not records:
        print_line(_NOTHING, "dim")
        return
    print_table(_HEADER, [_row(record) for record in records], _STYLES)
    if listed.more:
        print_line("more follow: see --limit and --all", "dim", stderr=True)


def _row(record: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the cells of one record; a page of a list says how many rows it had."""
    answer = record.get("effect")
    if answer is None:
        answer = counted(record["rows"], "row") if "rows" in record else None
    cells = (
        record["evaluated_at"], record["kind"], answer, record.get("reason"),
        record.get("subject_id"), record.get("action"), record.get("recording_id"),
        record["decision_id"],
    )  # fmt: skip
    return tuple("-" if cell is None else str(cell) for cell in cells)

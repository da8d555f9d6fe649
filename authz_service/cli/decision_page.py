"""One record of the decision log, as it is printed: what was asked, what answered, on what."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from authz_service.api.v1 import decision_log_pb2 as pb
from authz_service.cli.options import Format
from authz_service.cli.output import print_fields, print_line

_SHOWN = {
    "format", "kind", "decision_id", "evaluated_at", "request_id", "trace_id", "caller",
    "callers_revision",
    "subject_id", "tenant_id", "recording_id", "patient_id", "action", "effect", "reason", "rule",
    "obligations", "situation", "evidence", "policy_revision", "facts_revision",
    "elapsed_microseconds", "software",
}  # fmt: skip

Fields = list[tuple[str, str]]
Record = Mapping[str, Any]


def report_record(record: pb.DecisionRecord, form: Format) -> None:
    """Print *record*: a page for people; for programs its own bytes, and nothing else."""
    if form is Format.JSON:
        sys.stdout.write(record.json + "\n")
        return
    plain = json.loads(record.json)
    effect = plain.get("effect")
    colour = "green" if effect == "ALLOW" else "red"
    if effect is None:
        print_line(plain["kind"], "bold")
    else:
        print_line(f"{effect}  {plain.get('reason')}", f"bold {colour}")
    print_fields([*_question(plain), *_grounds(plain), *_others(plain), *_place(record)])


def _question(plain: Record) -> Fields:
    """Return what was asked, when and by whom."""
    situation = plain.get("situation") or {}
    return [
        ("decision", plain["decision_id"]),
        ("kind", plain["kind"]),
        ("evaluated at", plain["evaluated_at"]),
        ("caller", _text(plain.get("caller"))),
        ("callers file", _text(plain.get("callers_revision"))),
        ("request", _text(plain.get("request_id"))),
        ("trace", _text(plain.get("trace_id"))),
        ("subject", _text(plain.get("subject_id"))),
        ("tenant", _text(plain.get("tenant_id"))),
        ("recording", _text(plain.get("recording_id"))),
        ("patient", _text(plain.get("patient_id"))),
        ("action", _text(plain.get("action"))),
        ("purpose", _text(situation.get("purpose"))),
    ]


def _grounds(plain: Record) -> Fields:
    """Return what the answer rests on: the situation, the facts behind it, the policy."""
    if plain.get("effect") is None:
        return _revisions(plain)
    situation = plain.get("situation") or {}
    fields = [
        ("rule", _text(plain.get("rule"))),
        ("obligations", _list(_obligation(each) for each in plain.get("obligations") or ())),
        ("roles", _seen(situation.get("roles"))),
        ("conditions", _seen(situation.get("conditions"))),
        ("relations", _seen(situation.get("relations"))),
    ]
    for relation, facts in (plain.get("evidence") or {}).items():
        named = _list(
            f"{fact['kind']} {fact['id']} (revision {fact['revision']})" for fact in facts
        )
        fields.append((f"  {relation}", f"by {named}"))
    return [*fields, *_revisions(plain)]


def _revisions(plain: Record) -> Fields:
    """Return which policy judged on which state of the facts, how fast, and which program."""
    return [
        ("policy", _text(plain.get("policy_revision"))),
        ("facts revision", _text(plain.get("facts_revision"))),
        ("took", f"{plain.get('elapsed_microseconds')} µs"),
        ("software", _text(plain.get("software"))),
    ]


def _others(plain: Record) -> Fields:
    """Return whatever else the record says, under its own names."""
    return [
        (name.replace("_", " "), _text(value))
        for name, value in plain.items()
        if name not in _SHOWN
    ]


def _place(record: pb.DecisionRecord) -> Fields:
    """Return where the record stands, for whoever verifies it."""
    return [
        ("journal", record.journal_id),
        ("journal line", str(record.journal_sequence)),
        ("line's hash", record.journal_line_hash),
    ]


def _obligation(each: Record) -> str:
    """Return one obligation in words."""
    return " ".join(
        [each["id"], *(f"{name}={value}" for name, value in each["parameters"].items())]
    )


def _seen(names: list[str] | None) -> str:
    """Return what a policy saw; where something bound every policy before it, none saw any."""
    return "not looked at: decided before any policy" if names is None else _list(names)


def _list(texts: Iterable[str]) -> str:
    """Return *texts* in one line."""
    return ", ".join(texts) or "none"


def _text(value: Any) -> str:
    """Return one value in words."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "-" if value is None else str(value)

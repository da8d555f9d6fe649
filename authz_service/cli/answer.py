"""An answer as `authz check` shows it, whoever gave it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from authz_service.cli.codes import ExitCode
from authz_service.cli.options import Format
from authz_service.cli.output import print_fields, print_json, print_line
from authz_service.pdp.model import STEP_UP, AccessRequest, Obligation

UNDERSTOOD = frozenset({STEP_UP.id})
"""The obligations that this client understands; an answer with another one is a denial."""

NOT_RECORDED = "decided offline: this answer was not recorded, and no service gave it"


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer.

    Attributes:
        effect: ``ALLOW``; anything else is a denial.
        reason: Why.
        obligations: What the caller must do.
        policy_revision: The policy that judged.
        facts_revision: The state of the registry on which it rests.
        evaluated_at: RFC 3339.
        decision_id: Under which it is recorded; None where it is not.
        request_id: The call's id; None where there was no call.
        details: What only the one who decided knows, by name.
    """

    effect: str
    reason: str
    obligations: tuple[Obligation, ...]
    policy_revision: str
    facts_revision: int
    evaluated_at: str
    decision_id: str | None = None
    request_id: str | None = None
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def allows(self) -> bool:
        """Whether it is an ALLOW that this client understands whole."""
        return self.effect == "ALLOW" and all(each.id in UNDERSTOOD for each in self.obligations)

    @property
    def code(self) -> ExitCode:
        """How the command ends."""
        return ExitCode.OK if self.allows else ExitCode.DENIED


def show(answer: Answer, request: AccessRequest, form: Format) -> None:
    """Print *answer* to *request*."""
    if form is Format.JSON:
        print_json(_document(answer, request))
        return
    print_line(f"{answer.effect}  {answer.reason}", "bold green" if answer.allows else "bold red")
    print_fields(_fields(answer, request))
    if answer.effect == "ALLOW" and not answer.allows:
        print_line("taken as a denial: it carries an obligation that is not understood", "red")
    if answer.decision_id is None:
        print_line(NOT_RECORDED, "yellow")


def _document(answer: Answer, request: AccessRequest) -> dict[str, Any]:
    """Return the answer with its question, for programs."""
    return {
        "effect": answer.effect,
        "reason": answer.reason,
        "obligations": [
            {"id": each.id, "parameters": dict(each.parameters)} for each in answer.obligations
        ],
        "subject_id": request.subject_id,
        "recording_id": request.recording_id,
        "action": request.action.value,
        "purpose_of_use": request.purpose_of_use.value,
        "decision_id": answer.decision_id,
        "request_id": answer.request_id,
        "policy_revision": answer.policy_revision,
        "facts_revision": answer.facts_revision,
        "evaluated_at": answer.evaluated_at,
        "recorded": answer.decision_id is not None,
        **answer.details,
    }


def _fields(answer: Answer, request: AccessRequest) -> list[tuple[str, str]]:
    """Return the answer with its question, for people."""
    obligations = [
        " ".join([each.id, *(f"{name}={value}" for name, value in each.parameters)])
        for each in answer.obligations
    ]
    fields = [
        ("subject", request.subject_id),
        ("recording", request.recording_id),
        ("action", f"{request.action.value} for {request.purpose_of_use.value}"),
        ("obligations", ", ".join(obligations) or "none"),
        *((name.replace("_", " "), _text(value)) for name, value in answer.details.items()),
        ("policy", answer.policy_revision),
        ("facts revision", str(answer.facts_revision)),
        ("evaluated at", answer.evaluated_at),
    ]
    if answer.decision_id is not None:
        fields.insert(4, ("decision", answer.decision_id))
    if answer.request_id is not None:
        fields.append(("request", answer.request_id))
    return fields


def _text(value: Any) -> str:
    """Return one detail in words."""
    if isinstance(value, dict):
        return "; ".join(f"{name}: {_text(each)}" for name, each in value.items())
    if isinstance(value, list):
        return ", ".join(value) or "none"
    return "none" if value is None else str(value)

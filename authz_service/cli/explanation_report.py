"""An explanation as `authz explain` shows it, whoever gave it: the answer first, then why."""

from __future__ import annotations

from collections.abc import Iterable

from authz_service.api.v1 import recording_access_pb2 as pb
from authz_service.cli.options import Format
from authz_service.cli.output import print_fields, print_json, print_line, print_table
from authz_service.cli.wire_words import document_of, effect_of, kind_of, reason_of
from authz_service.pdp.model import AccessRequest

NOT_RECORDED = "explained offline: this was not recorded, and no service gave it"

_RULES = ("rule", "effect", "matched", "what of it is unmet")
_FACTS = ("fact", "id", "revision", "source", "observed at")
_STYLES = {"ALLOW": "green", "DENY": "red", "yes": "bold"}


def show_explanation(
    response: pb.ExplainAccessResponse, request: AccessRequest, form: Format, *, recorded: bool
) -> None:
    """Print why the answer to *request* is what it is."""
    if form is Format.JSON:
        asked = {"purpose_of_use": request.purpose_of_use.value, "recorded": recorded}
        print_json({**document_of(response), **asked})
        return
    answer = response.answer
    effect = effect_of(answer.effect)
    style = "bold green" if effect == "ALLOW" else "bold red"
    print_line(f"{effect}  {reason_of(answer.reason)}", style)
    print_fields(_fields(response, request))
    _print_change(response)
    _print_situation(response)
    _print_rules(response)
    _print_facts("Facts looked at", response.facts)
    if not recorded:
        print_line("")
        print_line(NOT_RECORDED, "yellow")


def _fields(response: pb.ExplainAccessResponse, request: AccessRequest) -> list[tuple[str, str]]:
    """Return the answer with its question."""
    answer = response.answer
    fields = [
        ("subject", request.subject_id),
        ("recording", request.recording_id),
        ("action", f"{request.action.value} for {request.purpose_of_use.value}"),
        ("rule", response.rule or "none"),
        ("patient", response.patient_id or "not known for certain"),
        *(("disagreement", each) for each in response.disagreements),
        ("policy", answer.policy_revision),
        ("facts revision", str(answer.facts_revision)),
        ("evaluated at", answer.evaluated_at.ToJsonString()),
    ]
    if response.HasField("as_of"):
        fields.append(("as of", response.as_of.ToJsonString()))
    if answer.decision_id:
        fields.append(("decision", answer.decision_id))
    if answer.request_id:
        fields.append(("request", answer.request_id))
    return fields


def _print_change(response: pb.ExplainAccessResponse) -> None:
    """Print the nearest change that would turn the answer."""
    _heading("Nearest change that would turn the answer")
    change = response.nearest_change
    if not response.HasField("nearest_change"):
        print_line("  none: no single change would")
        return
    print_line(f"  if {change.description}", "bold cyan")
    allows = reason_of(change.reason_after) == "RULE_ALLOWED"
    print_line(f"  then {'ALLOW' if allows else 'DENY'}  {reason_of(change.reason_after)}")
    for fact in change.facts:
        print_line(f"  {_in_words(fact)}", "dim")


def _print_situation(response: pb.ExplainAccessResponse) -> None:
    """Print what the policy saw; where it was not asked, that it was not."""
    _heading("What the policy saw")
    if not response.HasField("situation"):
        print_line("  nothing: what binds every policy came before it")
        return
    seen = response.situation
    inherited = sorted(set(seen.effective_roles) - set(seen.roles))
    roles = ", ".join(seen.roles) or "none"
    print_fields(
        [
            ("  roles", f"{roles}; by inheritance {', '.join(inherited)}" if inherited else roles),
            ("  conditions", ", ".join(seen.conditions) or "none"),
            ("  relations", ", ".join(one.relation for one in seen.relations) or "none"),
        ]
    )
    print_fields(
        (f"    {one.relation}", _in_words(fact)) for one in seen.relations for fact in one.facts
    )


def _print_rules(response: pb.ExplainAccessResponse) -> None:
    """Print every rule with what of it is unmet; the one that decided is marked."""
    if not response.rules:
        return
    _heading("Rules, in the policy's order")
    rows = [
        (
            f"{'>' if each.rule == response.rule else ' '} {each.rule}",
            effect_of(each.effect),
            "yes" if each.matched else "no",
            ", ".join(each.unmet) or "-",
        )
        for each in response.rules
    ]
    print_table(_RULES, rows, _STYLES)


def _print_facts(heading: str, facts: Iterable[pb.ExplainedFact]) -> None:
    """Print facts with who said so and when."""
    rows = [
        (
            kind_of(fact.reference.kind),
            fact.reference.id,
            str(fact.revision) if fact.revision else "-",
            fact.source or "-",
            fact.observed_at.ToJsonString() if fact.HasField("observed_at") else "-",
        )
        for fact in facts
    ]
    if rows:
        _heading(heading)
        print_table(_FACTS, rows, {})


def _heading(text: str) -> None:
    """Print a heading."""
    print_line("")
    print_line(text, "bold")


def _in_words(fact: pb.ExplainedFact) -> str:
    """Return one fact in words."""
    words = [kind_of(fact.reference.kind), fact.reference.id]
    if fact.revision:
        words.append(f"of revision {fact.revision}")
    if fact.source:
        words.append(f"says {fact.source}, {fact.observed_at.ToJsonString()}")
    return " ".join(words)

"""The policy in force at a running service: shown, and replaced."""

from __future__ import annotations

from typing import Any

from authz_service.api.v1 import policy_pb2 as pb
from authz_service.api.v1 import policy_pb2_grpc as grpc_api
from authz_service.cli.channel import Connection, connected
from authz_service.cli.codes import ExitCode
from authz_service.cli.failures import CommandError, located
from authz_service.cli.options import Format
from authz_service.cli.output import print_fields, print_json, print_line
from authz_service.cli.policy_report import plain_problems, report_problems
from authz_service.cli.question import require_ids
from authz_service.pdp.errors import PolicyProblem

_DONE = {
    "ACTIVATED": "is in force now",
    "UNCHANGED": "was in force already",
    "VALID": "stays in force; the bundle on disk is sound and its cases hold",
}


def active_policy(service: Connection) -> dict[str, Any]:
    """Return the policy in force, as JSON knows it.

    Raises:
        CommandError: The service does not say.
    """
    stub = service.stub(grpc_api.PolicyServiceStub)
    response: pb.GetActivePolicyResponse = service.call(
        stub.GetActivePolicy, pb.GetActivePolicyRequest()
    )
    document: dict[str, Any] = {
        "policy_revision": response.policy_revision,
        "activated_at": response.activated_at.ToJsonString(),
        "rules": response.rules,
        "cases": response.cases,
        "latest_attempt": None,
    }
    if response.HasField("latest_attempt"):
        attempt = response.latest_attempt
        document["latest_attempt"] = {
            "at": attempt.at.ToJsonString(),
            "outcome": _outcome(attempt.outcome),
            "problems": plain_problems([_problem(each) for each in attempt.problems]),
        }
    return document


def policy_fields(active: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the policy in force as names and values."""
    fields = [
        ("policy", active["policy_revision"]),
        ("in force since", active["activated_at"]),
        ("rules", str(active["rules"])),
        ("cases", f"{active['cases']}, all hold"),
    ]
    attempt = active["latest_attempt"]
    if attempt:
        fields.append(("latest attempt", f"{attempt['outcome']} at {attempt['at']}"))
        problems = [PolicyProblem(**problem) for problem in attempt["problems"]]
        fields += [("", located(problem)) for problem in problems]
    return fields


def report_active(address: str, timeout_seconds: float, form: Format) -> None:
    """Print the policy in force at *address*."""
    with connected(address, timeout_seconds) as service:
        active = active_policy(service)
    if form is Format.JSON:
        print_json(active)
    else:
        print_fields(policy_fields(active))


def report_reload(
    address: str, timeout_seconds: float, *, actor: str, dry_run: bool, form: Format
) -> ExitCode:
    """Have the service at *address* read its bundle again, print what became of it.

    Returns:
        The exit code.

    Raises:
        InvalidRequestError: The actor is no id.
        CommandError: The service does not answer, or in words that are not known here.
    """
    require_ids({"--actor": actor})
    with connected(address, timeout_seconds) as service:
        stub = service.stub(grpc_api.PolicyServiceStub)
        request = pb.ReloadPolicyRequest(actor=actor, dry_run=dry_run)
        response: pb.ReloadPolicyResponse = service.call(stub.ReloadPolicy, request)
    outcome, revision = _outcome(response.outcome), response.policy_revision
    known = {"outcome": outcome, "dry_run": dry_run, "policy_revision": revision}
    if outcome not in _DONE:
        problems = [_problem(each) for each in response.problems]
        if not problems:
            raise CommandError(f"the service answers {outcome}, which this command does not know")
        if form is Format.TEXT:
            print_line(f"{revision} stays in force")
        return report_problems(problems, form, known=known)
    if form is Format.JSON:
        print_json({"valid": True, **known, "problems": []})
    else:
        print_line(f"{revision} {_DONE[outcome]}", "green")
    return ExitCode.OK


def _outcome(number: int) -> str:
    """Return what became of a bundle, in a word."""
    try:
        return pb.LoadOutcome.Name(number).removeprefix("LOAD_OUTCOME_")  # type: ignore[arg-type]  # any number may come
    except ValueError:
        return f"OUTCOME_{number}"


def _problem(message: pb.PolicyProblem) -> PolicyProblem:
    """Return one problem out of its message."""
    return PolicyProblem(
        message.kind, message.file, message.line, message.column, message.message, message.hint
    )

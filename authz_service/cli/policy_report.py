"""What is wrong with a bundle, or what came of its cases, told to people and to programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from authz_service.cli.codes import ExitCode
from authz_service.cli.failures import CommandError, located, policy_refused
from authz_service.cli.options import Format
from authz_service.cli.output import print_fields, print_json, print_line
from authz_service.pdp.errors import PolicyProblem, PolicyRefusedError
from authz_service.policy.cases import CaseOutcome, Trial
from authz_service.policy.source import try_bundle, validate_bundle


def report_validation(directory: Path, form: Format) -> ExitCode:
    """Check the files in *directory*, print what was found, and return the exit code."""
    try:
        bundle = validate_bundle(directory)
    except PolicyRefusedError as refused:
        return report_problems(refused.problems, form, directory)
    if form is Format.JSON:
        print_json(
            {
                "valid": True,
                "policy_revision": bundle.revision,
                "rules": len(bundle.rules),
                "cases": len(bundle.cases),
                "problems": [],
            }
        )
        return ExitCode.OK
    print_line(f"{directory} is sound", "bold green")
    print_fields(
        [
            ("policy", bundle.revision),
            ("rules", str(len(bundle.rules))),
            ("cases", f"{len(bundle.cases)}, not tried; see: authz policy test"),
        ]
    )
    return ExitCode.OK


def report_problems(
    problems: Sequence[PolicyProblem],
    form: Format,
    directory: Path | None = None,
    *,
    known: Mapping[str, Any] | None = None,
    refused: CommandError | None = None,
) -> ExitCode:
    """Print *problems*, each where it stands, and return the exit code.

    Args:
        problems: At least one.
        form: For people or for programs.
        directory: The bundle's directory, put before each file; None for one elsewhere.
        known: What else programs are told, by name.
        refused: What the problems come to; by default the refusal of a policy.
    """
    refused = refused or policy_refused(tuple(problems))
    if form is Format.JSON:
        print_json({"valid": False, **(known or {}), "problems": plain_problems(problems)})
        return refused.code
    for problem in problems:
        print_line(located(_under(directory, problem)))
    print_line(f"authz: {refused.message}", "red", stderr=True)
    return refused.code


def plain_problems(problems: Sequence[PolicyProblem]) -> list[dict[str, Any]]:
    """Return *problems* as JSON knows them."""
    return [problem._asdict() for problem in problems]


def report_trial(directory: Path, min_coverage: float, form: Format) -> ExitCode:
    """Try the cases in *directory*, print what came of them, and return the exit code."""
    try:
        trial = try_bundle(directory)
    except PolicyRefusedError as refused:
        return report_problems(refused.problems, form, directory)
    coverage = _coverage(trial)
    if form is Format.JSON:
        print_json(_trial_document(trial, coverage, min_coverage))
    else:
        _print_trial(trial, coverage, directory)
    if trial.failures:
        return ExitCode.CASE_FAILED
    if coverage < min_coverage:
        if form is Format.TEXT:
            print_line(
                f"authz: {coverage:.1f} % of the rules decide a case; {min_coverage:g} % should",
                "red",
                stderr=True,
            )
        return ExitCode.COVERAGE_LOW
    return ExitCode.OK


def _under(directory: Path | None, problem: PolicyProblem) -> PolicyProblem:
    """Return *problem* with its file's path from here."""
    if directory is None:
        return problem
    return problem._replace(file=str(directory / problem.file) if problem.file else str(directory))


def _coverage(trial: Trial) -> float:
    """Return the share of rules that decide some case, in percent."""
    return 100.0 * (trial.rules - len(trial.unexercised)) / trial.rules if trial.rules else 0.0


def _print_trial(trial: Trial, coverage: float, directory: Path) -> None:
    """Print each case, then the sums."""
    width = max((len(outcome.case.id) for outcome in trial.outcomes), default=0)
    for outcome in trial.outcomes:
        if outcome.holds:
            print_line(f"ok    {outcome.case.id.ljust(width)}  {_words(_expected(outcome))}")
        else:
            problem = _under(directory, outcome.problem())
            print_line(f"FAIL  {located(problem)}", "red")
    exercised = trial.rules - len(trial.unexercised)
    failed = len(trial.failures)
    fields = [
        ("policy", trial.revision),
        (
            "cases",
            f"{len(trial.outcomes)}, of which {failed} {'does' if failed == 1 else 'do'} not hold",
        ),
        ("rule coverage", f"{exercised} of {trial.rules} rules decide a case ({coverage:.1f} %)"),
    ]
    if trial.unexercised:
        fields.append(("not covered", ", ".join(trial.unexercised)))
    print_fields(fields)


def _trial_document(trial: Trial, coverage: float, min_coverage: float) -> dict[str, Any]:
    """Return what came of the cases, for programs."""
    return {
        "valid": True,
        "policy_revision": trial.revision,
        "passed": len(trial.outcomes) - len(trial.failures),
        "failed": len(trial.failures),
        "cases": [_outcome_document(outcome) for outcome in trial.outcomes],
        "coverage": {
            "rules": trial.rules,
            "percent": round(coverage, 2),
            "min_percent": min_coverage,
            "not_covered": list(trial.unexercised),
        },
    }


def _outcome_document(outcome: CaseOutcome) -> dict[str, Any]:
    """Return what came of one case, for programs."""
    place = outcome.case.place
    return {
        "id": outcome.case.id,
        "says": outcome.case.says,
        "file": place.file,
        "line": place.line,
        "holds": outcome.holds,
        "expected": _expected(outcome),
        "came_out": _came_out(outcome),
    }


def _expected(outcome: CaseOutcome) -> dict[str, str | None]:
    """Return the answer that the case must have."""
    expected = outcome.case.expected
    return {
        "effect": expected.effect.value,
        "reason": expected.reason.value,
        "rule": expected.rule,
    }


def _came_out(outcome: CaseOutcome) -> dict[str, str | None] | None:
    """Return the answer that the case had."""
    decision = outcome.decision
    if decision is None:
        return None
    return {
        "effect": decision.effect.value,
        "reason": decision.reason.value,
        "rule": decision.rule,
    }


def _words(answer: dict[str, str | None]) -> str:
    """Return an answer in words."""
    rule = f" by {answer['rule']}" if answer["rule"] else ""
    return f"{answer['effect']} {answer['reason']}{rule}"

"""A callers file checked and shown: who may what, and who gains and loses by another one."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from authz_service.cli.callers_words import cells_of, document_of, fields_of
from authz_service.cli.codes import ExitCode
from authz_service.cli.every_rpc import EVERY_RPC
from authz_service.cli.failures import CommandError, callers_refused, located
from authz_service.cli.options import Format
from authz_service.cli.output import print_fields, print_json, print_line
from authz_service.cli.policy_report import plain_problems, report_problems
from authz_service.cli.wording import counted
from authz_service.identity.caller_rules import CallerRule
from authz_service.identity.callers import Callers
from authz_service.identity.callers_file import read_callers
from authz_service.pdp.errors import CallersRefusedError
from authz_service.tables.spelling import suggestion

Difference = dict[str, dict[str, list[str]]]
"""By ``gains`` and ``loses``, by column: words."""


def report_callers(file: Path, caller: str | None, form: Format) -> ExitCode:
    """Print what *caller*, or everybody, may by *file*; return the exit code.

    Raises:
        CommandError: The file has no row for *caller*.
    """
    try:
        callers = read_callers(file, EVERY_RPC)
    except CallersRefusedError as refused:
        return _report_refused(refused, form)
    rules = _rules_of(callers, caller, str(file))
    if form is Format.JSON:
        shown = [document_of(rule) for rule in rules]
        print_json(
            {
                "valid": True,
                **_document_of_file(file, callers),
                "callers": shown,
                "problems": [],
            }
        )
        return ExitCode.OK
    _print_file(file, callers)
    for rule in rules:
        print_line("")
        print_line(rule.caller, "bold")
        print_fields([(f"  {name}", sentence) for name, sentence in fields_of(rule)])
    return ExitCode.OK


def report_difference(file: Path, other: Path, caller: str | None, form: Format) -> ExitCode:
    """Print who gains and who loses if *other* took the place of *file*; return the exit code.

    Raises:
        CommandError: Neither file has a row for *caller*.
    """
    try:
        before, after = read_callers(file, EVERY_RPC), read_callers(other, EVERY_RPC)
    except CallersRefusedError as refused:
        return _report_refused(refused, form)
    both = Callers("", {**before.rules, **after.rules})
    found = {}
    for rule in _rules_of(both, caller, f"{file}, {other}"):
        old, new = before.rules.get(rule.caller), after.rules.get(rule.caller)
        if old != new:
            found[rule.caller] = (_change(old, new), difference(old, new))
    if form is Format.JSON:
        print_json(
            {
                "from": _document_of_file(file, before),
                "to": _document_of_file(other, after),
                "callers": [
                    {"caller": name, "change": change, **what}
                    for name, (change, what) in found.items()
                ],
            }
        )
        return ExitCode.OK
    _print_file(file, before)
    _print_file(other, after)
    for name, (change, what) in found.items():
        print_line("")
        print_line(f"{name}  {change}", "bold")
        _print_difference(what)
    if not found:
        print_line("nobody gains or loses anything", "green")
    return ExitCode.OK


def difference(before: CallerRule | None, after: CallerRule | None) -> Difference:
    """Return what a caller gains and loses, by column; what stays the same is left out."""
    old, new = cells_of(before), cells_of(after)
    return {
        "gains": {name: words for name in old if (words := _beyond(old[name], new[name]))},
        "loses": {name: words for name in old if (words := _beyond(new[name], old[name]))},
    }


def _beyond(these: Collection[str] | None, others: Collection[str] | None) -> list[str]:
    """Return what *others* hold beyond *these*; None is everything."""
    if these is None:
        return []
    if others is None:
        return [f"everything but {', '.join(sorted(these))}" if these else "everything"]
    return sorted(set(others) - set(these))


def _change(before: CallerRule | None, after: CallerRule | None) -> str:
    """Return in a word what becomes of a caller."""
    if before is None:
        return "is new"
    return "is UNAUTHENTICATED" if after is None else "changes"


def _rules_of(callers: Callers, caller: str | None, where: str) -> list[CallerRule]:
    """Return the rule of *caller*, or all, in the order of the file.

    Raises:
        CommandError: There is no row for *caller*.
    """
    if caller is None:
        return list(callers.rules.values())
    if caller not in callers.rules:
        hint = suggestion(caller, callers.rules)
        raise CommandError(f"{where}: has no row for {caller}", reason="NOT_FOUND", hint=hint)
    return [callers.rules[caller]]


def _report_refused(refused: CallersRefusedError, form: Format) -> ExitCode:
    """Print what is wrong with a file; return the exit code."""
    return report_problems(refused.problems, form, refused=callers_refused(refused.problems))


def _print_file(file: Path, callers: Callers) -> None:
    """Print which file this is, and what is doubtful about it."""
    count = counted(len(callers.rules), "caller")
    print_line(f"{file}  {count}, revision {callers.revision}")
    for warning in callers.warnings:
        print_line(f"warning: {located(warning)}", "yellow")


def _document_of_file(file: Path, callers: Callers) -> dict[str, Any]:
    """Return which file this is, and what is doubtful about it, for programs."""
    return {
        "file": str(file),
        "callers_revision": callers.revision,
        "warnings": plain_problems(callers.warnings),
    }


def _print_difference(what: Difference) -> None:
    """Print what a caller gains, then what it loses."""
    for kind, sign, colour in (("gains", "+", "yellow"), ("loses", "-", "green")):
        for column, words in what[kind].items():
            print_line(f"  {sign} {column.ljust(8)}  {', '.join(words)}", colour)

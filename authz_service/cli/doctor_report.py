"""All looks of the doctor's, in the order in which a start needs what they look at."""

from __future__ import annotations

from collections.abc import Callable

from authz_service.cli.codes import ExitCode
from authz_service.cli.doctor_decisions import decision_store
from authz_service.cli.doctor_finding import Finding, Verdict, bad, fine
from authz_service.cli.doctor_journal import journal
from authz_service.cli.doctor_network import (
    callers,
    grpc_address,
    health_address,
    http_address,
    worker_addresses,
)
from authz_service.cli.doctor_registry import registry, registry_server
from authz_service.cli.doctor_stores import disk, policy
from authz_service.cli.doctor_system import open_files, platform_found
from authz_service.cli.doctor_tls import certificates
from authz_service.cli.failures import failure_of
from authz_service.cli.options import Format
from authz_service.cli.output import print_json, print_line, print_table
from authz_service.cli.quiet import keep_logs_off
from authz_service.settings import Settings, SettingsError, load_settings

Look = Callable[[Settings], Finding]

_LOOKS: tuple[tuple[str, Look], ...] = (
    ("gRPC address", grpc_address),
    ("HTTP address", http_address),
    ("health address", health_address),
    ("workers", worker_addresses),
    ("registry", registry),
    ("registry server", registry_server),
    ("journal", journal),
    ("disk", disk),
    ("decision store", decision_store),
    ("policy", policy),
    ("callers", callers),
    ("certificates", certificates),
)
_STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red"}


def report_findings(form: Format) -> ExitCode:
    """Look at everything, print what was found, and return the exit code."""
    keep_logs_off()
    findings = find_all()
    failed = any(finding.verdict is Verdict.FAIL for finding in findings)
    if form is Format.JSON:
        print_json({"healthy": not failed, "checks": [finding._asdict() for finding in findings]})
    else:
        _print(findings)
    return ExitCode.ERROR if failed else ExitCode.OK


def find_all() -> list[Finding]:
    """Look at everything; what cannot be looked at is a finding too."""
    findings = [platform_found(), open_files()]
    try:
        settings = load_settings()
    except SettingsError as wrong:
        todo = "correct it; authz serve --help names every setting"
        return [*findings, *(bad("settings", line, todo) for line in str(wrong).split("\n"))]
    findings.append(fine("settings", "all are known and well-formed"))
    return findings + [_found(name, look, settings) for name, look in _LOOKS]


def _found(name: str, look: Look, settings: Settings) -> Finding:
    """Return what *look* finds; an error that nobody foresaw is one thing more found."""
    try:
        return look(settings)
    except Exception as error:  # noqa: BLE001  # one broken look must not hide the others
        failure = failure_of(error)
        return bad(name, failure.message, failure.hint)


def _print(findings: list[Finding]) -> None:
    """Print the findings as a table, then what to do."""
    rows = [(found.verdict.value, found.subject, found.what) for found in findings]
    print_table(("", "checked", "found"), rows, _STYLES)
    todo = [found for found in findings if found.todo]
    if todo:
        print_line("")
        print_line("to do", "bold")
    for found in todo:
        print_line(f"  {found.subject}: {found.todo}")

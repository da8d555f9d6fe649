"""The registry looked through where it lies, without a service."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict

from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.progress import Progress as Bar

from authz_service.cli.codes import ExitCode
from authz_service.cli.named_registry import named_registry
from authz_service.cli.options import Format
from authz_service.cli.output import print_fields, print_json, print_line, screen
from authz_service.cli.quiet import keep_logs_off
from authz_service.cli.wording import counted
from authz_service.facts.tallies import Finding, Progress, say_nothing
from authz_service.facts.verification import Conflict, conflicts_in, verify_registry
from authz_service.settings import load_settings

Overrides = dict[str, str | None]


def verify_facts(overrides: Overrides, form: Format) -> ExitCode:
    """Print what cannot be right in the registry; return the exit code.

    Raises:
        CommandError: The registry is silent, locked or gone, or of another schema.
    """
    keep_logs_off()
    with named_registry(load_settings(overrides).registry_url) as url, _bar() as progress:
        findings = list(verify_registry(url, progress=progress))
    if form is Format.JSON:
        document = {"sound": not findings, "findings": [asdict(each) for each in findings]}
        print_json(document)
    elif findings:
        for finding in findings:
            print_line(_finding_sentence(finding), "red")
    else:
        print_line("the registry is sound", "bold green")
    return ExitCode.ERROR if findings else ExitCode.OK


@contextmanager
def _bar() -> Iterator[Progress]:
    """Show on a terminal what is looked through, how far and how fast; elsewhere nothing."""
    console = screen(stderr=True)
    if not console.is_terminal:
        yield say_nothing
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
    )
    with Bar(*columns, console=console, transient=True) as bar:
        begun = time.monotonic()
        task, before, told = bar.add_task("", total=None, rate=""), 0, 0

        def tell(what: str, done: int, total: int | None) -> None:
            nonlocal before, told
            if bar.tasks[task].description != what:
                before, told = before + told, 0
            told = done
            rate = (before + told) / max(time.monotonic() - begun, 0.001)
            bar.update(
                task, description=what, completed=done, total=total, rate=f"{rate:,.0f} rows/s"
            )

        yield tell


def list_conflicts(overrides: Overrides, form: Format) -> None:
    """Print every recording whose facts disagree, with who says what.

    Raises:
        CommandError: The registry is silent, locked or gone, or of another schema.
    """
    keep_logs_off()
    with named_registry(load_settings(overrides).registry_url) as url:
        found = conflicts_in(url)
        if form is Format.JSON:
            print_json({"conflicts": [_conflict_document(each) for each in found]})
        else:
            _print_conflicts(found)


def _print_conflicts(found: Iterable[Conflict]) -> None:
    """Print each conflict as it is found, then how many there are."""
    count = 0
    for conflict in found:
        count += 1
        print_line(f"{conflict.recording_id}  {'; '.join(conflict.disagreements)}", "red")
        print_fields(
            (f"  {witness}", f"{patient_id or 'nobody'}, says {source}")
            for witness, patient_id, source in conflict.witnesses
        )
    print_line(f"{counted(count, 'recording')} in conflict")
    if count:
        print_line(
            "correct them where they come from; a dispute then ends by: authz facts resolve ID"
        )


def _finding_sentence(finding: Finding) -> str:
    """Return one finding in words."""
    more = ", ..." if finding.count > len(finding.examples) else ""
    return f"{finding.rule}: {finding.count} ({', '.join(finding.examples)}{more})"


def _conflict_document(conflict: Conflict) -> dict[str, object]:
    """Return one conflict, for programs."""
    return {
        "recording_id": conflict.recording_id,
        "disagreements": list(conflict.disagreements),
        "witnesses": [
            {"witness": witness, "patient_id": patient_id or None, "source": source}
            for witness, patient_id, source in conflict.witnesses
        ],
    }

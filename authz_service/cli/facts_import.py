"""Files of facts written to the registry, with what became of each."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict
from pathlib import Path
from time import perf_counter

from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from authz_service.cli.codes import ExitCode
from authz_service.cli.failures import CommandError
from authz_service.cli.named_registry import named_registry
from authz_service.cli.options import Format
from authz_service.cli.output import print_json, print_line, screen
from authz_service.cli.question import require_ids
from authz_service.cli.quiet import keep_logs_off
from authz_service.cli.wording import counted
from authz_service.clocks import SystemClock
from authz_service.facts.import_lines import lines_in
from authz_service.facts.import_progress import ImportSummary
from authz_service.facts.importer import FactsImporter, Progress
from authz_service.facts.schema_version import migrate
from authz_service.pdp.errors import InvalidRequestError, Violation
from authz_service.pdp.model import is_id
from authz_service.settings import load_settings

STDIN = "-"
_COUNTED_BYTES = 1 << 20
_NEXT = "see what disagrees: authz facts conflicts; what is broken: authz facts verify"


def import_files(
    files: Sequence[str], actor: str | None, overrides: dict[str, str | None], form: Format
) -> ExitCode:
    """Import *files* in order, up to the first that has a bad line; print what became of them.

    Raises:
        InvalidRequestError: The actor is no id.
        CommandError: The registry is silent, locked, read-only or gone; or an interrupt came.
        OSError: A file cannot be read.
    """
    keep_logs_off()
    answerable = actor if actor is not None else _user_name()
    require_ids({"--actor": answerable})
    url = load_settings(overrides).registry_url
    for file in files:
        if file != STDIN:
            Path(file).open("rb").close()
    with named_registry(url):
        migrate(url)
        with closing(FactsImporter(url, SystemClock())) as importer:
            done = _import_all(importer, files, answerable)
    return _report(done, form)


def _import_all(
    importer: FactsImporter, files: Sequence[str], actor: str
) -> Sequence[tuple[ImportSummary, int]]:
    """Import *files* in order, up to the first that has a bad line; tell lines a second, too."""
    done: list[tuple[ImportSummary, int]] = []
    for file in files:
        pace = Pace()
        summary = _import_one(importer, file, actor)
        pace.heard(summary)
        done.append((summary, pace.rate))
        if summary.problem:
            break
    return done


def _user_name() -> str:
    """Return who is logged in, where that name is an id.

    Raises:
        InvalidRequestError: It is not; the actor has to be named.
    """
    try:
        name = getpass.getuser()
    except (OSError, KeyError):
        name = ""
    if not is_id(name):
        raise InvalidRequestError(
            Violation("--actor", "is missing; name the person who is answerable for the import")
        )
    return name


def _import_one(importer: FactsImporter, file: str, actor: str) -> ImportSummary:
    """Import one file, or what comes on stdin."""
    path = None if file == STDIN else Path(file)
    with _bar(path) as progress:
        if path is None:
            lines = lines_in(sys.stdin.buffer)
            return importer.import_lines(lines, "stdin", actor=actor, progress=progress)
        with _told_where(progress) as told:
            return importer.import_file(path, actor=actor, progress=told)


class Pace:
    """How fast an import goes, without what an earlier one of the same file did."""

    def __init__(self) -> None:
        self._begun = perf_counter()
        self._done = 0

    def heard(self, summary: ImportSummary) -> None:
        """Take note of how far it is."""
        self._done = summary.lines - summary.resumed_after

    @property
    def rate(self) -> int:
        """Lines a second."""
        return round(self._done / max(perf_counter() - self._begun, 0.001))


@contextmanager
def _told_where(progress: Progress) -> Iterator[Progress]:
    """Have an interrupt say where the next import of the same file goes on.

    Raises:
        CommandError: There was one.
    """
    done = ""

    def told(summary: ImportSummary) -> None:
        nonlocal done
        done = f" after line {summary.lines}"
        progress(summary)

    try:
        yield told
    except KeyboardInterrupt:
        hint = f"start again to go on{done or ' where it was stopped'}"
        raise CommandError("interrupted", reason="INTERRUPTED", hint=hint) from None


@contextmanager
def _bar(path: Path | None) -> Iterator[Progress]:
    """Show on a terminal how many lines are done; elsewhere nothing."""
    console = screen(stderr=True)
    if not console.is_terminal:
        yield lambda _summary: None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=console, transient=True, speed_estimate_period=60) as bar:
        name, total = ("stdin", None) if path is None else (path.name, _lines_of(path))
        task = bar.add_task(name, total=total, rate="")
        pace = Pace()

        def told(summary: ImportSummary) -> None:
            pace.heard(summary)
            bar.update(task, completed=summary.lines, rate=f"{pace.rate:,}/s")

        yield told


def _lines_of(path: Path) -> int:
    """Return how many lines the file at *path* has."""
    with path.open("rb") as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(_COUNTED_BYTES), b""))


def _report(done: Sequence[tuple[ImportSummary, int]], form: Format) -> ExitCode:
    """Print what became of each file, and how fast; return the exit code."""
    summaries = [summary for summary, _rate in done]
    problems = [summary.problem for summary in summaries if summary.problem]
    if form is Format.JSON:
        print_json(
            {
                "files": [asdict(summary) | {"lines_per_second": rate} for summary, rate in done],
                "lines": sum(summary.lines for summary in summaries),
                "written": sum(summary.written for summary in summaries),
                "skipped": sum(summary.skipped for summary in summaries),
                "unchanged": sum(summary.unchanged for summary in summaries),
                "finished": not problems,
            }
        )
    else:
        for summary in summaries:
            print_line(_sentence(summary))
        if not problems and not all(_is_old(summary) for summary in summaries):
            print_line(_NEXT, "dim")
    for problem in problems:
        print_line(f"authz: {problem}", "red", stderr=True)
        print_line("  mend that line and import again; what came before it is stored", stderr=True)
    return ExitCode.ERROR if problems else ExitCode.OK


def _is_old(summary: ImportSummary) -> bool:
    """Whether an earlier import had done all of the file."""
    return summary.finished and 0 < summary.lines == summary.resumed_after


def _sentence(summary: ImportSummary) -> str:
    """Return what became of one file."""
    if _is_old(summary):
        return f"{summary.name}: already imported, nothing to do"
    done = f"{summary.name}: {counted(summary.lines, 'line')} done"
    others = f"{summary.skipped} skipped, {summary.unchanged} unchanged"
    if not summary.resumed_after:
        return f"{done}: {summary.written} written, {others}"
    now = summary.written - summary.written_before
    return (
        f"{done}, going on after line {summary.resumed_after}: {now} written now; "
        f"{summary.written} written, {others} in all"
    )

"""All facts written out as JSON Lines: to stdout, or to a file that appears once it is whole."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from rich.progress import Progress, SpinnerColumn, TextColumn

from authz_service.cli.codes import ExitCode
from authz_service.cli.failures import CommandError
from authz_service.cli.named_registry import named_registry
from authz_service.cli.options import Format
from authz_service.cli.output import print_json, print_line, screen
from authz_service.cli.quiet import keep_logs_off
from authz_service.cli.wording import counted
from authz_service.facts.exporter import export_lines
from authz_service.settings import load_settings

STDOUT = "-"
_SHOWN_EACH = 1000


def export_facts(
    file: str, overrides: dict[str, str | None], form: Format, *, force: bool
) -> ExitCode:
    """Write all facts of the registry to *file*; say how many on stderr, or as JSON for a file.

    Raises:
        CommandError: The registry is silent, locked or gone, or of another schema; or there is a
            *file*, which only *force* writes over.
        OSError: The file cannot be written.
    """
    keep_logs_off()
    url = load_settings(overrides).registry_url
    if file == STDOUT:
        with named_registry(url):
            count = _write(export_lines(url), sys.stdout.buffer)
        print_line(counted(count, "fact"), "dim", stderr=True)
        return ExitCode.OK
    require_new(file, force=force)
    with named_registry(url), whole_or_not(Path(file)) as stream:
        count = _write(export_lines(url), stream)
    if form is Format.JSON:
        print_json({"file": file, "facts": count})
    else:
        print_line(f"{file}: {counted(count, 'fact')}")
    return ExitCode.OK


def require_new(file: str, *, force: bool) -> None:
    """Refuse to write over *file* unless that is asked for.

    Raises:
        CommandError: There is such a file.
    """
    if not force and Path(file).exists():
        raise CommandError(
            f"{file}: there is such a file already",
            reason="FILE_EXISTS",
            hint="name another, or write over it with --force",
        )


def _write(lines: Iterator[bytes], stream: BinaryIO) -> int:
    """Write *lines* to *stream*, counting on a terminal; return how many there were."""
    console = screen(stderr=True)
    hidden = not console.is_terminal or (stream is sys.stdout.buffer and stream.isatty())
    count = 0
    columns = (SpinnerColumn(), TextColumn("{task.completed:.0f} facts"))
    with Progress(*columns, console=console, transient=True, disable=hidden) as bar:
        task = bar.add_task("export", total=None)
        for line in lines:
            stream.write(line)
            count += 1
            if count % _SHOWN_EACH == 0:
                bar.update(task, completed=count)
    stream.flush()
    return count


@contextmanager
def whole_or_not(path: Path) -> Iterator[BinaryIO]:
    """Lend a stream whose content is at *path* once all is written, for this user alone to read.

    Raises:
        OSError: It cannot be written; names *path*, which alone the user knows.
    """
    try:
        with _draft_of(path) as stream:
            yield stream
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


@contextmanager
def _draft_of(path: Path) -> Iterator[BinaryIO]:
    """Lend a stream to a file beside *path*, which takes its place at the end."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)

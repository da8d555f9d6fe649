"""The doctor's look at the journal."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from authz_service.audit.chain import Position
from authz_service.audit.directory import segment_numbers, segment_path
from authz_service.audit.scan import Batch, Fault, later_lines_are_sound, read_segment
from authz_service.audit.verify import verify_journal
from authz_service.cli.doctor_finding import Finding, Verdict, bad, fine, odd
from authz_service.cli.wording import counted
from authz_service.settings import Settings
from authz_service.supervision.journals import worker_journals

_MEBIBYTE = 1 << 20
_VERIFIED_BYTES = 256 * _MEBIBYTE


def journal(settings: Settings) -> Finding:
    """Look whether the journal can be written, who writes it, and whether its chain holds."""
    directory = settings.journal_dir
    name = "journal"
    if not directory.exists():
        parent = existing(directory)
        if os.access(parent, os.W_OK | os.X_OK):
            return fine(name, f"{directory} will be made by the first start")
        return bad(name, f"{directory} cannot be made in {parent}", "give the right to write there")
    if not directory.is_dir() or not os.access(directory, os.R_OK | os.W_OK | os.X_OK):
        todo = "give the service's user a directory it may write: AUTHZ_JOURNAL_DIR"
        return bad(name, f"{directory} is not a directory that can be written", todo)
    found = (directory, *worker_journals(directory).values())
    looks = [_looked_at(each) for each in found if segment_numbers(each)]
    for verdict in (Verdict.FAIL, Verdict.WARN):
        if worst := [each for each in looks if each.verdict is verdict]:
            return worst[0]
    return fine(name, "; ".join(each.what for each in looks or [_looked_at(directory)]))


def _looked_at(directory: Path) -> Finding:
    """Look at one journal, of a service of one process or of a worker."""
    written = _is_locked(directory / "lock")
    who = "a service writes it" if written else "nobody writes it now"
    return _verified(directory, who, written=written)


def existing(path: Path) -> Path:
    """Return *path*, or the nearest directory above it that exists."""
    absolute = path.absolute()
    return next(each for each in (absolute, *absolute.parents) if each.exists())


def _is_locked(path: Path) -> bool:
    """Whether a writer holds the lock file at *path*."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _verified(directory: Path, who: str, *, written: bool) -> Finding:
    """Look at every line of a journal, where it is not too long for that."""
    numbers = segment_numbers(directory)
    size = sum(segment_path(directory, number).stat().st_size for number in numbers)
    if size > _VERIFIED_BYTES:
        return fine("journal", f"{directory}: {size // _MEBIBYTE} MiB, not verified here; {who}")
    report = verify_journal(directory)
    if report.fault is not None:
        todo = "keep a copy of the directory, then restore the file from a copy"
        return bad("journal", f"{report.fault}: {_meaning(directory, report.fault)}", todo)
    if report.torn and not written:
        todo = "nothing: the next start cuts it off and keeps it; nobody was answered for it"
        return odd("journal", f"{directory} has a torn end", todo)
    what = (
        f"{directory}: {counted(report.records, 'record')} in {counted(report.segments, 'segment')}"
    )
    return fine("journal", f"{what}, the chain holds; {who}")


def _meaning(directory: Path, fault: Fault) -> str:
    """Return what *fault* means for a start."""
    if _is_met_by_start(directory, fault):
        return "this is damage; a start would be refused"
    return (
        "evidence is damaged; a start would go on, because only the last segment is verified then"
    )


def _is_met_by_start(directory: Path, fault: Fault) -> bool:
    """Whether a start, which reads back to the last segment with records, meets damage there."""
    for number in reversed(segment_numbers(directory)):
        path = segment_path(directory, number)
        if path.name <= fault.path.name:
            return True
        has_records, end = False, Position()
        for unit in read_segment(path):
            if isinstance(unit, Fault):
                if later_lines_are_sound(path, end.offset_bytes, end.batch):
                    return True
                break
            has_records, end = has_records or isinstance(unit, Batch), unit.end
        if has_records:
            return False
    return True

"""The doctor's looks at what a service reads and writes: registry, journal, disk and policy."""

from __future__ import annotations

import fcntl
import os
import shutil
from pathlib import Path

from authz_service.audit.directory import segment_numbers, segment_path
from authz_service.audit.verify import verify_journal
from authz_service.cli.doctor_finding import Finding, bad, fine, odd
from authz_service.cli.failures import located
from authz_service.clocks import SystemClock
from authz_service.facts.database import parsed
from authz_service.facts.schema_version import SchemaState, schema_state
from authz_service.facts.sql_reader import SqlReader
from authz_service.pdp.errors import FactsUnavailableError, PolicyRefusedError
from authz_service.policy.source import BundleSource
from authz_service.settings import Settings

_MEBIBYTE = 1 << 20
_VERIFIED_BYTES = 256 * _MEBIBYTE
_LITTLE_BYTES, _TOO_LITTLE_BYTES = 1024 * _MEBIBYTE, 64 * _MEBIBYTE

_SCHEMAS = {
    SchemaState.EMPTY: (
        "there is none yet",
        "load facts: authz facts import; or start: authz serve",
    ),
    SchemaState.OLDER: ("its schema is older than this program", "authz serve upgrades it"),
}
_WRONG_SCHEMAS = {
    SchemaState.NEWER: ("its schema is newer than this program", "use the program's newer version"),
    SchemaState.FOREIGN: ("it holds other tables and no registry", "correct AUTHZ_REGISTRY_URL"),
}


def registry(settings: Settings) -> Finding:
    """Look whether the registry answers, is of this program's schema, writable and on time."""
    try:
        where = _place(settings.registry_url)
        schema = schema_state(settings.registry_url)
        if schema in _SCHEMAS:
            what, todo = _SCHEMAS[schema]
            return odd("registry", f"{where}: {what}", todo)
        if schema in _WRONG_SCHEMAS:
            what, todo = _WRONG_SCHEMAS[schema]
            return bad("registry", f"{where}: {what}", todo)
        revision = _looked_at(settings.registry_url)
    except FactsUnavailableError as silent:
        todo = "check AUTHZ_REGISTRY_URL, and that the database runs and lets this user in"
        return bad("registry", str(silent), todo)
    return fine("registry", f"{where} is at revision {revision}, writable, its clock agrees")


def journal(settings: Settings) -> Finding:
    """Look whether the journal can be written, who writes it, and whether its chain holds."""
    directory = settings.journal_dir
    name = "journal"
    if not directory.exists():
        parent = _existing(directory)
        if os.access(parent, os.W_OK | os.X_OK):
            return fine(name, f"{directory} will be made by the first start")
        return bad(name, f"{directory} cannot be made in {parent}", "give the right to write there")
    if not directory.is_dir() or not os.access(directory, os.R_OK | os.W_OK | os.X_OK):
        todo = "give the service's user a directory it may write: AUTHZ_JOURNAL_DIR"
        return bad(name, f"{directory} is not a directory that can be written", todo)
    written = _is_locked(directory / "lock")
    who = "a service writes it" if written else "nobody writes it now"
    return _verified(directory, who, written=written)


def disk(settings: Settings) -> Finding:
    """Look how much room the journal has."""
    place = _existing(settings.journal_dir)
    free = shutil.disk_usage(place).free
    what = f"{free // _MEBIBYTE} MiB free for the journal"
    todo = "make room, or move the journal: AUTHZ_JOURNAL_DIR; without room nothing is answered"
    if free < _TOO_LITTLE_BYTES:
        return bad("disk", what, todo)
    return odd("disk", what, todo) if free < _LITTLE_BYTES else fine("disk", what)


def policy(settings: Settings) -> Finding:
    """Look whether the bundle could be put in force."""
    directory = settings.policy_dir
    try:
        loaded = BundleSource(directory).load()
    except PolicyRefusedError as refused:
        first = located(refused.problems[0])
        more = f", and {len(refused.problems) - 1} more" if len(refused.problems) > 1 else ""
        return bad("policy", f"{first}{more}", f"see: authz policy test {directory}")
    what = f"{directory}: {loaded.rules} rules, {loaded.cases} cases hold"
    if not loaded.cases:
        return odd("policy", what, "write golden decisions: cases/*.yaml")
    return fine("policy", what)


def _place(url: str) -> str:
    """Return where *url* leads, without any password."""
    target = parsed(url)
    host = f"{target.host or 'local'}:{target.port or 5432}/" if target.host else ""
    return f"{target.get_backend_name()} {host}{target.database or ''}"


def _looked_at(url: str) -> int:
    """Return the revision of the registry at *url*, looked at as a service does."""
    reader = SqlReader(url, SystemClock(), connections=1)
    try:
        return reader.look().revision
    finally:
        reader.close()


def _existing(path: Path) -> Path:
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
        todo = "keep a copy of the directory, then restore the file; a start would be refused"
        return bad("journal", str(report.fault), todo)
    if report.torn and not written:
        todo = "nothing: the next start cuts it off and keeps it; nobody was answered for it"
        return odd("journal", f"{directory} has a torn end", todo)
    what = f"{directory}: {report.records} records in {report.segments} segments, the chain holds"
    return fine("journal", f"{what}; {who}")

"""The doctor's looks at what a service reads and writes: registry, disk and policy."""

from __future__ import annotations

import shutil

from authz_service.cli.console_client import read_console
from authz_service.cli.doctor_finding import Finding, bad, fine, odd
from authz_service.cli.doctor_journal import existing
from authz_service.cli.failures import located
from authz_service.cli.healthcheck import status_or_silence
from authz_service.cli.http_client import shown_by
from authz_service.cli.wording import counted, serve_command
from authz_service.clocks import SystemClock
from authz_service.facts.database import parsed
from authz_service.facts.schema_version import SchemaState, schema_state
from authz_service.facts.sql_reader import SqlReader
from authz_service.pdp.errors import FactsUnavailableError, PolicyRefusedError
from authz_service.policy.source import BundleSource
from authz_service.settings import Settings

_MEBIBYTE = 1 << 20
_LITTLE_BYTES, _TOO_LITTLE_BYTES = 1024 * _MEBIBYTE, 64 * _MEBIBYTE

_LOOK_SECONDS = 1.0
_WRONG_SCHEMAS = {
    SchemaState.NEWER: ("its schema is newer than this program", "use the program's newer version"),
    SchemaState.FOREIGN: ("it holds other tables and no registry", "correct AUTHZ_REGISTRY_URL"),
}


def registry(settings: Settings) -> Finding:
    """Look whether the registry answers, is of this program's schema, writable and on time."""
    try:
        where = _place(settings.registry_url)
        schema = schema_state(settings.registry_url)
        if schema is SchemaState.EMPTY:
            return _no_registry(where, settings)
        if schema is SchemaState.OLDER:
            what = f"{where}: its schema is older than this program"
            return odd("registry", what, "authz serve upgrades it")
        if schema in _WRONG_SCHEMAS:
            what, todo = _WRONG_SCHEMAS[schema]
            return bad("registry", f"{where}: {what}", todo)
        revision = _looked_at(settings.registry_url)
    except FactsUnavailableError as silent:
        todo = "check AUTHZ_REGISTRY_URL, and that the database runs and lets this user in"
        return bad("registry", str(silent), todo)
    return fine("registry", f"{where} is at revision {revision}, writable, its clock agrees")


def disk(settings: Settings) -> Finding:
    """Look how much room the journal has."""
    place = existing(settings.journal_dir)
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
    what = f"{directory}: {counted(loaded.rules, 'rule')}, {_held(loaded.cases)}"
    if not loaded.cases:
        return odd("policy", what, "write golden decisions: cases/*.yaml")
    return fine("policy", what)


def _no_registry(where: str, settings: Settings) -> Finding:
    """Return that there is no registry: none yet, or another than that of a service here."""
    answers = not status_or_silence(settings.listen, _LOOK_SECONDS)[1]
    console = read_console(settings.http_listen, _LOOK_SECONDS, shown_by(settings))
    if not answers and console.silence:
        todo = f"load facts: authz facts import; or start: {serve_command()}"
        return odd("registry", f"{where}: there is none yet", todo)
    what = f"{where}: there is none, though a service answers here"
    todo = (
        "set AUTHZ_REGISTRY_URL to that of the service; or restore it from a backup, if it is lost"
    )
    return bad("registry", what, todo)


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


def _held(cases: int) -> str:
    """Return that all *cases* hold, in words."""
    return f"{counted(cases, 'case')} {'holds' if cases == 1 else 'hold'}"

"""The doctor's looks at the registry, and at the server that it is on."""

from __future__ import annotations

import time
from typing import Final

from authz_service.cli.console_client import read_console
from authz_service.cli.doctor_finding import Finding, bad, fine, odd
from authz_service.cli.healthcheck import status_or_silence
from authz_service.cli.http_client import shown_by
from authz_service.cli.wording import counted, serve_command
from authz_service.clocks import SystemClock
from authz_service.facts import trouble
from authz_service.facts.condition import (
    RegistryCondition,
    ServerCondition,
    condition_of,
    server_of,
)
from authz_service.facts.database import parsed
from authz_service.facts.schema_version import SchemaState, schema_state
from authz_service.facts.sql_reader import SqlReader
from authz_service.pdp.errors import FactsUnavailableError
from authz_service.settings import Settings

_NAME, _SERVER = "registry", "registry server"
_LOOK_SECONDS = 1.0
_SLOW_MILLISECONDS = 50.0
_FEW_CONNECTIONS = 10
_WRONG_SCHEMAS: Final = {
    SchemaState.NEWER: (
        "its schema is newer than this program, and no longer bears it",
        "use the program's newer version",
    ),
    SchemaState.FOREIGN: ("it holds other tables and no registry", "correct AUTHZ_REGISTRY_URL"),
}
_ADVICE: Final = (
    (trouble.WRONG_PASSWORD, "correct user and password in AUTHZ_REGISTRY_URL"),
    (trouble.NO_DATABASE, "correct the database in AUTHZ_REGISTRY_URL, or create it"),
    (trouble.NOT_LET_IN, "let this user in from here: pg_hba.conf, and the right to connect"),
    (
        trouble.NO_CONNECTIONS,
        "raise max_connections, or end what holds them; a replica needs up to seven",
    ),
    (trouble.COMING_OR_GOING, "wait for it; services go on by themselves once it is back"),
    (
        trouble.READ_ONLY,
        "name the primary in AUTHZ_REGISTRY_URL, or make the database writable again",
    ),
    (
        "its clock is more than",
        "have both machines keep time by NTP: nothing is answered till then",
    ),
    ("locked by another process", "wait, or end what locks it: an upgrade, an import, a backup"),
    ("its disk is full", "make room where the database lies"),
    ("took too long", "look what the server is busy with; its tables may want VACUUM ANALYZE"),
    ("its file is gone", "restore the file, or correct AUTHZ_REGISTRY_URL"),
    ("its file is", "restore the registry from a backup"),
    ("malformed", "correct AUTHZ_REGISTRY_URL"),
)
"""What to do, by words of the message."""
_ANY: Final = "check AUTHZ_REGISTRY_URL, and that the database runs and can be reached from here"


def registry(settings: Settings) -> Finding:
    """Look whether the registry answers, is of a fit schema, writable, on time and soon."""
    url = settings.registry_url
    try:
        where = _place(url)
        unfit = _unfit_schema(where, settings)
        if unfit is not None:
            return unfit
        revision, milliseconds = _looked_at(url)
        condition = condition_of(url)
    except FactsUnavailableError as silent:
        return bad(_NAME, str(silent), _advice(str(silent)))
    return _soundness(where, revision, milliseconds, condition)


def registry_server(settings: Settings) -> Finding:
    """Look at what the server of the registry has left, and who else works on it."""
    try:
        if parsed(settings.registry_url).get_backend_name() == "sqlite":
            return fine(_SERVER, "none: it is a file, for one machine")
        server = server_of(settings.registry_url)
    except FactsUnavailableError:
        return fine(_SERVER, "not asked, because the registry is not usable")
    what = _server_words(server)
    if server.is_migrating:
        todo = "wait until it is done; a start waits for half a minute, and is refused then"
        return odd(_SERVER, f"{what}; a program is upgrading the registry", todo)
    if server.most_connections - server.connections < _FEW_CONNECTIONS:
        return odd(_SERVER, what, "raise max_connections: a replica needs up to seven")
    return fine(_SERVER, what)


def _unfit_schema(where: str, settings: Settings) -> Finding | None:
    """Return why the schema is none to work on; None where it is."""
    schema = schema_state(settings.registry_url)
    if schema is SchemaState.EMPTY:
        return _no_registry(where, settings)
    if schema is SchemaState.OLDER:
        what = f"{where}: its schema is older than this program"
        return odd(_NAME, what, "authz serve upgrades it, and earlier programs stop then")
    if schema in _WRONG_SCHEMAS:
        what, todo = _WRONG_SCHEMAS[schema]
        return bad(_NAME, f"{where}: {what}", todo)
    return None


def _soundness(
    where: str, revision: int, milliseconds: float, condition: RegistryCondition
) -> Finding:
    """Return how a registry is that can be worked on."""
    later = f", its schema is of a later version ({condition.version})" if condition.later else ""
    kept = f", history from revision {condition.history_from}" if condition.history_from else ""
    what = f"{where} is at revision {revision}, writable, its clock agrees{later}{kept}"
    if milliseconds > _SLOW_MILLISECONDS:
        todo = "put service and database nearer to each other: facts may be 50 ms old by default"
        return odd(_NAME, f"{what}; but a look takes {milliseconds:.0f} ms", todo)
    if condition.disputed:
        some = counted(condition.disputed, "recording")
        more = " or more" if condition.more_disputed else ""
        return odd(
            _NAME,
            f"{what}; {some}{more} disputed",
            "see: authz facts conflicts; authz facts resolve",
        )
    return fine(_NAME, what)


def _server_words(server: ServerCondition) -> str:
    """Return what there is to say of a server."""
    standbys = f", {counted(server.standbys, 'standby')}" if server.standbys else ""
    return (
        f"{server.connections} of {server.most_connections} connections in use,"
        f" {server.ours} by services{standbys}"
    )


def _advice(why: str) -> str:
    """Return what to do about *why* the registry is not usable."""
    return next((todo for words, todo in _ADVICE if words in why), _ANY)


def _no_registry(where: str, settings: Settings) -> Finding:
    """Return that there is no registry: none yet, or another than that of a service here."""
    answers = not status_or_silence(settings.listen, _LOOK_SECONDS)[1]
    console = read_console(settings.http_listen, _LOOK_SECONDS, shown_by(settings))
    if not answers and console.silence:
        todo = f"load facts: authz facts import; or start: {serve_command()}"
        return odd(_NAME, f"{where}: there is none yet", todo)
    what = f"{where}: there is none, though a service answers here"
    todo = (
        "set AUTHZ_REGISTRY_URL to that of the service; or restore it from a backup, if it is lost"
    )
    return bad(_NAME, what, todo)


def _place(url: str) -> str:
    """Return where *url* leads, without any password."""
    target = parsed(url)
    host = f"{target.host or 'local'}:{target.port or 5432}/" if target.host else ""
    return f"{target.get_backend_name()} {host}{target.database or ''}"


def _looked_at(url: str) -> tuple[int, float]:
    """Return the revision, looked at as a service does, and how many milliseconds that took."""
    reader = SqlReader(url, SystemClock(), connections=1)
    try:
        reader.look()  # which opens the connection
        begun = time.monotonic()
        revision = reader.look().revision
        return revision, (time.monotonic() - begun) * 1000
    finally:
        reader.close()

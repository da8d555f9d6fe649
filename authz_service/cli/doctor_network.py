"""The doctor's looks at addresses, and at who may call."""

from __future__ import annotations

import ipaddress
import socket

from authz_service.cli.console_client import read_console
from authz_service.cli.doctor_finding import Finding, bad, fine, odd
from authz_service.cli.every_rpc import EVERY_RPC
from authz_service.cli.failures import located
from authz_service.cli.healthcheck import status_or_silence
from authz_service.cli.http_client import shown_by
from authz_service.cli.wording import counted
from authz_service.console.guard import GuardError, GuardFiles, require_files
from authz_service.console.tokens import TokenFileError, read_tokens
from authz_service.identity.callers_file import read_callers
from authz_service.pdp.errors import CallersRefusedError
from authz_service.settings import Settings

_TIMEOUT_SECONDS = 1.0
_LAST_PORT = 65535


def grpc_address(settings: Settings) -> Finding:
    """Look whether gRPC can be served, or is."""
    name, address = "gRPC address", settings.listen
    wrong = _not_servable(name, address, "AUTHZ_LISTEN") if settings.tls_cert is None else None
    if wrong is not None:
        return wrong
    if _is_free(address):
        if settings.insecure_loopback or settings.tls_cert is not None:
            return fine(name, f"{address} is free")
        return odd(
            name,
            f"{address} is free, but the service would not start: it could identify no caller",
            "set AUTHZ_TLS_CERT, AUTHZ_TLS_KEY and AUTHZ_CLIENT_CA, or AUTHZ_INSECURE_LOOPBACK=1",
        )
    return _who_answers(name, address, with_tls=settings.tls_cert is not None)


def _who_answers(name: str, address: str, *, with_tls: bool) -> Finding:
    """Return who answers gRPC at *address*, which is taken."""
    health, silence = status_or_silence(address, _TIMEOUT_SECONDS)
    if silence and with_tls:
        return odd(name, f"{address} is taken; {silence}", "is it this service? see: authz status")
    if silence:
        return bad(
            name, f"{address} is taken, and not by this service", "set AUTHZ_LISTEN to another port"
        )
    if health != "SERVING":
        return odd(name, f"this service is at {address} and says {health}", "see: authz status")
    return fine(name, f"this service is SERVING at {address}")


def http_address(settings: Settings) -> Finding:
    """Look whether HTTP can be served, with what protects it, or is."""
    name, address = "HTTP address", settings.http_listen
    files = GuardFiles(settings.http_token_file, settings.tls_cert, settings.tls_key)
    try:
        require_files(address, files)
        if files.token is not None:
            read_tokens(files.token)
    except (GuardError, TokenFileError) as wrong:
        return bad(name, str(wrong), "authz serve would not start; mend what it names")
    if _is_free(address):
        return fine(name, f"{address} is free{_asked(settings)}")
    silence = read_console(address, _TIMEOUT_SECONDS, shown_by(settings)).silence
    if silence:
        return bad(
            name,
            f"{address} is taken, and not by this service: {silence}",
            "set AUTHZ_HTTP_LISTEN to another port",
        )
    return fine(name, f"this service answers at {address}{_asked(settings)}")


def health_address(settings: Settings) -> Finding:
    """Look whether probes can be answered, or are."""
    name, address = "health address", settings.health_listen
    if address is None:
        return fine(name, "none is set; probes ask the gRPC address")
    if _is_free(address):
        return fine(name, f"{address} is free; it is plaintext, so let nobody but probes reach it")
    health, silence = status_or_silence(address, _TIMEOUT_SECONDS, in_plaintext=True)
    if silence:
        todo = "set AUTHZ_HEALTH_LISTEN to another port"
        return bad(name, f"{address} is taken, and not by this service", todo)
    if health != "SERVING":
        return odd(name, f"this service is at {address} and says {health}", "see: authz status")
    return fine(name, f"this service is SERVING at {address}")


def worker_addresses(settings: Settings) -> Finding:
    """Look whether each worker could serve HTTP at the port that is its own."""
    name, count = "workers", settings.workers
    if count == 1:
        return fine(name, "one process, without workers")
    host, _, base = settings.http_listen.rpartition(":")
    if base == "0":
        return fine(name, f"{count}, each at a port that is free")
    if int(base) + count > _LAST_PORT:
        what = f"AUTHZ_HTTP_LISTEN={settings.http_listen} leaves no ports for {count} workers"
        return bad(name, what, "set AUTHZ_HTTP_LISTEN to a smaller port")
    addresses = [f"{host}:{int(base) + number}" for number in range(1, count + 1)]
    taken = [
        address
        for address in addresses
        if not _is_free(address)
        and read_console(address, _TIMEOUT_SECONDS, shown_by(settings)).silence
    ]
    if taken:
        what = f"{', '.join(taken)} taken, and not by this service"
        return bad(name, what, "set AUTHZ_HTTP_LISTEN to a port with free ones after it")
    return fine(name, f"{count}, at {addresses[0]} to {addresses[-1].rpartition(':')[2]}")


def callers(settings: Settings) -> Finding:
    """Look at the file that says who may ask what."""
    path, over_tls = settings.callers_file, settings.client_ca is not None
    plaintext = True if settings.insecure_loopback else False if over_tls else None
    try:
        read = read_callers(path, EVERY_RPC, plaintext=plaintext)
    except CallersRefusedError as wrong:
        first, more = located(wrong.problems[0]), len(wrong.problems) - 1
        what = f"{first}, and {counted(more, 'more problem')}" if more else first
        todo = "mend it, see authz policy callers, or name another file: AUTHZ_CALLERS_FILE"
        return bad("callers", what, todo)
    known = counted(len(read.rules), "caller")
    if read.warnings:
        doubts = f"{counted(len(read.warnings), 'warning')}: {located(read.warnings[0])}"
        return odd("callers", f"{known}, {doubts}", f"see: authz policy callers {path}")
    return fine("callers", f"{path} has {known}")


def _asked(settings: Settings) -> str:
    """Return whether a token is asked for, in words."""
    return "" if settings.http_token_file is None else ", and asks for a token"


def _not_servable(name: str, address: str, setting: str) -> Finding | None:
    """Return that *address* is one that others can reach; None where it is not."""
    host = address.rpartition(":")[0].strip("[]")
    if ipaddress.ip_address(host).is_loopback:
        return None
    return bad(
        name,
        f"{setting}={address} is not a loopback address; plaintext is served on loopback only",
        f"set {setting} to an address such as 127.0.0.1:50051",
    )


def _is_free(address: str) -> bool:
    """Whether nobody listens at *address*."""
    host, _, port = address.rpartition(":")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind((host.strip("[]"), int(port)))
        except OSError:
            return False
    return True

"""The doctor's looks at addresses, and at who may call."""

from __future__ import annotations

import ipaddress
import socket

from authz_service.api.v1 import facts_pb2, policy_pb2, recording_access_pb2
from authz_service.cli.console_client import read_console
from authz_service.cli.doctor_finding import Finding, bad, fine, odd
from authz_service.cli.healthcheck import status_or_silence
from authz_service.cli.wording import counted
from authz_service.identity.callers import LOOPBACK, CallersFileError, read_callers
from authz_service.settings import Settings

_PROTOS = (recording_access_pb2, facts_pb2, policy_pb2)
_TIMEOUT_SECONDS = 1.0


def grpc_address(settings: Settings) -> Finding:
    """Look whether gRPC can be served, or is."""
    name, address = "gRPC address", settings.listen
    wrong = _not_servable(name, address, "AUTHZ_LISTEN")
    if wrong is not None:
        return wrong
    if _is_free(address):
        if settings.insecure_loopback:
            return fine(name, f"{address} is free")
        return odd(
            name,
            f"{address} is free, but the service would not start: it could identify no caller",
            "set AUTHZ_INSECURE_LOOPBACK=1 for a trial on this machine",
        )
    health, silence = status_or_silence(address, _TIMEOUT_SECONDS)
    if silence:
        return bad(
            name, f"{address} is taken, and not by this service", "set AUTHZ_LISTEN to another port"
        )
    if health != "SERVING":
        return odd(name, f"this service is at {address} and says {health}", "see: authz status")
    return fine(name, f"this service is SERVING at {address}")


def http_address(settings: Settings) -> Finding:
    """Look whether HTTP can be served, or is."""
    name, address = "HTTP address", settings.http_listen
    wrong = _not_servable(name, address, "AUTHZ_HTTP_LISTEN")
    if wrong is not None:
        return wrong
    if _is_free(address):
        return fine(name, f"{address} is free")
    if read_console(address, _TIMEOUT_SECONDS).silence:
        return bad(
            name,
            f"{address} is taken, and not by this service",
            "set AUTHZ_HTTP_LISTEN to another port",
        )
    return fine(name, f"this service answers at {address}")


def callers(settings: Settings) -> Finding:
    """Look at the file that says who may ask what."""
    rpcs = frozenset(
        method
        for proto in _PROTOS
        for service in proto.DESCRIPTOR.services_by_name.values()
        for method in service.methods_by_name
    )
    try:
        rules = read_callers(settings.callers_file, rpcs)
    except CallersFileError as wrong:
        return bad("callers", str(wrong), "mend the line, or name another file: AUTHZ_CALLERS_FILE")
    what = f"{settings.callers_file} has {counted(len(rules), 'caller')}"
    if settings.insecure_loopback and LOOPBACK not in rules:
        return bad("callers", f"{what}, none of them {LOOPBACK}", f"add a row for {LOOPBACK}")
    return fine("callers", what)


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

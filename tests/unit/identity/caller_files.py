"""Callers files of a few rows, and what comes of them."""

from __future__ import annotations

from authz_service.identity.caller_rules import CallerRule
from authz_service.identity.callers import Callers
from authz_service.identity.callers_file import parse_callers
from authz_service.pdp.errors import CallersRefusedError, PolicyProblem
from authz_service.server.grpc_server import RPCS

EVERY_RPC = frozenset(method for _, method in RPCS)
HEADER = "caller,rpcs,tenants,actions,purposes,writes,may\n"
LOOPBACK = "loopback,*,*,*,*,*,\n"
GATEWAY = "spiffe://clinic.example/gateway"


def gateway(  # one for each column
    rpcs: str = "CheckAccess",
    tenants: str = "*",
    actions: str = "VIEW",
    purposes: str = "PATRQT",
    writes: str = "",
    may: str = "",
) -> str:
    """Return the row of a media gateway, some cells replaced."""
    return f"{GATEWAY},{rpcs},{tenants},{actions},{purposes},{writes},{may}\n"


def callers_of(rows: str | bytes, *, plaintext: bool | None = None) -> Callers:
    """Return the callers of a file with *rows* below its header; of bytes as they are."""
    content = (HEADER + rows).encode() if isinstance(rows, str) else rows
    return parse_callers("callers.csv", content, EVERY_RPC, plaintext=plaintext)


def rule_in(rows: str) -> CallerRule:
    """Return the one rule of such a file."""
    (rule,) = callers_of(rows).rules.values()
    return rule


def warnings_of(rows: str | bytes) -> tuple[PolicyProblem, ...]:
    """Return what such a file, which is sound, is warned of."""
    return callers_of(rows).warnings


def problems_of(rows: str | bytes, *, plaintext: bool | None = None) -> tuple[PolicyProblem, ...]:
    """Return what is wrong with such a file, nothing for a sound one."""
    try:
        callers_of(rows, plaintext=plaintext)
    except CallersRefusedError as refused:
        return refused.problems
    return ()

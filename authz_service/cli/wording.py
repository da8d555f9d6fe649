"""Words that several verbs share, so that all say the same thing in the same way."""

from __future__ import annotations

import os
from collections.abc import Mapping

_OF_TLS = (
    "AUTHZ_TLS_CERT",
    "AUTHZ_TLS_KEY",
    "AUTHZ_CLIENT_CA",
    "AUTHZ_SERVER_CA",
    "AUTHZ_CLIENT_CERT",
    "AUTHZ_CLIENT_KEY",
)


def serve_command(environment: Mapping[str, str] | None = None) -> str:
    """Return what starts a service: with certificates where *environment* names any."""
    present = os.environ if environment is None else environment
    over_tls = any(present.get(name) for name in _OF_TLS)
    return "authz serve" if over_tls else "authz serve --insecure-loopback"


def start_hint(*, over_tls: bool = False) -> str:
    """Return how to start a service that is asked, *over_tls* or as the environment has it."""
    command = "authz serve" if over_tls else serve_command()
    trial = ", or: make run" if "insecure" in command else ""
    return f"start it with: {command}{trial}"


def counted(count: int, noun: str) -> str:
    """Return *count* with *noun*, in the plural unless it is one."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"

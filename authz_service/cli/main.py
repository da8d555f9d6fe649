"""The command `authz`: where the process begins."""

from __future__ import annotations

import io
import os
import sys

from authz_service.cli.addresses import DEFAULT_ADDRESS, PROBE_TIMEOUT, reachable

_PROBE = ["healthcheck"]


def main() -> None:
    """Run the command line and end the process with its exit code."""
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # what fails is said once, in our words
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a file's name may be any bytes
    if sys.argv[1:] == _PROBE and not _shows_certificates() and _is_serving():
        sys.stdout.write("SERVING\n")
        return
    from authz_service.cli.verbs import app  # noqa: PLC0415  # a probe does without

    app()


def _shows_certificates() -> bool:
    """Whether the probe has a certificate to show, which the verb itself knows how to."""
    if os.environ.get("AUTHZ_HEALTH_LISTEN"):
        return False
    return any(name in os.environ for name in ("AUTHZ_SERVER_CA", "AUTHZ_CLIENT_CERT"))


def _is_serving() -> bool:
    """Whether the service is SERVING, by the shortest way; where not, the verb itself says why."""
    from authz_service.cli.health_probe import is_serving  # noqa: PLC0415  # for a probe alone

    address = os.environ.get("AUTHZ_HEALTH_LISTEN") or os.environ.get("AUTHZ_LISTEN")
    return is_serving(reachable(address or DEFAULT_ADDRESS), PROBE_TIMEOUT)

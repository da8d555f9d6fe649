"""`authz healthcheck`: one word for the container runtime, as cheaply as a process can."""

from __future__ import annotations

from typing import Annotated

import typer

from authz_service.cli.addresses import DEFAULT_ADDRESS, PROBE_TIMEOUT
from authz_service.cli.client_tls import over_tls
from authz_service.cli.codes import ExitCode
from authz_service.cli.failures import CommandError
from authz_service.cli.options import AddressOption, Format, FormatOption, require_address_if_any

EXAMPLES = """Examples:

authz healthcheck

authz healthcheck --health-address 127.0.0.1:8080

HEALTHCHECK CMD ["authz", "healthcheck"]
"""


@over_tls
def healthcheck(
    *,
    address: AddressOption = DEFAULT_ADDRESS,
    health_address: Annotated[
        str | None,
        typer.Option(
            envvar="AUTHZ_HEALTH_LISTEN",
            metavar="HOST:PORT",
            callback=require_address_if_any,
            help="Ask the health address instead, in plaintext.",
        ),
    ] = None,
    timeout: Annotated[
        float, typer.Option(metavar="SECONDS", min=0.01, max=60, help="How long to wait.")
    ] = PROBE_TIMEOUT,
    form: FormatOption = Format.TEXT,
) -> None:
    """Ask the service whether it is SERVING: for probes. Ends with 0 or 11."""
    in_plaintext, address = bool(health_address), health_address or address
    status = serving_status(address, timeout, in_plaintext=in_plaintext)
    if form is Format.JSON:
        typer.echo(f'{{"address": "{address}", "status": "{status}"}}')
    else:
        typer.echo(status)
    raise typer.Exit(ExitCode.OK if status == "SERVING" else ExitCode.UNAVAILABLE)


def serving_status(address: str, timeout_seconds: float, *, in_plaintext: bool = False) -> str:
    """Return what `grpc.health.v1` says at *address*: ``SERVING`` or not.

    Args:
        address: Where.
        timeout_seconds: How long to wait.
        in_plaintext: Whether no certificate is shown, though one was chosen.

    Raises:
        CommandError: Nothing answers there.
    """
    from authz_service.cli import health_probe  # noqa: PLC0415  # heavy
    from authz_service.cli.channel import connected  # noqa: PLC0415  # heavy

    with connected(address, timeout_seconds, in_plaintext=in_plaintext) as service:
        response = service.call(service.raw(health_probe.CHECK), health_probe.EVERYTHING)
    return health_probe.STATUSES.get(response, "UNKNOWN")


def status_or_silence(
    address: str, timeout_seconds: float, *, in_plaintext: bool = False
) -> tuple[str, str]:
    """Return what `serving_status` says and an empty text, or ``UNREACHABLE`` and why."""
    try:
        return serving_status(address, timeout_seconds, in_plaintext=in_plaintext), ""
    except CommandError as silence:
        return "UNREACHABLE", f"{silence.message}; {silence.hint}"

"""`authz status`: one screen about a running service."""

from __future__ import annotations

from typing import Annotated

import typer

from authz_service.cli.addresses import DEFAULT_ADDRESS, DEFAULT_HTTP_ADDRESS, DEFAULT_TIMEOUT
from authz_service.cli.client_tls import over_tls
from authz_service.cli.options import (
    AddressOption,
    Format,
    FormatOption,
    TimeoutOption,
    require_address,
)

EXAMPLES = """Examples:

authz status

authz status --format json
"""


@over_tls
def status(
    *,
    address: AddressOption = DEFAULT_ADDRESS,
    http_address: Annotated[
        str,
        typer.Option(
            envvar="AUTHZ_HTTP_LISTEN",
            metavar="HOST:PORT",
            callback=require_address,
            help="Where the service answers HTTP.",
        ),
    ] = DEFAULT_HTTP_ADDRESS,
    timeout: TimeoutOption = DEFAULT_TIMEOUT,
    form: FormatOption = Format.TEXT,
) -> None:
    """Show whether the service is serving, or what stands in the way; its policy, facts, journal.

    Ends with 0 where it is SERVING, else with 11.
    """
    from authz_service.cli.status_report import report_status  # noqa: PLC0415  # heavy

    raise typer.Exit(report_status(address, http_address, timeout, form))

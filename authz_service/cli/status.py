"""`authz status`: one screen about a running service."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from authz_service.cli.addresses import DEFAULT_ADDRESS, DEFAULT_HTTP_ADDRESS, DEFAULT_TIMEOUT
from authz_service.cli.client_tls import given_tls, over_tls
from authz_service.cli.options import (
    AddressOption,
    Format,
    FormatOption,
    HttpTokenOption,
    TimeoutOption,
    require_http_address,
)

EXAMPLES = """Examples:

authz status

authz status --format json

authz status --http-address authz-1:9464 --http-token-file /run/authz/token --tls-ca ca.pem
"""


@over_tls
def status(
    *,
    address: AddressOption = DEFAULT_ADDRESS,
    http_address: Annotated[
        str,
        typer.Option(
            envvar="AUTHZ_HTTP_LISTEN",
            metavar="[https://]HOST:PORT",
            callback=require_http_address,
            help="Where the service answers HTTP: off loopback, over TLS.",
        ),
    ] = DEFAULT_HTTP_ADDRESS,
    http_token_file: HttpTokenOption = None,
    timeout: TimeoutOption = DEFAULT_TIMEOUT,
    form: FormatOption = Format.TEXT,
) -> None:
    """Show whether the service is serving, or what stands in the way; its policy, facts, journal.

    Ends with 0 where it is SERVING, else with 11.
    """
    from authz_service.cli.http_client import Credentials  # noqa: PLC0415  # heavy
    from authz_service.cli.status_report import report_status  # noqa: PLC0415  # heavy

    tls = given_tls()
    shown = Credentials(http_token_file, Path(tls.ca) if tls.ca else None, tls.name)
    raise typer.Exit(report_status(address, http_address, timeout, form, shown=shown))

"""`authz dev-certs`: certificates for a trial on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from authz_service.cli.options import Format, FormatOption

EXAMPLES = """Examples:

authz dev-certs var/certs

authz dev-certs var/certs --name media-gateway --name console --days 7
"""


def dev_certs(  # noqa: PLR0913  # one option for each choice
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Where to put them.")],
    *,
    trust_domain: Annotated[
        str, typer.Option(metavar="NAME", help="Of the service, and of every --name.")
    ] = "example.org",
    name: Annotated[
        list[str] | None,
        typer.Option(metavar="PATH", help="A caller, rather than those of the callers file."),
    ] = None,
    callers: Annotated[
        Path,
        typer.Option(
            metavar="FILE",
            envvar="AUTHZ_CALLERS_FILE",
            help="The callers file: one certificate for each SPIFFE ID in it.",
        ),
    ] = Path("policies/callers.csv"),
    days: Annotated[int, typer.Option(min=1, max=365, help="How long they are valid.")] = 30,
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            help="Replace what is there; cuts off running clients with certificates of the old CA.",
        ),
    ] = False,
    form: FormatOption = Format.TEXT,
) -> None:
    """Make a throw-away CA, a certificate for the service on this machine, and callers' own.

    For development only. The key of the CA is not kept, so nothing more can be signed by it; make
    all of them anew with --force, which a running service takes up by itself: it then refuses every
    certificate of the old CA. docs/callers.md says how to renew without that.
    """
    from authz_service.cli.dev_certs_report import make_and_report  # noqa: PLC0415  # heavy

    make_and_report(
        directory,
        (trust_domain, name or [], callers),
        days=days,
        force=force,
        form=form,
    )

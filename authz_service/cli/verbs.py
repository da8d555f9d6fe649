"""Every verb of `authz`, and the way to it; what one needs is imported when it runs."""

from __future__ import annotations

from typing import Annotated

import typer

from authz_service.cli import (
    check,
    contain,
    decisions,
    dev_certs,
    doctor,
    emergency,
    explain,
    facts,
    healthcheck,
    list_recordings,
    policy,
    serve,
    status,
    what_can,
    who_can,
)
from authz_service.cli.failures import Boundary
from authz_service.cli.known_settings import SettingsVerb

app = typer.Typer(
    name="authz",
    cls=Boundary,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 fine or allow, 1 error, 2 usage, 3 invalid policy or callers file, "
    "4 case failed, 6 coverage below threshold, 10 deny, 11 unavailable.",
)


def _show_version(wanted: bool) -> None:  # noqa: FBT001  # Typer hands a flag's value so
    """Print the version and end."""
    if wanted:
        from importlib.metadata import version  # noqa: PLC0415  # for this flag alone

        typer.echo(f"authz {version('authz-service')}")
        raise typer.Exit


@app.callback()
def root(
    *,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """May subject X view recording Y? Run the service, ask it, look after its facts and policy."""


app.command(epilog=serve.EXAMPLES)(serve.serve)
app.command(cls=SettingsVerb, epilog=check.EXAMPLES)(check.check)
app.command("list", cls=SettingsVerb, epilog=list_recordings.EXAMPLES)(
    list_recordings.list_recordings
)
app.command(cls=SettingsVerb, epilog=explain.EXAMPLES)(explain.explain)
app.command("who-can", cls=SettingsVerb, epilog=who_can.EXAMPLES)(who_can.who_can)
app.command("what-can", cls=SettingsVerb, epilog=what_can.EXAMPLES)(what_can.what_can)
app.command(cls=SettingsVerb, epilog=contain.EXAMPLES)(contain.contain)
app.command(cls=SettingsVerb, epilog=contain.LIFT_EXAMPLES)(contain.lift)
app.command(cls=SettingsVerb, epilog=contain.LIST_EXAMPLES)(contain.containments)
app.command(cls=SettingsVerb, epilog=status.EXAMPLES)(status.status)
app.add_typer(facts.app, name="facts")
app.add_typer(policy.app, name="policy")
app.add_typer(decisions.app, name="decisions")
app.add_typer(emergency.app, name="emergency")
app.command("dev-certs", cls=SettingsVerb, epilog=dev_certs.EXAMPLES)(dev_certs.dev_certs)
app.command(epilog=doctor.EXAMPLES)(doctor.doctor)
app.command(epilog=healthcheck.EXAMPLES)(healthcheck.healthcheck)

"""`authz policy`: a bundle checked and tried here, and the one in force there."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from authz_service.cli.addresses import DEFAULT_ADDRESS, DEFAULT_TIMEOUT
from authz_service.cli.known_settings import SettingsVerb
from authz_service.cli.options import (
    ActorOption,
    AddressOption,
    Format,
    FormatOption,
    TimeoutOption,
)

app = typer.Typer(no_args_is_help=True, help="Check, try out, show and replace the policy.")

DirectoryArgument = Annotated[
    Path,
    typer.Argument(metavar="[DIR]", envvar="AUTHZ_POLICY_DIR", help="The bundle's directory."),
]
_DEFAULT_DIRECTORY = Path("policies")


@app.command(cls=SettingsVerb, epilog="Example: authz policy validate policies")
def validate(
    directory: DirectoryArgument = _DEFAULT_DIRECTORY, *, form: FormatOption = Format.TEXT
) -> None:
    """Check the files of a bundle, without trying its cases.

    Each problem is a line: file:line:column: what is wrong (what to do). Ends with 0, or 3.
    """
    from authz_service.cli.policy_report import report_validation  # noqa: PLC0415  # heavy

    raise typer.Exit(report_validation(directory, form))


@app.command(
    "test", cls=SettingsVerb, epilog="Example: authz policy test policies --min-coverage 100"
)
def try_cases(
    directory: DirectoryArgument = _DEFAULT_DIRECTORY,
    *,
    min_coverage: Annotated[
        float,
        typer.Option(
            metavar="PERCENT", min=0, max=100, help="Least share of rules that decide some case."
        ),
    ] = 0.0,
    form: FormatOption = Format.TEXT,
) -> None:
    """Try the cases of a bundle: its golden decisions.

    Ends with 0, 3 for defective files, 4 where a case does not hold, 6 for too little coverage.
    """
    from authz_service.cli.policy_report import report_trial  # noqa: PLC0415  # heavy

    raise typer.Exit(report_trial(directory, min_coverage, form))


@app.command(cls=SettingsVerb, epilog="Example: authz policy status --format json")
def status(
    *,
    address: AddressOption = DEFAULT_ADDRESS,
    timeout: TimeoutOption = DEFAULT_TIMEOUT,
    form: FormatOption = Format.TEXT,
) -> None:
    """Show the policy in force, and how the latest attempt to replace it went."""
    from authz_service.cli.remote_policy import report_active  # noqa: PLC0415  # heavy

    report_active(address, timeout, form)


@app.command(cls=SettingsVerb, epilog="Example: authz policy reload --actor jo.doe --dry-run")
def reload(
    *,
    actor: ActorOption,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check only; put nothing in force.")
    ] = False,
    address: AddressOption = DEFAULT_ADDRESS,
    timeout: TimeoutOption = 30.0,
    form: FormatOption = Format.TEXT,
) -> None:
    """Have the service read its bundle again, and put it in force if all its cases hold.

    Ends with 0, 3 for defective files, 4 where a case does not hold; the policy in force stays.
    """
    from authz_service.cli.remote_policy import report_reload  # noqa: PLC0415  # heavy

    raise typer.Exit(report_reload(address, timeout, actor=actor, dry_run=dry_run, form=form))

"""`authz policy`: a bundle checked and tried here, and the one in force there."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from authz_service.cli.addresses import DEFAULT_ADDRESS, DEFAULT_TIMEOUT
from authz_service.cli.client_tls import over_tls
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
_DEFAULT_CALLERS = Path("policies/callers.csv")


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


@app.command(
    cls=SettingsVerb,
    epilog="Example: authz policy callers examples/callers.estate.csv --diff policies/callers.csv",
)
def callers(
    file: Annotated[
        Path,
        typer.Argument(metavar="[FILE]", envvar="AUTHZ_CALLERS_FILE", help="The callers file."),
    ] = _DEFAULT_CALLERS,
    *,
    caller: Annotated[
        str | None,
        typer.Option(metavar="ID", help="Show this caller only: a SPIFFE ID, or loopback."),
    ] = None,
    diff: Annotated[
        Path | None,
        typer.Option(metavar="OTHER", help="Show who gains and who loses if OTHER took its place."),
    ] = None,
    form: FormatOption = Format.TEXT,
) -> None:
    """Check a callers file, and show who may what: what each caller is told, and what it is not.

    Works on the file and asks no service; authz status shows which is in force. Doubtful rows are
    warned of. Ends with 0, 1 for an unknown caller, or 3 for a defective file.
    """
    from authz_service.cli.callers_report import report_callers, report_difference  # noqa: PLC0415  # heavy

    report = (
        report_difference(file, diff, caller, form) if diff else report_callers(file, caller, form)
    )
    raise typer.Exit(report)


@app.command(cls=SettingsVerb, epilog="Example: authz policy status --format json")
@over_tls
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
@over_tls
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

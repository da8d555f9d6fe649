"""`authz doctor`: everything a start depends on, looked at one by one."""

from __future__ import annotations

import typer

from authz_service.cli.options import Format, FormatOption

EXAMPLES = """Examples:

authz doctor

AUTHZ_REGISTRY_URL=sqlite:///var/demo/registry.db authz doctor --format json
"""


def doctor(*, form: FormatOption = Format.TEXT) -> None:
    """Check this machine and the settings of the environment; say what is wrong and what to do.

    Changes nothing. Ends with 0, or 1 where something fails.
    """
    from authz_service.cli.doctor_report import report_findings  # noqa: PLC0415  # heavy

    raise typer.Exit(report_findings(form))

"""A misspelt setting refused by every verb, not by those alone that load all settings.

It costs no more than a look at the environment: the settings' own module takes longer to load than
most verbs take to run.
"""

from __future__ import annotations

import inspect
import os
from typing import Any

from typer.core import TyperCommand

from authz_service.cli.client_tls import VARIABLES
from authz_service.cli.codes import ExitCode
from authz_service.cli.failures import CommandError

_PREFIX = "AUTHZ_"


class SettingsVerb(TyperCommand):
    """A verb that refuses to run in an environment with a setting that is none."""

    def invoke(self, ctx: Any) -> Any:
        """Run the verb, unless a setting is misspelt.

        Raises:
            CommandError: One is.
        """
        require_known_settings()
        return super().invoke(ctx)


def require_known_settings() -> None:
    """Refuse an ``AUTHZ_*`` variable that no setting has the name of.

    Raises:
        CommandError: Names the variable.
    """
    from authz_service.cli.serve import serve  # noqa: PLC0415  # has a flag for every setting

    known = {_PREFIX + name.upper() for name in inspect.signature(serve).parameters}
    known.update(VARIABLES)
    unknown = sorted(name for name in os.environ if name.startswith(_PREFIX) and name not in known)
    if unknown:
        raise CommandError(
            f"{unknown[0]} is not a setting; the settings are {', '.join(sorted(known))}",
            code=ExitCode.USAGE,
            reason="SETTINGS",
            hint="authz serve --help names every setting",
        )

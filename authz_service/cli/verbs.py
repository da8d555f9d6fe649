"""Every verb of `authz`, and the way to it; one is imported when it is asked for, and no other."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from importlib import import_module
from typing import Annotated, Any, Final, NamedTuple

import typer
from typer.main import get_group

from authz_service.cli.failures import Boundary
from authz_service.cli.known_settings import SettingsVerb


class _Verb(NamedTuple):
    """Where a verb is.

    Attributes:
        module: Its module in this room.
        function: Its function there; empty for a group of verbs, which is `app` there.
        examples: What holds the end of its help there.
        checks_settings: Whether it refuses a misspelt setting and loads no settings itself.
    """

    module: str
    function: str = ""
    examples: str = "EXAMPLES"
    checks_settings: bool = True


_VERBS: Final = {
    "serve": _Verb("serve", "serve", checks_settings=False),
    "check": _Verb("check", "check"),
    "list": _Verb("list_recordings", "list_recordings"),
    "explain": _Verb("explain", "explain"),
    "who-can": _Verb("who_can", "who_can"),
    "what-can": _Verb("what_can", "what_can"),
    "contain": _Verb("contain", "contain"),
    "lift": _Verb("contain", "lift", "LIFT_EXAMPLES"),
    "containments": _Verb("contain", "containments", "LIST_EXAMPLES"),
    "status": _Verb("status", "status"),
    "dev-certs": _Verb("dev_certs", "dev_certs"),
    "doctor": _Verb("doctor", "doctor", checks_settings=False),
    "healthcheck": _Verb("healthcheck", "healthcheck", checks_settings=False),
    "facts": _Verb("facts"),
    "policy": _Verb("policy"),
    "decisions": _Verb("decisions"),
    "emergency": _Verb("emergency"),
}


class _Commands(MutableMapping[str, Any]):
    """The commands of all verbs by name, each made when it is first looked up.

    To make all would take longer than to have a containment set.
    """

    def __init__(self) -> None:
        self._made: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._made:
            self._made[name] = _made(name, _VERBS[name])
        return self._made[name]

    def __setitem__(self, name: str, command: Any) -> None:
        self._made[name] = command

    def __delitem__(self, name: str) -> None:
        del self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(_VERBS)

    def __len__(self) -> int:
        return len(_VERBS)


class _Verbs(Boundary):
    """All verbs."""

    def __init__(self, **given: Any) -> None:
        """Take what Typer gives, and the verbs."""
        super().__init__(**given)
        self.commands = _Commands()


app = typer.Typer(
    name="authz",
    cls=_Verbs,
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


def _made(name: str, verb: _Verb) -> Any:
    """Return the command of *verb*, which is called *name*."""
    module = import_module(f"authz_service.cli.{verb.module}")
    alone = typer.Typer(callback=root)
    if not verb.function:
        alone.add_typer(module.app, name=name)
    else:
        kind = SettingsVerb if verb.checks_settings else None
        epilog = getattr(module, verb.examples)
        alone.command(name, cls=kind, epilog=epilog)(getattr(module, verb.function))
    return get_group(alone).commands[name]

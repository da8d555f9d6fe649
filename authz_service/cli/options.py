"""Options that several verbs share, each described once."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer


class Format(StrEnum):
    """Forms of output."""

    TEXT = "text"
    JSON = "json"


def _remember(context: typer.Context, chosen: Format) -> Format:
    """Keep the chosen form at the root, where failures are reported."""
    context.find_root().obj = chosen.value
    return chosen


FormatOption = Annotated[
    Format,
    typer.Option("--format", callback=_remember, help="text for people, json for programs."),
]
AddressOption = Annotated[
    str,
    typer.Option(
        "--address",
        envvar="AUTHZ_LISTEN",
        metavar="HOST:PORT",
        help="Where the service answers gRPC.",
    ),
]
TimeoutOption = Annotated[
    float,
    typer.Option("--timeout", metavar="SECONDS", min=0.01, max=600, help="How long to wait."),
]
ActorOption = Annotated[
    str,
    typer.Option("--actor", metavar="ID", help="The person who is answerable for the change."),
]
RegistryOption = Annotated[
    str | None,
    typer.Option(
        "--registry-url",
        metavar="URL",
        envvar="AUTHZ_REGISTRY_URL",
        help="The registry of facts.",
        show_default="sqlite:///var/registry.db",
    ),
]

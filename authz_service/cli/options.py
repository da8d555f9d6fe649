"""Options that several verbs share, each described once."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, TypeVar

import typer

_LAST_PORT = 65535


class Format(StrEnum):
    """Forms of output."""

    TEXT = "text"
    JSON = "json"


Word = TypeVar("Word", bound=StrEnum)


def one_of(kind: type[Word]) -> Callable[[str], Word]:
    """Return what reads a word of *kind*, in capitals or not."""

    def read(text: str) -> Word:
        found = next((word for word in kind if word.casefold() == text.casefold()), None)
        if found is None:
            raise typer.BadParameter(f"{text!r} is not one of {', '.join(kind)}")
        return found

    return read


def require_address(address: str) -> str:
    """Return *address*, if it is a host and a port.

    Raises:
        BadParameter: It is not.
    """
    host, _, port = address.rpartition(":")
    if host and port.isascii() and port.isdecimal() and int(port) <= _LAST_PORT:
        return address
    raise typer.BadParameter(f"{address!r} is not a host and a port, as in 127.0.0.1:50051")


def require_address_if_any(address: str | None) -> str | None:
    """Return *address*, if it is a host and a port, or nothing.

    Raises:
        BadParameter: It is something else.
    """
    return require_address(address) if address else None


def require_http_address(address: str) -> str:
    """Return *address*, if it is a host and a port, maybe after ``http://`` or ``https://``.

    Raises:
        BadParameter: It is not.
    """
    scheme, _, rest = address.rpartition("://")
    if scheme not in {"", "http", "https"}:
        raise typer.BadParameter(f"{address!r} begins neither with http:// nor with https://")
    require_address(rest.removesuffix("/"))
    return address.removesuffix("/")


def _remember(context: typer.Context, chosen: Format) -> Format:
    """Keep the chosen form at the root, where failures are reported."""
    context.find_root().obj = chosen.value
    return chosen


FormatOption = Annotated[
    Format,
    typer.Option(
        "--format",
        parser=one_of(Format),
        metavar="|".join(Format),
        callback=_remember,
        help="text for people, json for programs.",
    ),
]
AddressOption = Annotated[
    str,
    typer.Option(
        "--address",
        envvar="AUTHZ_LISTEN",
        metavar="HOST:PORT",
        callback=require_address,
        help="Where the service answers gRPC.",
    ),
]
TimeoutOption = Annotated[
    float,
    typer.Option("--timeout", metavar="SECONDS", min=0.01, max=600, help="How long to wait."),
]
HttpTokenOption = Annotated[
    Path | None,
    typer.Option(
        "--http-token-file",
        metavar="FILE",
        envvar="AUTHZ_HTTP_TOKEN_FILE",
        help="The token for the HTTP address: the first line.",
    ),
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

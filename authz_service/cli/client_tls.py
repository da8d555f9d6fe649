"""The certificate with which a verb asks: chosen by its flags or the environment, shown by gRPC."""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TypeVar

import typer

from authz_service.cli.codes import ExitCode
from authz_service.cli.failures import CommandError

_Outcome = TypeVar("_Outcome")


class ClientTls(NamedTuple):
    """What a verb shows, and asks of the service.

    Attributes:
        ca: Who signs the service's certificate, a file in PEM.
        cert: The verb's own certificate and what it was signed with, a file in PEM.
        key: Its key, a file in PEM.
        name: For whom the service's certificate is; empty where that is the address's host.
    """

    ca: str = ""
    cert: str = ""
    key: str = ""
    name: str = ""


VARIABLES = ClientTls(
    "AUTHZ_SERVER_CA", "AUTHZ_CLIENT_CERT", "AUTHZ_CLIENT_KEY", "AUTHZ_SERVER_NAME"
)
"""The environment variables of each."""
_FLAGS = ClientTls("--tls-ca", "--tls-cert", "--tls-key", "--tls-name")
_HELP = ClientTls(
    "Who signs the service's certificate.",
    "The certificate to ask with.",
    "Its key.",
    "The name in the service's certificate.",
)
_CHOSEN: ContextVar[ClientTls | None] = ContextVar("chosen", default=None)
_PREFIX = "tls_"


def over_tls(verb: Callable[..., _Outcome]) -> Callable[..., _Outcome]:
    """Return *verb* with flags for certificates; whatever it calls meanwhile is called with them.

    They are added here, and found by `chosen_tls` where a channel is made, because none of what
    lies between has any use for them.
    """
    added = {_PREFIX + field: _option(field) for field in ClientTls._fields}
    signature = inspect.signature(verb, eval_str=True)

    @functools.wraps(verb)
    def asking(*args: Any, **kwargs: Any) -> _Outcome:
        given = {field: kwargs.pop(_PREFIX + field, None) or "" for field in ClientTls._fields}
        before = _CHOSEN.set(ClientTls(**given))
        try:
            return verb(*args, **kwargs)
        finally:
            _CHOSEN.reset(before)

    asking.__annotations__ = {**verb.__annotations__, **added}
    asking.__signature__ = signature.replace(  # type: ignore[attr-defined]  # what Typer asks
        parameters=[
            *signature.parameters.values(),
            *(
                inspect.Parameter(
                    name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=option
                )
                for name, option in added.items()
            ),
        ]
    )
    return asking


def _option(field: str) -> Any:
    """Return the flag for *field*, as Typer takes it."""
    return Annotated[
        str | None,
        typer.Option(
            getattr(_FLAGS, field),
            envvar=getattr(VARIABLES, field),
            metavar="NAME" if field == "name" else "FILE",
            rich_help_panel="Where the service wants certificates",
            help=getattr(_HELP, field),
        ),
    ]


def given_tls(environment: Mapping[str, str] | None = None) -> ClientTls:
    """Return what the running verb was given, or what the environment says; some may be missing."""
    present = os.environ if environment is None else environment
    return _CHOSEN.get() or ClientTls(*(present.get(name, "") for name in VARIABLES))


def chosen_tls(environment: Mapping[str, str] | None = None) -> ClientTls | None:
    """Return what the running verb was given, or what the environment says; None for plaintext.

    Raises:
        CommandError: Some of what belongs together is missing.
    """
    chosen = given_tls(environment)
    files = chosen[:3]
    if all(files):
        return chosen
    if not any(files):
        return None
    missing = [
        f"{flag} ({name})" for flag, name, given in zip(_FLAGS, VARIABLES, files, strict=False)
        if not given
    ]  # fmt: skip
    raise CommandError(
        f"{' and '.join(missing)} must be given as well",
        code=ExitCode.USAGE,
        reason="TLS",
        hint="who signs the service's certificate, your certificate and its key go together",
    )


def contents_of(tls: ClientTls) -> tuple[bytes, bytes, bytes]:
    """Return what the files of *tls* hold: who signs, the certificate, its key.

    Raises:
        CommandError: One cannot be read.
    """
    contents = []
    for flag, name, path in zip(_FLAGS[:3], VARIABLES[:3], tls[:3], strict=True):
        try:
            contents.append(Path(path).read_bytes())
        except OSError as error:
            why = (error.strerror or type(error).__name__).lower()
            raise CommandError(
                f"{flag} {path}: cannot be read ({why})",
                code=ExitCode.USAGE,
                reason="TLS",
                hint=f"name a file in PEM that you may read, with {flag} or {name}",
            ) from None
    ca, cert, key = contents
    return ca, cert, key

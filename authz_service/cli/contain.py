"""`authz contain|lift|containments`: the brake, set by one person and lifted by another."""

from __future__ import annotations

from typing import Annotated

import typer

from authz_service.cli.addresses import DEFAULT_ADDRESS, DEFAULT_TIMEOUT
from authz_service.cli.client_tls import over_tls
from authz_service.cli.options import (
    ActorOption,
    AddressOption,
    Format,
    FormatOption,
    TimeoutOption,
    one_of,
)
from authz_service.cli.question import instant_of, require_ids
from authz_service.pdp.entities import ContainmentScope
from authz_service.pdp.entity_words import Audience
from authz_service.pdp.errors import InvalidRequestError, Violation
from authz_service.pdp.model import Action

EXAMPLES = """Examples:

authz contain --release 2020.06.09-audio-switch --actor jo.doe --reason 'wrong owners, ticket 4711'

authz contain --audience PATIENTS --tenant north-practice --action VIEW --actor jo.doe --reason why

authz contain --recording rec-river-1 --recording rec-river-2 --actor jo.doe --reason 'ticket 4711'

authz contain --audience EVERYONE --actor jo.doe --reason 'switch off everything'

They work while `make run` serves the demo; each prints the command that lifts it.
"""
LIFT_EXAMPLES = """Example:

authz lift 01997f6e-3a51-7c02-9d4b-0a6b1c2d3e4f --actor sam.roe --reason 'owners corrected'

`authz contain` prints it with the id; `authz containments` shows those in force.
"""
LIST_EXAMPLES = """Examples:

authz containments

authz containments --lifted --format json
"""

_SCOPE = "What is covered: all that is named has to hold"
ReasonOption = Annotated[
    str, typer.Option("--reason", metavar="TEXT", help="Why, in words; kept beside it.")
]


@over_tls
def contain(  # noqa: PLR0913  # one argument for each field of a scope
    *,
    audience: Annotated[
        Audience | None,
        typer.Option(
            parser=one_of(Audience),
            metavar="|".join(Audience),
            rich_help_panel=_SCOPE,
            help="Who is stopped.",
        ),
    ] = None,
    tenant: Annotated[
        str | None,
        typer.Option(metavar="ID", rich_help_panel=_SCOPE, help="Recordings of this tenant."),
    ] = None,
    action: Annotated[
        Action | None,
        typer.Option(
            parser=one_of(Action),
            metavar="|".join(Action),
            rich_help_panel=_SCOPE,
            help="This action only.",
        ),
    ] = None,
    release: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", rich_help_panel=_SCOPE, help="Recordings that this release made."
        ),
    ] = None,
    recording: Annotated[
        list[str] | None,
        typer.Option(metavar="ID", rich_help_panel=_SCOPE, help="A recording; may be repeated."),
    ] = None,
    created_from: Annotated[
        str | None,
        typer.Option(metavar="INSTANT", rich_help_panel=_SCOPE, help="Recordings made since then."),
    ] = None,
    created_to: Annotated[
        str | None,
        typer.Option(
            metavar="INSTANT", rich_help_panel=_SCOPE, help="Recordings made before then."
        ),
    ] = None,
    reason: ReasonOption,
    actor: ActorOption,
    address: AddressOption = DEFAULT_ADDRESS,
    timeout: TimeoutOption = DEFAULT_TIMEOUT,
    form: FormatOption = Format.TEXT,
) -> None:
    """Switch access off at once, on every replica, whatever the policy says.

    In force when this ends with 0; until another person lifts it. Sent again it is set again.
    """
    scope = ContainmentScope(
        audience,
        tenant,
        action,
        release or None,
        tuple(recording or ()),
        instant_of(created_from, "--created-from"),
        instant_of(created_to, "--created-to"),
    )
    _require_well_formed(scope, actor, reason)
    from authz_service.cli.remote_containments import set_containment  # noqa: PLC0415  # heavy

    set_containment(scope, reason, actor, address=address, timeout_seconds=timeout, form=form)


@over_tls
def lift(
    containment: Annotated[
        str, typer.Argument(metavar="ID", help="Which; `authz containments` shows them.")
    ],
    *,
    reason: ReasonOption,
    actor: ActorOption,
    address: AddressOption = DEFAULT_ADDRESS,
    timeout: TimeoutOption = DEFAULT_TIMEOUT,
    form: FormatOption = Format.TEXT,
) -> None:
    """End a containment, as another person than who set it.

    Ends with 1 where there is none of that id, it is lifted already, or the actor set it.
    """
    require_ids({"ID": containment, "--actor": actor})
    _require_reason(reason)
    from authz_service.cli.remote_containments import lift_containment  # noqa: PLC0415  # heavy

    lift_containment(
        containment, reason, actor, address=address, timeout_seconds=timeout, form=form
    )


@over_tls
def containments(
    *,
    lifted: Annotated[bool, typer.Option("--lifted", help="Lifted ones as well.")] = False,
    address: AddressOption = DEFAULT_ADDRESS,
    timeout: TimeoutOption = DEFAULT_TIMEOUT,
    form: FormatOption = Format.TEXT,
) -> None:
    """Show the containments in force, the newest first. Ends with 0, also where there are none."""
    from authz_service.cli.remote_containments import list_containments  # noqa: PLC0415  # heavy

    list_containments(include_lifted=lifted, address=address, timeout_seconds=timeout, form=form)


def _require_well_formed(scope: ContainmentScope, actor: str, reason: str) -> None:
    """Check a scope before anybody is asked.

    Raises:
        InvalidRequestError: Names what is malformed.
    """
    recordings = {f"--recording {one!r}": one for one in scope.recording_ids}
    require_ids({"--tenant": scope.tenant_id, "--actor": actor, **recordings})
    _require_reason(reason)
    if scope == ContainmentScope():
        raise InvalidRequestError(
            Violation("scope", "is empty; name at least one, --audience EVERYONE for everything")
        )
    start, end = scope.created_from, scope.created_to
    if start is not None and end is not None and start >= end:
        raise InvalidRequestError(Violation("--created-to", "is not after --created-from"))


def _require_reason(reason: str) -> None:
    """Check a reason.

    Raises:
        InvalidRequestError: It says nothing, or is no text that can be sent.
    """
    if not reason.strip() or any("\ud800" <= character <= "\udfff" for character in reason):
        raise InvalidRequestError(Violation("--reason", "says nothing; write why"))

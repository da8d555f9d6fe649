"""`authz check`: one question, asked of the service or decided here."""

from __future__ import annotations

from typing import Annotated

import typer

from authz_service.cli.addresses import DEFAULT_ADDRESS, DEFAULT_TIMEOUT
from authz_service.cli.client_tls import over_tls
from authz_service.cli.options import (
    AddressOption,
    Format,
    FormatOption,
    RegistryOption,
    TimeoutOption,
    one_of,
)
from authz_service.cli.question import instant_of, require_well_formed
from authz_service.pdp.errors import InvalidRequestError, Violation
from authz_service.pdp.model import AccessRequest, Action, Assurance, PurposeOfUse

EXAMPLES = """Examples:

authz check pat-river rec-river-1

authz check dr-finch rec-river-1 --purpose TREAT --assurance MULTI_FACTOR --authenticated-at now

authz check pat-river rec-mix-01 --offline --registry-url sqlite:///var/demo/registry.db

authz check pat-ivy rec-ivy-1 --as-of 2020-06-10T12:00:00Z

They work while `make run` serves the demo.
"""


@over_tls
def check(  # noqa: PLR0913  # one argument for each word of the question
    subject: Annotated[str, typer.Argument(metavar="SUBJECT", help="Who wants access: an id.")],
    recording: Annotated[str, typer.Argument(metavar="RECORDING", help="To which recording.")],
    *,
    action: Annotated[
        Action,
        typer.Option(parser=one_of(Action), metavar="|".join(Action), help="What to do with it."),
    ] = Action.VIEW,
    purpose: Annotated[
        PurposeOfUse,
        typer.Option(
            parser=one_of(PurposeOfUse),
            metavar="|".join(PurposeOfUse),
            help="What for (HL7 v3 ActReason).",
        ),
    ] = PurposeOfUse.PATRQT,
    assurance: Annotated[
        Assurance | None,
        typer.Option(
            parser=one_of(Assurance),
            metavar="|".join(Assurance),
            help="How the subject was authenticated.",
        ),
    ] = None,
    authenticated_at: Annotated[
        str | None,
        typer.Option(metavar="INSTANT|now", help="When the subject last authenticated."),
    ] = None,
    tenant: Annotated[str | None, typer.Option(metavar="ID", help="Acting for which one.")] = None,
    matter: Annotated[str | None, typer.Option(metavar="ID", help="The legal matter.")] = None,
    at_least_revision: Annotated[
        int,
        typer.Option(min=0, max=2**63 - 1, help="The facts revision that the answer must rest on."),
    ] = 0,
    as_of: Annotated[
        str | None,
        typer.Option(
            metavar="INSTANT",
            help="Judge at this instant, by what was known then, under the policy of now.",
        ),
    ] = None,
    offline: Annotated[
        bool,
        typer.Option("--offline", help="Decide here, from registry and policy; record nothing."),
    ] = False,
    registry_url: RegistryOption = None,
    policy_dir: Annotated[
        str | None,
        typer.Option(
            metavar="DIR",
            envvar="AUTHZ_POLICY_DIR",
            help="The policy, with --offline.",
            show_default="policies",
        ),
    ] = None,
    address: AddressOption = DEFAULT_ADDRESS,
    timeout: TimeoutOption = DEFAULT_TIMEOUT,
    form: FormatOption = Format.TEXT,
) -> None:
    """Ask: may SUBJECT do this with RECORDING?

    Ends with 0 for ALLOW, 10 for DENY, 11 where nothing can answer, 2 for a malformed id.
    """
    request = AccessRequest(
        subject,
        recording,
        action,
        purpose,
        tenant,
        assurance,
        instant_of(authenticated_at, "--authenticated-at"),
        matter,
    )
    require_well_formed(request)
    overrides = {"registry_url": registry_url, "policy_dir": policy_dir}
    instant = instant_of(as_of, "--as-of")
    if instant is not None:
        if at_least_revision:
            raise InvalidRequestError(Violation("--at-least-revision", "is no part of the past"))
        from authz_service.cli import past_check  # noqa: PLC0415  # heavy

        answer = (
            past_check.check_past_offline(request, instant, overrides)
            if offline
            else past_check.check_past_remote(
                request, instant, address=address, timeout_seconds=timeout
            )
        )
    elif offline:
        from authz_service.cli.offline_check import check_offline  # noqa: PLC0415  # heavy

        answer = check_offline(request, at_least=at_least_revision, overrides=overrides)
    else:
        from authz_service.cli.remote_check import check_remote  # noqa: PLC0415  # heavy

        answer = check_remote(
            request, at_least=at_least_revision, address=address, timeout_seconds=timeout
        )
    from authz_service.cli.answer import show  # noqa: PLC0415  # Rich

    show(answer, request, form)
    raise typer.Exit(answer.code)

"""`authz list`: which recordings somebody may see, asked of the service or decided here."""

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
from authz_service.cli.question import instant_of, require_ids
from authz_service.operations.lists import ListRequest
from authz_service.pdp.errors import InvalidRequestError, Violation
from authz_service.pdp.model import Action, Assurance, PurposeOfUse

EXAMPLES = """Examples:

authz list pat-river

authz list dr-finch --purpose TREAT --assurance MULTI_FACTOR --patient pat-river

authz list dr-finch --purpose TREAT --assurance MULTI_FACTOR --from 2020-06-01T00:00:00Z --all

They work while `make run` serves the demo.
"""

_MAX_PAGE = 500
_QUESTION, _WHICH, _OFFLINE = "The question", "Which recordings, how many at a time", "Offline"


@over_tls
def list_recordings(  # noqa: PLR0913  # one argument for each word of the question
    subject: Annotated[str, typer.Argument(metavar="SUBJECT", help="Who wants to see: an id.")],
    *,
    action: Annotated[
        Action,
        typer.Option(
            parser=one_of(Action),
            metavar="|".join(Action),
            rich_help_panel=_QUESTION,
            help="What each must be permitted for.",
        ),
    ] = Action.LIST,
    purpose: Annotated[
        PurposeOfUse,
        typer.Option(
            parser=one_of(PurposeOfUse),
            metavar="|".join(PurposeOfUse),
            rich_help_panel=_QUESTION,
            help="What for (HL7 v3 ActReason).",
        ),
    ] = PurposeOfUse.PATRQT,
    assurance: Annotated[
        Assurance | None,
        typer.Option(
            parser=one_of(Assurance),
            metavar="|".join(Assurance),
            rich_help_panel=_QUESTION,
            help="How the subject was authenticated.",
        ),
    ] = None,
    authenticated_at: Annotated[
        str | None,
        typer.Option(
            metavar="INSTANT|now",
            rich_help_panel=_QUESTION,
            help="When the subject last authenticated.",
        ),
    ] = None,
    tenant: Annotated[
        str | None,
        typer.Option(metavar="ID", rich_help_panel=_QUESTION, help="Acting for which one."),
    ] = None,
    matter: Annotated[
        str | None,
        typer.Option(metavar="ID", rich_help_panel=_QUESTION, help="The legal matter."),
    ] = None,
    at_least_revision: Annotated[
        int,
        typer.Option(
            min=0,
            max=2**63 - 1,
            rich_help_panel=_QUESTION,
            help="The facts revision that the answer must rest on.",
        ),
    ] = 0,
    patient: Annotated[
        str | None,
        typer.Option(metavar="ID", rich_help_panel=_WHICH, help="Only this patient's."),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            "--from", metavar="INSTANT", rich_help_panel=_WHICH, help="Only those made since then."
        ),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option(
            "--to", metavar="INSTANT", rich_help_panel=_WHICH, help="Only those made before."
        ),
    ] = None,
    page_size: Annotated[
        int,
        typer.Option(min=1, max=_MAX_PAGE, rich_help_panel=_WHICH, help="Most rows on a page."),
    ] = 50,
    page_token: Annotated[
        str,
        typer.Option(
            metavar="TOKEN",
            rich_help_panel=_WHICH,
            help="Go on where an earlier page of the same question ended.",
            show_default=False,
        ),
    ] = "",
    everything: Annotated[
        bool, typer.Option("--all", rich_help_panel=_WHICH, help="Every page, up to the last.")
    ] = False,
    offline: Annotated[
        bool,
        typer.Option(
            "--offline",
            rich_help_panel=_OFFLINE,
            help="Decide here, from registry and policy; record nothing.",
        ),
    ] = False,
    registry_url: RegistryOption = None,
    policy_dir: Annotated[
        str | None,
        typer.Option(
            metavar="DIR",
            envvar="AUTHZ_POLICY_DIR",
            rich_help_panel=_OFFLINE,
            help="The policy, with --offline.",
            show_default="policies",
        ),
    ] = None,
    address: AddressOption = DEFAULT_ADDRESS,
    timeout: TimeoutOption = DEFAULT_TIMEOUT,
    form: FormatOption = Format.TEXT,
) -> None:
    """List the recordings that SUBJECT may see, newest first: what `check` would allow, no more.

    Every page is recorded, and so is every row on it. Ends with 0, also where there are none; 11
    where nothing can answer, 2 for a malformed id.
    """
    request = ListRequest(
        subject,
        action,
        purpose,
        tenant,
        assurance,
        instant_of(authenticated_at, "--authenticated-at"),
        matter,
        patient,
        instant_of(since, "--from"),
        instant_of(until, "--to"),
        page_size,
        page_token,
    )
    _require_well_formed(request, offline=offline)
    if offline:
        from authz_service.cli.offline_list import list_offline  # noqa: PLC0415  # heavy

        overrides = {"registry_url": registry_url, "policy_dir": policy_dir}
        listing = list_offline(
            request, every_page=everything, at_least=at_least_revision, overrides=overrides
        )
    else:
        from authz_service.cli.remote_list import list_remote  # noqa: PLC0415  # heavy

        listing = list_remote(
            request,
            every_page=everything,
            at_least=at_least_revision,
            address=address,
            timeout_seconds=timeout,
        )
    from authz_service.cli.listing import show  # noqa: PLC0415  # Rich

    show(listing, request, form)


def _require_well_formed(request: ListRequest, *, offline: bool) -> None:
    """Check *request* before anybody is asked.

    Raises:
        InvalidRequestError: Names what is malformed.
    """
    require_ids(
        {
            "SUBJECT": request.subject_id,
            "--tenant": request.tenant_id,
            "--matter": request.matter_id,
            "--patient": request.patient_id,
        }
    )
    start, end = request.created_from, request.created_to
    if start is not None and end is not None and start >= end:
        raise InvalidRequestError(Violation("--to", "is not after --from"))
    if offline and request.page_token:
        raise InvalidRequestError(
            Violation("--page-token", "is for the service that made it; offline, take --all")
        )

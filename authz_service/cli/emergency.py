"""`authz emergency`: break-glass access opened, listed and reviewed."""

from __future__ import annotations

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
    one_of,
)
from authz_service.cli.question import instant_of, require_ids
from authz_service.operations.emergency_ports import AccessesQuestion, AccessState
from authz_service.pdp.emergency import OpeningRequest
from authz_service.pdp.entity_words import EmergencyGround, ReviewVerdict
from authz_service.pdp.model import Assurance, PurposeOfUse

app = typer.Typer(no_args_is_help=True, help="Open, list and review emergency access.")

OPEN_EXAMPLES = """Examples:

authz emergency open dr-swift pat-river --ground VITAL_INTEREST --reason 'unconscious in the hall'
--assurance MULTI_FACTOR --authenticated-at now

authz check dr-swift rec-river-1 --purpose BTG --assurance MULTI_FACTOR

They work while `make run` serves the demo: the first opens what the second then shows.
"""
LIST_EXAMPLES = """Examples:

authz emergency list --state UNREVIEWED

authz emergency list --subject dr-swift --patient pat-river --format json
"""


@app.command("open", cls=SettingsVerb, epilog=OPEN_EXAMPLES)
@over_tls
def open_(  # noqa: PLR0913  # one option for each word of the question
    subject: Annotated[str, typer.Argument(metavar="SUBJECT", help="The member of staff: an id.")],
    patient: Annotated[str, typer.Argument(metavar="PATIENT", help="To whose recordings: an id.")],
    *,
    ground: Annotated[
        EmergencyGround,
        typer.Option(
            parser=one_of(EmergencyGround), metavar="|".join(EmergencyGround), help="The ground."
        ),
    ],
    reason: Annotated[
        str, typer.Option(metavar="TEXT", help="Why; kept with the grant, and not in records.")
    ],
    purpose: Annotated[
        PurposeOfUse,
        typer.Option(
            parser=one_of(PurposeOfUse),
            metavar="|".join(PurposeOfUse),
            help="What for (HL7 v3 ActReason).",
        ),
    ] = PurposeOfUse.BTG,
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
    actor: Annotated[
        str | None,
        typer.Option(
            metavar="ID", help="The person who is answerable.", show_default="the subject"
        ),
    ] = None,
    address: AddressOption = DEFAULT_ADDRESS,
    timeout: TimeoutOption = DEFAULT_TIMEOUT,
    form: FormatOption = Format.TEXT,
) -> None:
    """Open the recordings of PATIENT to SUBJECT, for a short time.

    Somebody else reviews it afterwards. Ends with 0 where it is opened, 10 where it is refused, 11
    where nothing can answer, 2 for what is malformed.
    """
    require_ids({"SUBJECT": subject, "PATIENT": patient, "--tenant": tenant, "--actor": actor})
    request = OpeningRequest(
        subject,
        patient,
        purpose,
        ground,
        reason,
        tenant,
        assurance,
        instant_of(authenticated_at, "--authenticated-at"),
    )
    from authz_service.cli.remote_emergency import open_remote  # noqa: PLC0415  # heavy

    opened = open_remote(request, actor or "", address=address, timeout_seconds=timeout)
    from authz_service.cli.emergency_report import show_opened  # noqa: PLC0415  # Rich

    show_opened(opened, request, form)
    raise typer.Exit(opened.answer.code)


@app.command("list", cls=SettingsVerb, epilog=LIST_EXAMPLES)
@over_tls
def list_(
    *,
    subject: Annotated[str | None, typer.Option(metavar="ID", help="Held by this one.")] = None,
    patient: Annotated[str | None, typer.Option(metavar="ID", help="To this patient.")] = None,
    state: Annotated[
        AccessState | None,
        typer.Option(
            parser=one_of(AccessState),
            metavar="|".join(AccessState),
            help="In force now, not reviewed, or reviewed.",
            show_default="all",
        ),
    ] = None,
    address: AddressOption = DEFAULT_ADDRESS,
    timeout: TimeoutOption = DEFAULT_TIMEOUT,
    form: FormatOption = Format.TEXT,
) -> None:
    """List emergency accesses, newest first: who opened what, why, and who found it right.

    Ends with 0, also where there are none.
    """
    require_ids({"--subject": subject, "--patient": patient})
    from authz_service.cli.emergency_report import report_accesses  # noqa: PLC0415  # Rich
    from authz_service.cli.remote_emergency import list_remote  # noqa: PLC0415  # heavy

    question = AccessesQuestion(subject, patient, state)
    report_accesses(list_remote(question, address=address, timeout_seconds=timeout), form)


@app.command(
    cls=SettingsVerb,
    epilog="Example: authz emergency review em-willow-swift "
    "--verdict JUSTIFIED --note 'seen in the notes of that night' --actor jo.doe",
)
@over_tls
def review(  # noqa: PLR0913  # one option for each thing that a review says
    access: Annotated[str, typer.Argument(metavar="ID", help="The access, as listed.")],
    *,
    verdict: Annotated[
        ReviewVerdict,
        typer.Option(
            parser=one_of(ReviewVerdict), metavar="|".join(ReviewVerdict), help="Was it right?"
        ),
    ],
    note: Annotated[
        str, typer.Option(metavar="TEXT", help="Why; kept beside it, and not in records.")
    ] = "",
    actor: ActorOption,
    address: AddressOption = DEFAULT_ADDRESS,
    timeout: TimeoutOption = DEFAULT_TIMEOUT,
    form: FormatOption = Format.TEXT,
) -> None:
    """Say, as another person than who opened it, whether an access was right.

    A review stands: it is neither changed nor taken back.
    """
    require_ids({"ID": access, "--actor": actor})
    from authz_service.cli.emergency_report import report_review  # noqa: PLC0415  # Rich
    from authz_service.cli.remote_emergency import Verdict, review_remote  # noqa: PLC0415  # heavy

    said = Verdict(access, verdict, note, actor)
    report_review(review_remote(said, address=address, timeout_seconds=timeout), form)

"""`authz decisions`: what was decided, listed, shown and shipped."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from authz_service.cli.addresses import DEFAULT_ADDRESS
from authz_service.cli.client_tls import over_tls
from authz_service.cli.known_settings import SettingsVerb
from authz_service.cli.options import (
    AddressOption,
    Format,
    FormatOption,
    TimeoutOption,
    one_of,
)
from authz_service.cli.question import instant_of, require_ids
from authz_service.operations.decision_log import DecisionsQuestion
from authz_service.pdp.model import Effect, Reason

app = typer.Typer(no_args_is_help=True, help="List, show and ship what was decided.")

LIST_EXAMPLES = """Examples:

authz decisions list --recording rec-river-1

authz decisions list --subject dr-finch --effect DENY --from 2020-06-01T00:00:00Z --all

authz decisions list --patient pat-river --kind PRESENTED --format json
"""

_MOST = 50
_ABOUT, _WHEN = "About what", "When, and how many"


class Kind(StrEnum):
    """What a record is of."""

    DECISION = "DECISION"
    PRESENTED = "PRESENTED"
    LISTED = "LISTED"
    EXPLAINED = "EXPLAINED"
    EMERGENCY = "EMERGENCY"


@app.command("list", cls=SettingsVerb, epilog=LIST_EXAMPLES)
@over_tls
def list_(  # noqa: PLR0913  # one option for each filter
    *,
    subject: Annotated[
        str | None, typer.Option(metavar="ID", rich_help_panel=_ABOUT, help="About this subject.")
    ] = None,
    recording: Annotated[
        str | None, typer.Option(metavar="ID", rich_help_panel=_ABOUT, help="About this recording.")
    ] = None,
    patient: Annotated[
        str | None,
        typer.Option(metavar="ID", rich_help_panel=_ABOUT, help="About this patient's recordings."),
    ] = None,
    caller: Annotated[
        str | None,
        typer.Option(metavar="CALLER", rich_help_panel=_ABOUT, help="Asked by this service."),
    ] = None,
    effect: Annotated[
        Effect | None,
        typer.Option(
            parser=one_of(Effect),
            metavar="|".join(Effect),
            rich_help_panel=_ABOUT,
            help="With this effect.",
        ),
    ] = None,
    reason: Annotated[
        Reason | None,
        typer.Option(
            parser=one_of(Reason),
            metavar="REASON",
            rich_help_panel=_ABOUT,
            help="With this reason, as in NO_RULE_MATCHED.",
        ),
    ] = None,
    kind: Annotated[
        Kind | None,
        typer.Option(
            parser=one_of(Kind),
            metavar="|".join(Kind),
            rich_help_panel=_ABOUT,
            help="Answers, rows or pages of lists, or openings.",
        ),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            "--from", metavar="INSTANT", rich_help_panel=_WHEN, help="Judged then or later."
        ),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option("--to", metavar="INSTANT", rich_help_panel=_WHEN, help="Judged before."),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            min=1, rich_help_panel=_WHEN, help="At most so many.", show_default=str(_MOST)
        ),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", rich_help_panel=_WHEN, help="All there are.")
    ] = False,
    address: AddressOption = DEFAULT_ADDRESS,
    timeout: TimeoutOption = 30.0,
    form: FormatOption = Format.TEXT,
) -> None:
    """List what was decided, newest first: the records to which all that is stated applies.

    That they were read is recorded. Ends with 0, also where there are none; 11 where the decision
    store cannot be read.
    """
    if everything and limit is not None:
        raise typer.BadParameter("--limit and --all contradict each other")
    require_ids({"--subject": subject, "--recording": recording, "--patient": patient})
    question = DecisionsQuestion(
        subject, recording, patient, caller, effect, reason, kind,
        instant_of(since, "--from"), instant_of(until, "--to"),
    )  # fmt: skip
    from authz_service.cli.decision_rows import report_rows  # noqa: PLC0415  # heavy
    from authz_service.cli.remote_decisions import list_remote  # noqa: PLC0415  # heavy

    most = None if everything else limit or _MOST
    found = list_remote(question, most=most, address=address, timeout_seconds=timeout)
    report_rows(found, form)


@app.command(
    cls=SettingsVerb,
    epilog="Example: authz decisions show 0190163d-8694-739b-aea5-966c26f8ad91",
)
@over_tls
def show(
    decision_id: Annotated[
        str, typer.Argument(metavar="ID", help="The decision's id, as its answer carried it.")
    ],
    *,
    address: AddressOption = DEFAULT_ADDRESS,
    timeout: TimeoutOption = 30.0,
    form: FormatOption = Format.TEXT,
) -> None:
    """Show one record: what was asked and answered, and the facts that it rests on.

    As JSON it is the record's own bytes. That it was read is recorded. Ends with 0, 1 where the
    store has no such record, 11 where it cannot be read.
    """
    from authz_service.cli.decision_page import report_record  # noqa: PLC0415  # heavy
    from authz_service.cli.remote_decisions import show_remote  # noqa: PLC0415  # heavy

    report_record(show_remote(decision_id, address=address, timeout_seconds=timeout), form)


SHIP_EXAMPLES = """Examples:

authz decisions ship var/journal-of-replica-2

authz decisions ship var/journal --decisions-url sqlite:///var/decisions.db --format json
"""


@app.command(cls=SettingsVerb, epilog=SHIP_EXAMPLES)
def ship(
    directory: Annotated[str, typer.Argument(metavar="DIR", help="The journal.")],
    *,
    decisions_url: Annotated[
        str | None,
        typer.Option(
            "--decisions-url",
            metavar="URL",
            envvar="AUTHZ_DECISIONS_URL",
            help="The decision store.",
            show_default="sqlite:///var/decisions.db",
        ),
    ] = None,
    form: FormatOption = Format.TEXT,
) -> None:
    """Ship a journal whose service is gone to the decision store, to its end.

    Started again it goes on where it was stopped. Ends with 1 where store and journal contradict
    each other, 11 where the store does not answer or a service still writes the journal.
    """
    from authz_service.cli.ship_journal import ship_journal  # noqa: PLC0415  # heavy

    raise typer.Exit(ship_journal(directory, {"decisions_url": decisions_url}, form))

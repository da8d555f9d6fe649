"""The words of a question that the explaining verbs share, each described once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from authz_service.cli.options import one_of
from authz_service.pdp.model import Action, Assurance, PurposeOfUse

_QUESTION, _OFFLINE, _PAGES = "The question", "Offline", "How many"
MAX_PAGE = 500

ActionOption = Annotated[
    Action,
    typer.Option(
        parser=one_of(Action),
        metavar="|".join(Action),
        rich_help_panel=_QUESTION,
        help="To do what with it.",
    ),
]
PurposeOption = Annotated[
    PurposeOfUse,
    typer.Option(
        parser=one_of(PurposeOfUse),
        metavar="|".join(PurposeOfUse),
        rich_help_panel=_QUESTION,
        help="What for (HL7 v3 ActReason).",
    ),
]
AssuranceOption = Annotated[
    Assurance | None,
    typer.Option(
        parser=one_of(Assurance),
        metavar="|".join(Assurance),
        rich_help_panel=_QUESTION,
        help="How the subject was authenticated.",
    ),
]
AuthenticatedOption = Annotated[
    str | None,
    typer.Option(
        "--authenticated-at",
        metavar="INSTANT|now",
        rich_help_panel=_QUESTION,
        help="When the subject last authenticated.",
    ),
]
TenantOption = Annotated[
    str | None,
    typer.Option("--tenant", metavar="ID", rich_help_panel=_QUESTION, help="Acting for which one."),
]
MatterOption = Annotated[
    str | None,
    typer.Option("--matter", metavar="ID", rich_help_panel=_QUESTION, help="The legal matter."),
]
LeastOption = Annotated[
    int,
    typer.Option(
        "--at-least-revision",
        min=0,
        max=2**63 - 1,
        rich_help_panel=_QUESTION,
        help="The facts revision that the answer must rest on.",
    ),
]
PageSizeOption = Annotated[
    int,
    typer.Option(
        "--page-size", min=1, max=MAX_PAGE, rich_help_panel=_PAGES, help="Most rows on a page."
    ),
]
EverythingOption = Annotated[
    bool, typer.Option("--all", rich_help_panel=_PAGES, help="Every page, up to the last.")
]
OfflineOption = Annotated[
    bool,
    typer.Option(
        "--offline",
        rich_help_panel=_OFFLINE,
        help="Answer here, from registry and policy; record nothing.",
    ),
]
FactsOption = Annotated[
    Path | None,
    typer.Option(
        "--facts",
        metavar="FILE",
        rich_help_panel=_OFFLINE,
        help="Answer here, from a file of `authz facts export`; record nothing.",
    ),
]
PolicyDirOption = Annotated[
    str | None,
    typer.Option(
        "--policy-dir",
        metavar="DIR",
        envvar="AUTHZ_POLICY_DIR",
        rich_help_panel=_OFFLINE,
        help="The policy, where it is answered here.",
        show_default="policies",
    ),
]

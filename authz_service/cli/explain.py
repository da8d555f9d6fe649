"""`authz explain`: why an answer is what it is, asked of the service or worked out here."""

from __future__ import annotations

from typing import Annotated

import typer

from authz_service.cli.addresses import DEFAULT_ADDRESS, DEFAULT_TIMEOUT
from authz_service.cli.circumstances import (
    ActionOption,
    AssuranceOption,
    AuthenticatedOption,
    FactsOption,
    LeastOption,
    MatterOption,
    OfflineOption,
    PolicyDirOption,
    PurposeOption,
    TenantOption,
)
from authz_service.cli.client_tls import over_tls
from authz_service.cli.options import (
    AddressOption,
    Format,
    FormatOption,
    RegistryOption,
    TimeoutOption,
)
from authz_service.cli.question import instant_of, require_well_formed
from authz_service.pdp.model import AccessRequest, Action, PurposeOfUse

EXAMPLES = """Examples:

authz explain pat-stone rec-river-1

authz explain dr-finch rec-river-1 --purpose TREAT --assurance MULTI_FACTOR

authz explain pat-river rec-mix-01 --offline --registry-url sqlite:///var/demo/registry.db

authz explain pat-ivy rec-ivy-1 --as-of 2020-06-10T12:00:00Z

authz explain pat-river rec-mix-01 --facts export.jsonl --format json

They work while `make run` serves the demo; the last, after
`authz facts export export.jsonl --registry-url sqlite:///var/demo/registry.db`.
"""


@over_tls
def explain(  # noqa: PLR0913  # one argument for each word of the question
    subject: Annotated[str, typer.Argument(metavar="SUBJECT", help="Who wants access: an id.")],
    recording: Annotated[str, typer.Argument(metavar="RECORDING", help="To which recording.")],
    *,
    action: ActionOption = Action.VIEW,
    purpose: PurposeOption = PurposeOfUse.PATRQT,
    assurance: AssuranceOption = None,
    authenticated_at: AuthenticatedOption = None,
    tenant: TenantOption = None,
    matter: MatterOption = None,
    at_least_revision: LeastOption = 0,
    as_of: Annotated[
        str | None,
        typer.Option(
            metavar="INSTANT",
            rich_help_panel="The question",
            help="By what was known then, under the policy in force now.",
        ),
    ] = None,
    offline: OfflineOption = False,
    facts: FactsOption = None,
    registry_url: RegistryOption = None,
    policy_dir: PolicyDirOption = None,
    address: AddressOption = DEFAULT_ADDRESS,
    timeout: TimeoutOption = DEFAULT_TIMEOUT,
    form: FormatOption = Format.TEXT,
) -> None:
    """Explain the answer to: may SUBJECT do this with RECORDING?

    What the policy saw and which facts gave it, every rule and what of it is unmet, and the nearest
    single change that would turn the answer. Recorded as EXPLAINED; it opens nothing. Ends with 0
    whatever the answer is, 11 where nothing can answer, 2 for a malformed id.
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
    instant = instant_of(as_of, "--as-of")
    from authz_service.cli.explainer import Place  # noqa: PLC0415  # generated code
    from authz_service.cli.explaining_verbs import explained  # noqa: PLC0415  # heavy

    path = str(facts) if facts else None
    place = Place(address, timeout, offline, path, registry_url, policy_dir)
    explained(request, instant, at_least_revision, place, form)

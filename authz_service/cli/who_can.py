"""`authz who-can`: everybody who may do something with a recording, by rule and relation."""

from __future__ import annotations

from typing import Annotated

import typer

from authz_service.cli.addresses import DEFAULT_ADDRESS, DEFAULT_TIMEOUT
from authz_service.cli.circumstances import (
    ActionOption,
    AssuranceOption,
    AuthenticatedOption,
    EverythingOption,
    FactsOption,
    LeastOption,
    MatterOption,
    OfflineOption,
    PageSizeOption,
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
from authz_service.cli.question import instant_of, require_ids
from authz_service.operations.subjects import SubjectsRequest
from authz_service.pdp.model import Action, PurposeOfUse

EXAMPLES = """Examples:

authz who-can rec-river-1

authz who-can rec-river-1 --action VIEW --purpose TREAT --assurance MULTI_FACTOR

They work while `make run` serves the demo.
"""


@over_tls
def who_can(  # noqa: PLR0913  # one argument for each word of the question
    recording: Annotated[str, typer.Argument(metavar="RECORDING", help="Which recording: an id.")],
    *,
    action: ActionOption = Action.VIEW,
    purpose: PurposeOption = PurposeOfUse.PATRQT,
    assurance: AssuranceOption = None,
    authenticated_at: AuthenticatedOption = None,
    tenant: TenantOption = None,
    matter: MatterOption = None,
    at_least_revision: LeastOption = 0,
    page_size: PageSizeOption = 50,
    everything: EverythingOption = False,
    offline: OfflineOption = False,
    facts: FactsOption = None,
    registry_url: RegistryOption = None,
    policy_dir: PolicyDirOption = None,
    address: AddressOption = DEFAULT_ADDRESS,
    timeout: TimeoutOption = DEFAULT_TIMEOUT,
    form: FormatOption = Format.TEXT,
) -> None:
    """Name everybody who may do this with RECORDING in these circumstances, and by which rule.

    Exactly those whom `check` would allow. Recorded as EXPLAINED, with everybody named. Ends with
    0, also where there is nobody; 11 where nothing can answer, 2 for a malformed id.
    """
    require_ids({"RECORDING": recording, "--tenant": tenant, "--matter": matter})
    request = SubjectsRequest(
        recording,
        action,
        purpose,
        tenant,
        assurance,
        instant_of(authenticated_at, "--authenticated-at"),
        matter,
        page_size,
    )
    from authz_service.cli.explainer import Place  # noqa: PLC0415  # generated code
    from authz_service.cli.explaining_verbs import named  # noqa: PLC0415  # heavy

    path = str(facts) if facts else None
    place = Place(address, timeout, offline, path, registry_url, policy_dir)
    named(request, at_least_revision, place, form, every_page=everything)

"""`authz what-can`: every recording that somebody may do something with, by rule and relation."""

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
from authz_service.operations.lists import ListRequest
from authz_service.pdp.model import Action, PurposeOfUse

EXAMPLES = """Examples:

authz what-can pat-river

authz what-can dr-finch --action VIEW --purpose TREAT --assurance MULTI_FACTOR

They work while `make run` serves the demo.
"""


@over_tls
def what_can(  # noqa: PLR0913  # one argument for each word of the question
    subject: Annotated[str, typer.Argument(metavar="SUBJECT", help="Who: an id.")],
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
    """Name every recording that SUBJECT may do this with, newest first, and by which rule.

    Exactly those that `check` would allow. SUBJECT is shown nothing: it is recorded as EXPLAINED,
    with every recording named. Ends with 0, also where there are none; 11 where nothing can
    answer, 2 for a malformed id.
    """
    require_ids({"SUBJECT": subject, "--tenant": tenant, "--matter": matter})
    request = ListRequest(
        subject,
        action,
        purpose,
        tenant,
        assurance,
        instant_of(authenticated_at, "--authenticated-at"),
        matter,
        page_size=page_size,
        is_explained=True,
    )
    from authz_service.cli.explainer import Place  # noqa: PLC0415  # generated code
    from authz_service.cli.explaining_verbs import reached  # noqa: PLC0415  # heavy

    path = str(facts) if facts else None
    place = Place(address, timeout, offline, path, registry_url, policy_dir)
    reached(request, at_least_revision, place, form, every_page=everything)

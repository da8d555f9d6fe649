"""ContainmentService: convert, call, convert."""

from __future__ import annotations

from authz_service.api.v1 import containment_pb2 as pb
from authz_service.api.v1 import containment_pb2_grpc as grpc_api
from authz_service.identity.caller_rules import CONTAINMENT, CallerRule
from authz_service.operations.contain import SOURCE, ContainAccess, ListContainments
from authz_service.operations.containments import Demand
from authz_service.pdp.errors import Violation
from authz_service.server.call import Call
from authz_service.server.containment_messages import (
    check_actor,
    check_containment_id,
    check_reason,
    fill_containment,
    fill_page,
    page_size_of,
    refuse_malformed,
    scope_from_proto,
)


class ContainmentServicer(grpc_api.ContainmentServiceServicer):
    """Asks the operations, and nothing else."""

    def __init__(self, contain_access: ContainAccess, list_containments: ListContainments) -> None:
        """Hold the operations."""
        self._contain_access = contain_access
        self._list_containments = list_containments

    async def Contain(  # type: ignore[override]  # noqa: N802  # the layer hands a Call
        self, request: pb.ContainRequest, context: Call
    ) -> pb.ContainResponse:
        """Switch access off."""
        context.rule.require_contain()
        found: list[Violation] = []
        scope = scope_from_proto(request.scope, found)
        demand = _demand(request, context.rule, found)
        change = await self._contain_access.contain(
            scope, demand, context=context.context, within=context.rule.tenants
        )
        response = pb.ContainResponse(facts_revision=change.revision)
        fill_containment(response.containment, change.containment)
        return response

    async def LiftContainment(  # type: ignore[override]  # noqa: N802  # the layer hands a Call
        self, request: pb.LiftContainmentRequest, context: Call
    ) -> pb.LiftContainmentResponse:
        """Switch access on again."""
        context.rule.require_contain()
        found: list[Violation] = []
        check_containment_id(request.id, found)
        demand = _demand(request, context.rule, found)
        change = await self._contain_access.lift(
            request.id, demand, context=context.context, within=context.rule.tenants
        )
        response = pb.LiftContainmentResponse(facts_revision=change.revision)
        fill_containment(response.containment, change.containment)
        return response

    async def ListContainments(  # type: ignore[override]  # noqa: N802  # the layer hands a Call
        self, request: pb.ListContainmentsRequest, context: Call
    ) -> pb.ListContainmentsResponse:
        """Show a page of containments."""
        page = await self._list_containments(
            include_lifted=request.include_lifted,
            page_size=page_size_of(request),
            page_token=request.page_token,
            context=context.context,
            within=context.rule.tenants,
        )
        response = pb.ListContainmentsResponse()
        fill_page(response, page)
        return response


def _demand(
    request: pb.ContainRequest | pb.LiftContainmentRequest, rule: CallerRule, found: list[Violation]
) -> Demand:
    """Return who demands it and why, as the system that the caller writes containments as.

    Raises:
        InvalidRequestError: Names what is malformed there, and what was *found* before.
    """
    check_reason(request.reason, found)
    check_actor(request.actor, found)
    refuse_malformed(found)
    return Demand(request.actor, request.reason, rule.source_of(CONTAINMENT) or SOURCE)

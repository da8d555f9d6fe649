"""EmergencyAccessService: convert, call, convert."""

from __future__ import annotations

from authz_service.api.v1 import emergency_access_pb2 as pb
from authz_service.api.v1 import emergency_access_pb2_grpc as grpc_api
from authz_service.api.v1 import vocabulary_pb2 as words
from authz_service.operations.emergency_access import EmergencyAccess
from authz_service.operations.even_pace import EvenPace
from authz_service.operations.ports import Clock
from authz_service.pdp.errors import CallerNotAllowedError, CallerRefusal
from authz_service.server.call import Call
from authz_service.server.convert import set_instant
from authz_service.server.emergency_convert import (
    accesses_to_proto,
    asked_from_proto,
    grant_to_proto,
    opened_to_proto,
    page_size_of,
    question_from_proto,
    review_from_proto,
    source_for,
)


class EmergencyServicer(grpc_api.EmergencyAccessServiceServicer):
    """Asks the operation, and nothing else."""

    def __init__(self, emergency_access: EmergencyAccess, *, pace: EvenPace, clock: Clock) -> None:
        """Open, list and review through *emergency_access*.

        Args:
            emergency_access: The operation.
            pace: At which what is refused without a reason leaves.
            clock: The service's time.
        """
        self._emergency_access = emergency_access
        self._pace = pace
        self._clock = clock

    async def OpenEmergencyAccess(  # type: ignore[override]  # noqa: N802  # the layer hands a Call
        self, request: pb.OpenEmergencyAccessRequest, context: Call
    ) -> pb.OpenEmergencyAccessResponse:
        """Open access, or say why not."""
        pace = None if context.rule.may_explain else self._pace
        opened = await self._emergency_access.open(
            asked_from_proto(request, context.rule, context.started_ns), context.context, pace
        )
        response = opened_to_proto(opened, context.rule)
        if pace is not None and response.reason == words.REASON_NOT_AVAILABLE:
            set_instant(response.evaluated_at, self._clock.now())
        return response

    async def ListEmergencyAccess(  # type: ignore[override]  # noqa: N802  # the layer hands a Call
        self, request: pb.ListEmergencyAccessRequest, context: Call
    ) -> pb.ListEmergencyAccessResponse:
        """Show accesses."""
        shown = await self._emergency_access.page(
            question_from_proto(request),
            context.context,
            page_size=page_size_of(request),
            page_token=request.page_token,
            within=context.rule.tenants,
        )
        return accesses_to_proto(shown)

    async def ReviewEmergencyAccess(  # type: ignore[override]  # noqa: N802  # the layer hands a Call
        self, request: pb.ReviewEmergencyAccessRequest, context: Call
    ) -> pb.ReviewEmergencyAccessResponse:
        """Review an access."""
        verdict = review_from_proto(request)
        if not context.rule.may_review:
            raise CallerNotAllowedError("review an emergency access", CallerRefusal.POWER)
        reviewed = await self._emergency_access.review(
            request.id,
            verdict,
            request.note if request.note.strip() else "",
            actor=request.actor,
            source=source_for(context.rule),
            context=context.context,
            within=context.rule.tenants,
        )
        response = pb.ReviewEmergencyAccessResponse(facts_revision=reviewed.revision)
        grant_to_proto(reviewed.grant, response.grant)
        return response

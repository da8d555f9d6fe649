"""DecisionLogService: convert, call, convert."""

from __future__ import annotations

import asyncio

from authz_service.api.v1 import decision_log_pb2 as pb
from authz_service.api.v1 import decision_log_pb2_grpc as grpc_api
from authz_service.operations.read_decisions import ReadDecisions
from authz_service.server.call import Call
from authz_service.server.decision_messages import (
    DEFAULT_PAGE,
    decision_id_of,
    fill_record,
    question_of,
)

_RECORDS_AT_ONCE = 25
"""So many are filled in before a check has its turn: they take it half a millisecond."""


class DecisionLogServicer(grpc_api.DecisionLogServiceServicer):
    """Asks the operation, and nothing else."""

    def __init__(self, read_decisions: ReadDecisions) -> None:
        """Hold the operation."""
        self._read_decisions = read_decisions

    async def GetDecision(  # type: ignore[override]  # noqa: N802  # the layer hands a Call
        self, request: pb.GetDecisionRequest, context: Call
    ) -> pb.GetDecisionResponse:
        """Show one record."""
        context.rule.require_log()
        stored = await self._read_decisions.one(decision_id_of(request), context=context.context)
        response = pb.GetDecisionResponse()
        fill_record(response.decision, stored)
        return response

    async def ListDecisions(  # type: ignore[override]  # noqa: N802  # the layer hands a Call
        self, request: pb.ListDecisionsRequest, context: Call
    ) -> pb.ListDecisionsResponse:
        """Show a page of records."""
        context.rule.require_log()
        page = await self._read_decisions.page(
            question_of(request),
            page_size=request.page_size or DEFAULT_PAGE,
            page_token=request.page_token,
            context=context.context,
        )
        response = pb.ListDecisionsResponse(next_page_token=page.next_page_token)
        for number, stored in enumerate(page.records, 1):
            fill_record(response.decisions.add(), stored)
            if number % _RECORDS_AT_ONCE == 0:
                await asyncio.sleep(0)
        return response

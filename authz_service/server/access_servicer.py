"""RecordingAccessService: convert, call, convert."""

from __future__ import annotations

from collections.abc import Sequence

from authz_service.api.v1 import recording_access_pb2 as pb
from authz_service.api.v1 import recording_access_pb2_grpc as grpc_api
from authz_service.api.v1 import vocabulary_pb2 as pb_words
from authz_service.operations.batch_check_access import (
    MAX_BATCH,
    BatchCheckAccess,
    BatchOutcome,
    Semantics,
)
from authz_service.operations.check_access import CheckAccess
from authz_service.operations.even_pace import EvenPace
from authz_service.operations.list_recordings import ListRecordings
from authz_service.operations.ports import Clock
from authz_service.pdp.errors import InvalidRequestError, Violation
from authz_service.pdp.model import AccessRequest
from authz_service.server.call import Call
from authz_service.server.convert import (
    echo_malformed,
    fill_response,
    filled,
    instant_to_proto,
    request_from_proto,
    response_to_proto,
    set_instant,
)
from authz_service.server.explaining import Explaining
from authz_service.server.list_convert import list_request_from_proto, list_response_to_proto

_SEMANTICS = {
    pb.BATCH_SEMANTICS_UNSPECIFIED: Semantics.EXECUTE_ALL,
    pb.BATCH_SEMANTICS_EXECUTE_ALL: Semantics.EXECUTE_ALL,
    pb.BATCH_SEMANTICS_DENY_ON_FIRST_DENY: Semantics.DENY_ON_FIRST_DENY,
    pb.BATCH_SEMANTICS_ALLOW_ON_FIRST_ALLOW: Semantics.ALLOW_ON_FIRST_ALLOW,
}


class AccessServicer(grpc_api.RecordingAccessServiceServicer):
    """Asks the operations, and nothing else."""

    def __init__(
        self,
        check_access: CheckAccess,
        batch_check_access: BatchCheckAccess,
        list_recordings: ListRecordings,
        explaining: Explaining,
        *,
        pace: EvenPace,
        clock: Clock,
    ) -> None:
        """Hold the operations.

        Args:
            check_access: Answers one question.
            batch_check_access: Answers many.
            list_recordings: Answers a page.
            explaining: Answers why, and who.
            pace: At which what is denied without a reason leaves.
            clock: The service's time.
        """
        self._check_access = check_access
        self._batch_check_access = batch_check_access
        self._list_recordings = list_recordings
        self._explaining = explaining
        self._pace = pace
        self._clock = clock

    async def CheckAccess(  # type: ignore[override]  # noqa: N802  # the layer hands a Call
        self, request: pb.CheckAccessRequest, context: Call
    ) -> pb.CheckAccessResponse:
        """Answer one question."""
        pace = None if context.rule.may_explain else self._pace
        record = await self._check_access(
            request_from_proto(request, context.rule),
            context.context,
            at_least=request.at_least_facts_revision,
            started_ns=context.started_ns,
            pace=pace,
        )
        response = response_to_proto(record, context.rule)
        if pace is not None and response.reason == pb_words.REASON_NOT_AVAILABLE:
            set_instant(response.evaluated_at, self._clock.now())
        return response

    async def BatchCheckAccess(  # type: ignore[override]  # noqa: N802  # the layer hands a Call
        self, request: pb.BatchCheckAccessRequest, context: Call
    ) -> pb.BatchCheckAccessResponse:
        """Answer many questions."""
        semantics = _semantics_of(request)
        items = list(request.checks)
        if request.HasField("defaults"):
            items = [filled(item, request.defaults) for item in items]
        outcome = await self._batch_check_access(
            [_question(item, context) for item in items],
            context.context,
            semantics=semantics,
            at_least=max(item.at_least_facts_revision for item in items),
            started_ns=context.started_ns,
            pace=None if context.rule.may_explain else self._pace,
        )
        response = _batch_to_proto(items, outcome, context)
        if not context.rule.may_explain:
            self._even_out(response)
        return response

    async def ListRecordings(  # type: ignore[override]  # noqa: N802  # the layer hands a Call
        self, request: pb.ListRecordingsRequest, context: Call
    ) -> pb.ListRecordingsResponse:
        """Answer one page of a list."""
        pace = None if context.rule.may_explain else self._pace
        outcome = await self._list_recordings(
            list_request_from_proto(request, context.rule),
            context.context,
            at_least=request.at_least_facts_revision,
            started_ns=context.started_ns,
            pace=pace,
        )
        response = list_response_to_proto(outcome)
        if pace is not None and not outcome.rows:
            set_instant(response.evaluated_at, self._clock.now())
        return response

    async def ListSubjects(  # type: ignore[override]  # noqa: N802  # the layer hands a Call
        self, request: pb.ListSubjectsRequest, context: Call
    ) -> pb.ListSubjectsResponse:
        """Answer one page of those who may."""
        return await self._explaining.who(request, context)

    async def ExplainAccess(  # type: ignore[override]  # noqa: N802  # the layer hands a Call
        self, request: pb.ExplainAccessRequest, context: Call
    ) -> pb.ExplainAccessResponse:
        """Explain one answer."""
        return await self._explaining.why(request, context)

    def _even_out(self, response: pb.BatchCheckAccessResponse) -> None:
        """Take out of *response* when it was judged, if an answer in it gives no reason."""
        answers = [result.answer for result in response.results if result.evaluated]
        if any(answer.reason == pb_words.REASON_NOT_AVAILABLE for answer in answers):
            now = self._clock.now()
            set_instant(response.evaluated_at, now)
            for answer in answers:
                set_instant(answer.evaluated_at, now)


def _semantics_of(request: pb.BatchCheckAccessRequest) -> Semantics:
    """Return when the batch stops.

    Raises:
        InvalidRequestError: There are no items or too many, or such semantics do not exist.
    """
    if not 1 <= len(request.checks) <= MAX_BATCH:
        raise InvalidRequestError(
            Violation("checks", f"has {len(request.checks)} items; a batch has 1 to {MAX_BATCH}")
        )
    semantics = _SEMANTICS.get(request.semantics)
    if semantics is None:
        raise InvalidRequestError(Violation("semantics", f"has no value {request.semantics}"))
    return semantics


def _question(item: pb.CheckAccessRequest, call: Call) -> AccessRequest | None:
    """Return the question of *item*; None where it is malformed."""
    try:
        return request_from_proto(item, call.rule)
    except InvalidRequestError:
        return None


def _batch_to_proto(
    items: Sequence[pb.CheckAccessRequest], outcome: BatchOutcome, call: Call
) -> pb.BatchCheckAccessResponse:
    """Return the answers, one for each item, with those past the stop unanswered."""
    response = pb.BatchCheckAccessResponse(
        policy_revision=outcome.policy_revision,
        facts_revision=outcome.facts_revision,
        evaluated_at=instant_to_proto(outcome.evaluated_at),
        request_id=call.context.request_id,
    )
    for item, record in zip(items, outcome.records, strict=False):
        result = response.results.add(evaluated=True)
        fill_response(result.answer, record, call.rule)
        if record.request is None:
            echo_malformed(result.answer, item)
    for _ in range(len(items) - len(outcome.records)):
        response.results.add(evaluated=False)
    return response

"""The two RPCs for people who ask why: for callers that may explain, and for nobody else."""

from __future__ import annotations

from authz_service.api.v1 import recording_access_pb2 as pb
from authz_service.operations.explain_access import ExplainAccess
from authz_service.operations.list_subjects import ListSubjects
from authz_service.pdp.errors import InvalidRequestError, Violation
from authz_service.pdp.model import AccessRequest
from authz_service.server.call import Call
from authz_service.server.convert import request_from_proto
from authz_service.server.explain_convert import as_of_in, explanation_to_proto
from authz_service.server.subjects_convert import (
    subjects_request_from_proto,
    subjects_response_to_proto,
)

EXPLAIN = "explain"
"""The power that both take."""


class Explaining:
    """Answers why, and who."""

    def __init__(self, explain_access: ExplainAccess, list_subjects: ListSubjects) -> None:
        """Hold the two operations."""
        self._explain_access = explain_access
        self._list_subjects = list_subjects

    async def why(self, request: pb.ExplainAccessRequest, call: Call) -> pb.ExplainAccessResponse:
        """Explain one answer.

        Raises:
            CallerNotAllowedError: The caller may not explain, or not ask this.
        """
        call.rule.require_power(EXPLAIN, "ask why an answer is what it is")
        explained = await self._explain_access(
            _question(request, call),
            call.context,
            at_least=request.check.at_least_facts_revision,
            started_ns=call.started_ns,
            as_of=as_of_in(request),
            within=call.rule.tenants,
        )
        return explanation_to_proto(explained, call.rule)

    async def who(self, request: pb.ListSubjectsRequest, call: Call) -> pb.ListSubjectsResponse:
        """Answer one page of those who may.

        Raises:
            CallerNotAllowedError: The caller may not explain, or not ask this.
        """
        call.rule.require_power(EXPLAIN, "ask who may")
        outcome = await self._list_subjects(
            subjects_request_from_proto(request, call.rule),
            call.context,
            at_least=request.at_least_facts_revision,
            started_ns=call.started_ns,
        )
        return subjects_response_to_proto(outcome)


def _question(request: pb.ExplainAccessRequest, call: Call) -> AccessRequest:
    """Return the question to explain.

    Raises:
        InvalidRequestError: Names every field that is malformed, by its place in *request*.
        CallerNotAllowedError: The caller may not ask it.
    """
    try:
        return request_from_proto(request.check, call.rule)
    except InvalidRequestError as error:
        raise InvalidRequestError(
            *(Violation(f"check.{field}", text) for field, text in error.violations)
        ) from None

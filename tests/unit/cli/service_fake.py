"""A service that answers as a test tells it to, over a real port."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2

from authz_service.api.v1 import recording_access_pb2 as pb
from authz_service.api.v1 import recording_access_pb2_grpc as grpc_api
from authz_service.api.v1 import vocabulary_pb2 as words

Change = Callable[[pb.CheckAccessResponse], None]
ListChange = Callable[[pb.ListRecordingsResponse], None]


class Unasked(grpc_api.RecordingAccessServiceServicer):
    """What these tests never call."""

    def BatchCheckAccess(self, request: Any, context: Any) -> Any:  # noqa: N802  # the RPC's name
        raise AssertionError

    def CheckAccess(self, request: Any, context: Any) -> Any:  # noqa: N802  # the RPC's name
        raise AssertionError

    def ExplainAccess(self, request: Any, context: Any) -> Any:  # noqa: N802  # the RPC's name
        raise AssertionError

    def ListRecordings(self, request: Any, context: Any) -> Any:  # noqa: N802  # the RPC's name
        raise AssertionError

    def ListSubjects(self, request: Any, context: Any) -> Any:  # noqa: N802  # the RPC's name
        raise AssertionError


class FakeAccess(Unasked):
    """Echoes the question with an ALLOW, changed as told; keeps what it was asked."""

    def __init__(self, change: Change) -> None:
        self.asked: list[pb.CheckAccessRequest] = []
        self._change = change

    def CheckAccess(self, request: pb.CheckAccessRequest, context: Any) -> pb.CheckAccessResponse:  # noqa: N802  # the RPC's name
        self.asked.append(request)
        response = pb.CheckAccessResponse(
            effect=words.EFFECT_ALLOW,
            reason=words.REASON_RULE_ALLOWED,
            decision_id="d1",
            policy_revision="p1",
            facts_revision=7,
            subject_id=request.subject.id,
            recording_id=request.recording_id,
            action=request.action,
            request_id=dict(context.invocation_metadata())["x-request-id"],
        )
        self._change(response)
        return response


class FakeLists(Unasked):
    """Lists r0, r1 … in pages of the size asked for, changed as told; keeps the questions."""

    def __init__(self, number: int, change: ListChange = lambda _response: None) -> None:
        self.asked: list[pb.ListRecordingsRequest] = []
        self._number = number
        self._change = change

    def ListRecordings(  # noqa: N802  # the RPC's name
        self, request: pb.ListRecordingsRequest, context: Any
    ) -> pb.ListRecordingsResponse:
        self.asked.append(request)
        start = int(request.page_token or 0)
        end = min(start + request.page_size, self._number)
        response = pb.ListRecordingsResponse(
            next_page_token=str(end) if end < self._number else "",
            decision_id=f"page-{start}",
            policy_revision="p1",
            facts_revision=7,
            subject_id=request.subject.id,
            action=request.action,
            patient_id=request.patient_id,
            request_id=dict(context.invocation_metadata())["x-request-id"],
        )
        for number in range(start, end):
            row = response.recordings.add(
                recording_id=f"r{number}", patient_id="ana", decision_id=f"d{number}"
            )
            row.created_at.FromJsonString("2020-06-09T14:00:00Z")
        self._change(response)
        return response


class FailingAccess(Unasked):
    """Fails every call with a status that carries details."""

    def __init__(self, code: grpc.StatusCode, message: str, reason: str) -> None:
        self._code, self._message = code, message
        self._status = status_pb2.Status(code=code.value[0], message=message)
        packed = any_pb2.Any()
        packed.Pack(error_details_pb2.ErrorInfo(reason=reason))
        self._status.details.append(packed)

    def CheckAccess(self, request: pb.CheckAccessRequest, context: Any) -> pb.CheckAccessResponse:  # noqa: N802  # the RPC's name
        details = self._status.SerializeToString()
        context.set_trailing_metadata((("grpc-status-details-bin", details),))
        context.abort(self._code, self._message)
        raise AssertionError


@contextmanager
def serving(access: grpc_api.RecordingAccessServiceServicer) -> Iterator[str]:
    """Serve *access*; give its address."""
    server = grpc.server(ThreadPoolExecutor(1))
    grpc_api.add_RecordingAccessServiceServicer_to_server(access, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()

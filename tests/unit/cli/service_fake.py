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


class Unasked(grpc_api.RecordingAccessServiceServicer):
    """What these tests never call."""

    def BatchCheckAccess(self, request: Any, context: Any) -> Any:  # noqa: N802  # the RPC's name
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

"""Explanations asked of the running service; each must repeat the question."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from authz_service.api.v1 import recording_access_pb2 as pb
from authz_service.api.v1 import recording_access_pb2_grpc as grpc_api
from authz_service.cli import remote_check, remote_list
from authz_service.cli.channel import Connection, connected, new_request_id
from authz_service.cli.explainer import Explainer, Place
from authz_service.cli.failures import CommandError


@contextmanager
def explainer_at(place: Place) -> Iterator[Explainer]:
    """Lend what asks the service at *place*.

    Raises:
        CommandError: Some of the certificate's files are missing.
    """
    with connected(place.address, place.timeout_seconds) as service:
        yield _Remote(service)


class _Remote:
    """Asks over one connection."""

    def __init__(self, service: Connection) -> None:
        self._service = service
        self._stub = service.stub(grpc_api.RecordingAccessServiceStub)

    def why(self, request: pb.ExplainAccessRequest) -> pb.ExplainAccessResponse:
        request_id = new_request_id()
        response: pb.ExplainAccessResponse = self._service.call(
            self._stub.ExplainAccess, request, request_id
        )
        remote_check.require_echo(request.check, response.answer, request_id)
        remote_check.require_instant(request, response)
        return response

    def who(self, request: pb.ListSubjectsRequest) -> pb.ListSubjectsResponse:
        request_id = new_request_id()
        response: pb.ListSubjectsResponse = self._service.call(
            self._stub.ListSubjects, request, request_id
        )
        wrong = remote_check.not_repeated(
            {
                "recording": (request.recording_id, response.recording_id),
                "action": (request.action, response.action),
                "request id": (request_id, response.request_id),
            }
        )
        if wrong:
            raise CommandError(
                f"the list is of another question: it does not repeat the {wrong}",
                reason="ECHO_MISMATCH",
                hint="do not rely on it; something between here and the service mixes up answers",
            )
        return response

    def what(self, request: pb.ListRecordingsRequest) -> pb.ListRecordingsResponse:
        request_id = new_request_id()
        response: pb.ListRecordingsResponse = self._service.call(
            self._stub.ListRecordings, request, request_id
        )
        remote_list.require_echo(request, response, request_id)
        return response

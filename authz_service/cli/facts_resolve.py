"""A conflict resolved by a person, through the running service, which records it."""

from __future__ import annotations

from authz_service.api.v1 import facts_pb2 as pb
from authz_service.api.v1 import facts_pb2_grpc as grpc_api
from authz_service.cli.channel import connected
from authz_service.cli.options import Format
from authz_service.cli.output import print_fields, print_json, print_line
from authz_service.cli.question import is_text, require_ids
from authz_service.pdp.errors import InvalidRequestError, Violation


def resolve_conflict(
    recording: str,
    reason: str,
    actor: str,
    *,
    address: str,
    timeout_seconds: float,
    form: Format,
) -> None:
    """Resolve the conflict of *recording* and print whose it is now.

    Raises:
        InvalidRequestError: An id is malformed, or the reason is empty or not text.
        CommandError: The service refuses, or does not answer.
    """
    require_ids({"RECORDING": recording, "--actor": actor})
    require_words(reason, "write why it is right")
    with connected(address, timeout_seconds) as service:
        stub = service.stub(grpc_api.FactsServiceStub)
        request = pb.ResolveConflictRequest(recording_id=recording, reason=reason, actor=actor)
        response: pb.ResolveConflictResponse = service.call(stub.ResolveConflict, request)
    if form is Format.JSON:
        print_json(
            {
                "recording_id": recording,
                "patient_id": response.patient_id,
                "facts_revision": response.facts_revision,
            }
        )
        return
    print_line(f"the conflict of {recording} is resolved", "green")
    print_fields(
        [("patient", response.patient_id), ("facts revision", str(response.facts_revision))]
    )


def require_words(reason: str, hint: str) -> None:
    """Refuse a reason that says nothing, or that cannot be sent.

    Raises:
        InvalidRequestError: It does; *hint* says what to write.
    """
    if not reason.strip() or not is_text(reason):
        raise InvalidRequestError(Violation("--reason", f"says nothing; {hint}"))

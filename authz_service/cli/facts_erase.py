"""A patient erased, through the running service, which records it."""

from __future__ import annotations

import sys

import typer

from authz_service.api.v1 import facts_pb2 as pb
from authz_service.api.v1 import facts_pb2_grpc as grpc_api
from authz_service.cli.channel import connected
from authz_service.cli.facts_resolve import require_words
from authz_service.cli.options import Format
from authz_service.cli.output import print_fields, print_json, print_line
from authz_service.cli.question import require_ids
from authz_service.cli.wording import counted
from authz_service.pdp.errors import InvalidRequestError, Violation


def erase_person(
    patient: str,
    reason: str,
    actor: str,
    *,
    address: str,
    timeout_seconds: float,
    form: Format,
) -> None:
    """Erase *patient* and print what that came to.

    Raises:
        InvalidRequestError: An id is malformed, or the reason says nothing.
        CommandError: The service refuses, or does not answer.
    """
    require_ids({"PATIENT": patient, "--actor": actor})
    require_words(reason, "write on whose request, and where that is filed")
    with connected(address, timeout_seconds) as service:
        stub = service.stub(grpc_api.FactsServiceStub)
        request = pb.ErasePersonRequest(patient_id=patient, reason=reason, actor=actor)
        response: pb.ErasePersonResponse = service.call(stub.ErasePerson, request)
    if form is Format.JSON:
        print_json(
            {
                "patient_id": patient,
                "erased": response.erased,
                "naming": response.naming,
                "facts_revision": response.facts_revision,
            }
        )
        return
    print_line(f"{patient} is erased", "green")
    print_fields(
        [
            ("erased", counted(response.erased, "fact")),
            ("name them still", f"{counted(response.naming, 'fact')} of others"),
            ("facts revision", str(response.facts_revision)),
        ]
    )


def require_sure(patient: str, *, is_sure: bool) -> None:
    """Ask, on a terminal, whether whoever erases is sure.

    Raises:
        InvalidRequestError: There is no terminal, and they did not say so.
    """
    if is_sure:
        return
    if not sys.stdin.isatty():
        raise InvalidRequestError(
            Violation("--yes", "is missing: this cannot be undone, and there is nobody to ask")
        )
    typer.confirm(f"Erase all that is known of {patient}? This cannot be undone.", abort=True)

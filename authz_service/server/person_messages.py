"""What is stored about a person, as messages."""

from __future__ import annotations

from authz_service.api.v1 import facts_pb2 as pb
from authz_service.operations.export_person import PersonPart
from authz_service.server.fact_messages import fill_fact


def exported(part: PersonPart, revision: int) -> pb.ExportPersonResponse:
    """Return *part*, which was read at *revision*, as a message."""
    message = pb.ExportPersonResponse(notes=part.notes, facts_revision=revision)
    for fact in part.facts:
        fill_fact(message.facts.add(), fact)
    for fact in part.past_facts:
        fill_fact(message.past_facts.add(), fact)
    return message

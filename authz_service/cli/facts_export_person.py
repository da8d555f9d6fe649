"""Everything that is stored about a person, asked of the running service, as one document."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from google.protobuf import json_format

from authz_service.api.v1 import entities_pb2 as entities
from authz_service.api.v1 import facts_pb2 as pb
from authz_service.api.v1 import facts_pb2_grpc as grpc_api
from authz_service.cli.channel import connected
from authz_service.cli.facts_export import STDOUT, require_new, whole_or_not
from authz_service.cli.output import print_line
from authz_service.cli.question import require_ids
from authz_service.cli.wording import counted

_ABOUT = (
    "Everything that the registry of facts of the recording-access service holds about this "
    "person: what is stored now (facts), what was stored before, as far as it is kept "
    "(past_facts), and what people typed beside it (notes). Each fact says which system said so, "
    "and when it saw it. Who asked for this person's recordings is in the decision log."
)

Grouped = dict[str, list[dict[str, Any]]]


def export_person(
    person: str, actor: str, file: str, *, address: str, timeout_seconds: float, force: bool
) -> None:
    """Write what is stored about *person* to *file*, for this user alone to read, or to stdout.

    Raises:
        InvalidRequestError: An id is malformed.
        CommandError: The service refuses, does not answer, or knows nothing of the person; or there
            is a *file*, which only *force* writes over.
        OSError: The file cannot be written.
    """
    require_ids({"PERSON": person, "--actor": actor})
    if file != STDOUT:
        require_new(file, force=force)
    document = _asked(person, actor, address, timeout_seconds)
    content = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    if file == STDOUT:
        sys.stdout.write(content)
        sys.stdout.flush()
    else:
        with whole_or_not(Path(file)) as stream:
            stream.write(content.encode())
    print_line(f"{file}: {_summary(document)}", "dim", stderr=True)


def _asked(person: str, actor: str, address: str, timeout_seconds: float) -> dict[str, Any]:
    """Return the document about *person*.

    Raises:
        CommandError: The service refuses, does not answer, or knows nothing of the person.
    """
    facts, past_facts, notes, revision = Grouped(), Grouped(), list[str](), 0
    with connected(address, timeout_seconds) as service:
        stub = service.stub(grpc_api.FactsServiceStub)
        request = pb.ExportPersonRequest(subject_id=person, actor=actor)
        for part in service.stream(stub.ExportPerson, request, timeout_seconds):
            _add(facts, part.facts)
            _add(past_facts, part.past_facts)
            notes += part.notes
            revision = part.facts_revision
    return {
        "person": person,
        "about": _ABOUT,
        "facts_revision": revision,
        "facts": facts,
        "past_facts": past_facts,
        "notes": notes,
    }


def _add(grouped: Grouped, facts: Any) -> None:
    """Add *facts* by kind, in the form that import reads, each with its revision."""
    for fact in facts:
        grouped.setdefault(str(fact.WhichOneof("entity")), []).append(_plain(fact))


def _plain(fact: entities.Fact) -> dict[str, Any]:
    """Return one fact."""
    plain: dict[str, Any] = json_format.MessageToDict(fact, preserving_proto_field_name=True)
    return {**plain, "revision": fact.revision}


def _summary(document: dict[str, Any]) -> str:
    """Return how much *document* holds."""
    now, before = (sum(map(len, document[group].values())) for group in ("facts", "past_facts"))
    notes = counted(len(document["notes"]), "note")
    return f"{counted(now, 'fact')}, {counted(before, 'earlier version')}, {notes}"

"""An access request, end to end: the document, its record, and who may ask for it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import grpc
import pytest

from authz_service.api.v1 import facts_pb2 as pb
from authz_service.audit.verify import read_records
from tests.certificates import CALLER, Estate
from tests.e2e.client import client_of, eventually, failing
from tests.e2e.clinic import FACTS, LATER, fact, patient
from tests.service_thread import serving
from tests.unit.cli.cli_runs import run


def exported(client: Any, person: str, actor: str = "dpo") -> list[Any]:
    """Ask; return all parts."""
    request = pb.ExportPersonRequest(subject_id=person, actor=actor)
    return list(client.facts.ExportPerson(request, timeout=20))


def test_what_is_stored_about_a_person_is_one_readable_document(
    either_url: str, tmp_path: Path
) -> None:
    file = tmp_path / "mara.json"
    with serving(tmp_path, registry_url=either_url) as service, client_of(service) as client:
        client.write(FACTS)
        moved = fact(
            "consultation",
            id="con-rec-mara",
            tenant_id="fjell",
            patient_id="mara",
            modality="AUDIO",
            started_at="2023-06-01T08:00:00Z",
            observed_at=LATER,
        )
        client.write([moved])
        words = ("facts", "export-person", "mara", "--actor", "dpo", "--address", service.address)
        result = run(*words, "-o", str(file))
        again = run(*words, "-o", str(file))
        shown = run(*words)

    found = json.loads(file.read_text())
    assert (result.exit_code, again.exit_code) == (0, 1)
    assert file.stat().st_mode & 0o777 == 0o600
    assert json.loads(shown.stdout) == found
    assert found["person"] == "mara"
    assert [one["subject"]["id"] for one in found["facts"]["subject"]] == ["mara"]
    assert "rec-mara" in {one["recording"]["id"] for one in found["facts"]["recording"]}
    (before,) = found["past_facts"]["consultation"]
    assert (before["consultation"]["modality"], before["revision"]) == ("MODALITY_VIDEO", 1)
    events = [r for r in read_records(tmp_path / "journal") if r["kind"] == "PERSON_EXPORTED"]
    assert len(events) == 2
    details: Any = events[0]["details"]
    assert (events[0]["actor"], details["subject_id"], details["past_facts"]) == ("dpo", "mara", 1)


@pytest.mark.parametrize(
    ("person", "actor", "code", "reason"),
    [
        pytest.param("nobody", "dpo", "NOT_FOUND", "NOT_FOUND", id="unknown"),
        pytest.param("", "dpo", "INVALID_ARGUMENT", "INVALID_REQUEST", id="no-person"),
        pytest.param("mara", "", "INVALID_ARGUMENT", "INVALID_REQUEST", id="no-actor"),
    ],
)
def test_a_request_that_cannot_be_answered_says_why(
    shared_client: Any, person: str, actor: str, code: str, reason: str
) -> None:
    failure = failing(exported, shared_client, person, actor)

    assert (failure.code, failure.reason) == (code, reason)


def _is_refused(client: Any, person: str) -> bool:
    """Whether an export fails."""
    try:
        exported(client, person)
    except grpc.RpcError:
        return True
    return False


def test_a_bound_caller_exports_persons_of_its_tenants_alone(
    estate: Estate, tmp_path: Path
) -> None:
    estate.put_callers(f"{CALLER},WriteFacts|ExportPerson,*,,,subject as directory,")
    foreign = {**patient("nils"), "subject": {**patient("nils")["subject"], "tenant_id": "uk"}}
    with serving(tmp_path, **estate.settings) as service:
        with client_of(service, estate.credentials(CALLER)) as client:
            client.write([patient("mara"), foreign])
        estate.put_callers(f"{CALLER},ExportPerson,fjell,,,,")
        service.reload_soon()
        with client_of(service, estate.credentials(CALLER)) as client:
            eventually(lambda: _is_refused(client, "nils"))
            own = exported(client, "mara")
            refused = failing(exported, client, "nils")

    assert [one.subject.id for part in own for one in part.facts] == ["mara"]
    assert (refused.code, refused.reason) == ("NOT_FOUND", "NOT_FOUND")

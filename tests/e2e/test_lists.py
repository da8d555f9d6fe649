"""Lists over the wire: what is recorded and counted, who may ask, and where a token is good."""

from __future__ import annotations

import shutil
import uuid
from pathlib import Path
from typing import Any

from authz_service.api.v1 import recording_access_pb2 as pb
from authz_service.audit.verify import read_records, verify_journal
from tests.e2e.client import Client, client_of, failing
from tests.e2e.clinic import FACTS, LATER, TENANT, fact, recorded
from tests.service_thread import SHIPPED_CALLERS_REVISION, serving
from tests.wire import fill

MORE = [entity for number in range(4) for entity in recorded(f"rec-more-{number}", "mara")]
NEWEST_FIRST = ["rec-more-3", "rec-more-2", "rec-more-1", "rec-more-0", "rec-mara"]


def page(client: Client, subject: str = "mara", /, **fields: Any) -> pb.ListRecordingsResponse:
    """Ask for a page."""
    response = client.access.ListRecordings(asking(subject, **fields), timeout=10)
    assert isinstance(response, pb.ListRecordingsResponse)
    return response


def asking(subject: str = "mara", /, **fields: Any) -> pb.ListRecordingsRequest:
    """Return a question for a list at the patient's request."""
    request = pb.ListRecordingsRequest()
    fill(request, {"subject": {"id": subject}, "context": {"purpose_of_use": "PATRQT"}, **fields})
    return request


def ids(response: pb.ListRecordingsResponse) -> list[str]:
    return [row.recording_id for row in response.recordings]


def test_a_page_and_its_rows_are_on_record_under_the_ids_that_the_answer_carries(
    tmp_path: Path,
) -> None:
    """The page, then each row; of what was looked at and not shown, a number and no more."""
    with serving(tmp_path) as service, client_of(service) as client:
        client.write([*FACTS, *MORE])
        client.write([fact("recording", observed_at=LATER, id="rec-more-1", tenant_id=TENANT,
                           consultation_id="con-rec-more-1", owner_id="mara", state="RESTRICTED",
                           created_at="2023-06-01T08:20:00Z")])  # fmt: skip
        answer = page(client, tenant_id=TENANT, patient_id="mara", page_size=2)
        nothing = page(client, "ines", action="EXPORT")
        after = client.metrics()

    assert verify_journal(tmp_path / "journal").fault is None
    kinds = {"LISTED", "PRESENTED", "DECISION"}
    found: list[dict[str, Any]] = [
        dict(each) for each in read_records(tmp_path / "journal") if each["kind"] in kinds
    ]
    listed, *rows, empty = found
    for took in (listed, *rows, empty):
        assert uuid.UUID(str(took["decision_id"])).version == 7
        assert took.pop("elapsed_microseconds") > 0
    assert listed == {
        "format": 1,
        "kind": "LISTED",
        "decision_id": answer.decision_id,
        "evaluated_at": listed["evaluated_at"],
        "request_id": answer.request_id,
        "trace_id": None,
        "caller": "loopback",
        "callers_revision": SHIPPED_CALLERS_REVISION,
        "subject_id": "mara",
        "tenant_id": TENANT,
        "patient_id": "mara",
        "action": "LIST",
        "situation": {"roles": None, "relations": None, "purpose": "PATRQT", "conditions": None},
        "created_from": None,
        "created_to": None,
        "page_size": 2,
        "rows": 2,
        "considered": 4,
        "is_last": False,
        "policy_revision": answer.policy_revision,
        "facts_revision": answer.facts_revision,
        "software": listed["software"],
    }
    assert [(row["kind"], row["recording_id"], row["decision_id"]) for row in rows] == [
        ("PRESENTED", row.recording_id, row.decision_id) for row in answer.recordings
    ]
    assert {(row["effect"], row["patient_id"], row["evaluated_at"]) for row in rows} == {
        ("ALLOW", "mara", listed["evaluated_at"])
    }
    assert (empty["kind"], empty["decision_id"], empty["rows"]) == (
        "LISTED",
        nothing.decision_id,
        0,
    )
    assert after['authz_lists_total{action="LIST",result="rows"}'] == 1
    assert after['authz_lists_total{action="EXPORT",result="empty"}'] == 1
    assert (after["authz_list_rows_total"], after["authz_list_candidates_total"]) == (2, 4)
    assert after['authz_decisions_total{action="LIST",effect="ALLOW",reason="RULE_ALLOWED"}'] == 0


def test_a_token_is_good_after_a_restart_and_on_every_replica(tmp_path: Path) -> None:
    """The key stands in the registry, so a list goes on wherever its next call arrives."""
    registry = f"sqlite:///{tmp_path / 'registry.db'}"
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    with serving(tmp_path / "a", registry_url=registry) as service, client_of(service) as client:
        client.write([*FACTS, *MORE])
        first = page(client, page_size=2)
    with (
        serving(tmp_path / "a", registry_url=registry) as again,
        serving(tmp_path / "b", registry_url=registry) as beside,
        client_of(again) as one,
        client_of(beside) as other,
    ):
        second = page(one, page_size=2, page_token=first.next_page_token)
        third = page(other, page_size=2, page_token=second.next_page_token)

    assert [*ids(first), *ids(second), *ids(third)] == NEWEST_FIRST
    assert third.next_page_token == ""


def test_a_token_of_another_registry_or_question_is_refused_unrecorded(tmp_path: Path) -> None:
    """Nothing was shown, so there is nothing to record."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    with serving(tmp_path / "a") as service, client_of(service) as client:
        client.write([*FACTS, *MORE])
        token = page(client, page_size=2).next_page_token
        widened = failing(page, client, page_size=2, page_token=token, tenant_id=TENANT)
    with serving(tmp_path / "b") as service, client_of(service) as client:
        client.write([*FACTS, *MORE])
        foreign = failing(page, client, page_size=2, page_token=token)

    for failure in (widened, foreign):
        assert (failure.code, failure.reason) == ("INVALID_ARGUMENT", "INVALID_REQUEST")
        assert failure.fields == ("page_token",)
    assert [r["kind"] for r in read_records(tmp_path / "b" / "journal") if "rows" in r] == []


def test_the_callers_file_says_who_may_list(tmp_path: Path) -> None:
    """The RPC, the action, which is LIST where none is stated, the tenant and the purpose."""
    header = "caller,rpcs,tenants,actions,purposes,writes,may\n"
    callers = tmp_path / "callers.csv"
    told = []
    for row in (
        "loopback,CheckAccess,*,*,*,*,*",
        "loopback,*,*,VIEW,*,*,*",
        "loopback,*,other,*,*,*,*",
        "loopback,*,*,*,TREAT,*,*",
    ):
        callers.write_text(f"{header}{row}\n", encoding="utf-8")
        with (
            serving(tmp_path, callers_file=callers) as service,
            client_of(service) as client,
        ):
            told.append(failing(page, client, tenant_id=TENANT))

    assert {(failure.code, failure.reason) for failure in told} == {
        ("PERMISSION_DENIED", "CALLER_NOT_ALLOWED")
    }


def test_no_list_leaves_unrecorded(tmp_path: Path) -> None:
    """With its journal gone the service lists nothing, as it decides nothing."""
    with serving(tmp_path) as service, client_of(service) as client:
        client.write(FACTS)
        shutil.move(tmp_path / "journal", tmp_path / "elsewhere")
        try:
            failure = failing(_until_it_fails, client)
        finally:
            shutil.rmtree(tmp_path / "journal", ignore_errors=True)
            shutil.move(tmp_path / "elsewhere", tmp_path / "journal")

    assert (failure.code, failure.reason) == ("UNAVAILABLE", "JOURNAL_UNAVAILABLE")


def _until_it_fails(client: Client) -> None:
    for _ in range(2000):
        page(client)

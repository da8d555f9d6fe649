"""The decision log of a running service: there within a second, whole, and for auditors only."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from authz_service.api.v1 import decision_log_pb2 as pb
from authz_service.api.v1 import recording_access_pb2 as access_pb
from authz_service.audit.verify import read_records
from authz_service.cli.verbs import app
from tests.e2e.client import Client, client_of, eventually, failing, question
from tests.e2e.clinic import FACTS
from tests.postgres import new_database
from tests.service_thread import SHIPPED_POLICY, ServiceThread, serving
from tests.wire import fill

NOBODYS = "0190163d-8694-739b-aea5-966c26f8ad91"


@pytest.fixture(
    scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)]
)
def service(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServiceThread]:
    """A service with the clinic in it, whose decision store is on each database in turn."""
    folder = tmp_path_factory.mktemp("log")
    url = f"sqlite:///{folder / 'decisions.db'}"
    if request.param == "postgresql":
        url = new_database()
    with serving(folder, decisions_url=url, facts_staleness_ms=0) as running:
        with client_of(running) as client:
            client.write(FACTS)
        running.folder = folder  # type: ignore[attr-defined]  # where its journal is
        yield running


@pytest.fixture
def client(service: ServiceThread) -> Iterator[Client]:
    """A client of that service."""
    with client_of(service) as made:
        yield made


def asked(**fields: Any) -> pb.ListDecisionsRequest:
    """Return a question for records."""
    request = pb.ListDecisionsRequest()
    fill(request, fields)
    return request


def listed(client: Client, **fields: Any) -> list[pb.DecisionRecord]:
    """Return a page of records."""
    return list(client.log.ListDecisions(asked(**fields), timeout=10).decisions)


def got(client: Client, decision_id: str) -> pb.DecisionRecord:
    """Return one record."""
    request = pb.GetDecisionRequest(decision_id=decision_id)
    record: pb.DecisionRecord = client.log.GetDecision(request, timeout=10).decision
    return record


def shipped(client: Client, decision_id: str) -> pb.DecisionRecord:
    """Return one record, as soon as it is there."""
    found: list[pb.DecisionRecord] = []

    def is_there() -> bool:
        try:
            found.append(got(client, decision_id))
        except Exception:  # noqa: BLE001  # not yet
            return False
        return True

    eventually(is_there)
    return found[0]


def test_a_decision_is_there_within_a_second(client: Client) -> None:
    answer = client.check()
    begun = time.monotonic()

    record = shipped(client, answer.decision_id)

    assert time.monotonic() - begun < 1.0
    assert (record.decision_id, record.kind) == (answer.decision_id, pb.RECORD_KIND_DECISION)
    assert (record.subject_id, record.recording_id, record.patient_id) == (
        "mara",
        "rec-mara",
        "mara",
    )
    assert (record.effect, record.reason) == (answer.effect, answer.reason)
    assert record.evaluated_at == answer.evaluated_at
    assert record.request_id == answer.request_id
    assert (record.policy_revision, record.facts_revision) == (
        answer.policy_revision,
        answer.facts_revision,
    )


def test_every_item_of_a_batch_is_a_record_of_its_own(client: Client) -> None:
    items = [question("mara", "rec-mara"), question("mara", "rec-ines"), question("a b", "r")]
    batch = access_pb.BatchCheckAccessRequest(checks=items)
    results = client.access.BatchCheckAccess(batch, timeout=10).results
    begun = time.monotonic()

    records = [shipped(client, each.answer.decision_id) for each in results]

    assert time.monotonic() - begun < 1.0
    assert [each.recording_id for each in records] == ["rec-mara", "rec-ines", ""]
    assert [each.effect for each in records] == [each.answer.effect for each in results]
    assert len({each.journal_sequence for each in records}) == 1


def test_a_list_is_there_with_the_rows_that_were_presented(client: Client) -> None:
    request = access_pb.ListRecordingsRequest()
    fill(request, {"subject": {"id": "ines"}, "context": {"purpose_of_use": "PATRQT"}})
    response = client.access.ListRecordings(request, timeout=10)
    begun = time.monotonic()

    (row,) = response.recordings
    presented = shipped(client, row.decision_id)

    assert time.monotonic() - begun < 1.0
    assert (presented.kind, presented.recording_id) == (pb.RECORD_KIND_PRESENTED, "rec-ines")
    (page,) = listed(client, subject_id="ines", kind="LISTED", page_size=1)
    assert json.loads(page.json)["rows"] == 1
    assert page.journal_sequence == presented.journal_sequence


def test_a_record_is_the_journals_own_with_its_place_in_the_chain(
    client: Client, service: Any
) -> None:
    """Whoever doubts the store finds the line in the journal, and hashes it."""
    record = shipped(client, client.check("mara", "rec-ines").decision_id)

    lines = b"".join(
        path.read_bytes() for path in sorted((service.folder / "journal").glob("seg*"))
    )
    numbered = dict(enumerate(lines.split(b"\n"), 1))
    line, before = numbered[record.journal_sequence], numbered[record.journal_sequence - 1]
    body, _, tail = line.rpartition(b',"hash":"')
    previous = before.rpartition(b',"hash":"')[2][:64]
    assert body.endswith(record.json.encode())
    assert tail[:64].decode() == record.journal_line_hash
    assert hashlib.sha256(previous + body).hexdigest() == record.journal_line_hash
    assert record.journal_id == (service.folder / "journal" / "journal.id").read_text().strip()


def test_pages_hold_every_record_once(client: Client) -> None:
    ids = [client.check("olga", "rec-mara").decision_id for _ in range(7)]
    shipped(client, ids[-1])
    found: list[str] = []
    request = asked(subject_id="olga", recording_id="rec-mara", effect="DENY", page_size=3)

    while True:
        page = client.log.ListDecisions(request, timeout=10)
        found += [each.decision_id for each in page.decisions]
        request.page_token = page.next_page_token
        if not page.next_page_token:
            break

    assert found == ids[::-1]


@pytest.mark.parametrize(
    "fields",
    [
        {"subject_id": "lio"},
        {"recording_id": "rec-lio"},
        {"patient_id": "lio"},
        {"subject_id": "lio", "caller": "loopback", "effect": "DENY", "kind": "DECISION"},
        {"subject_id": "lio", "reason": "STEP_UP_REQUIRED"},
        {"subject_id": "lio", "evaluated_from": "2020-01-01T00:00:00Z"},
    ],
)
def test_every_filter_finds_the_decision(client: Client, fields: dict[str, Any]) -> None:
    decision_id = client.check("lio", "rec-lio", action="EXPORT").decision_id
    shipped(client, decision_id)

    (record,) = listed(client, page_size=1, **fields)

    assert record.decision_id == decision_id
    assert listed(client, **{**fields, "evaluated_to": "2020-01-02T00:00:00Z"}) == []


def test_every_reading_is_recorded_before_it_is_answered(client: Client, service: Any) -> None:
    decision_id = client.check().decision_id
    shipped(client, decision_id)

    listed(client, subject_id="mara", effect="ALLOW", page_size=5)
    found = failing(got, client, NOBODYS)

    readings: list[Any] = [
        each["details"]
        for each in read_records(service.folder / "journal")
        if each["kind"] == "LOG_READ" and each["caller"] == "loopback"
    ]
    assert (found.code, found.reason) == ("NOT_FOUND", "NOT_FOUND")
    assert readings[-1] == {"rpc": "GetDecision", "decision_id": NOBODYS, "records": 0}
    page = readings[-2]
    assert page.pop("last")
    assert 0 < page.pop("records") <= 5
    assert page == {
        "rpc": "ListDecisions",
        "subject_id": "mara",
        "effect": "ALLOW",
        "page_size": 5,
    }


def test_what_is_malformed_is_named(client: Client) -> None:
    request = asked(subject_id="a b", effect=99, page_size=501)

    failure = failing(client.log.ListDecisions, request, timeout=10)

    assert (failure.code, failure.reason) == ("INVALID_ARGUMENT", "INVALID_REQUEST")
    assert failure.fields == ("subject_id", "effect", "page_size")


def test_a_token_of_another_question_is_refused(client: Client) -> None:
    shipped(client, [client.check().decision_id for _ in range(3)][-1])
    token = client.log.ListDecisions(asked(page_size=1), timeout=10).next_page_token

    other = failing(client.log.ListDecisions, asked(subject_id="mara", page_token=token))
    forged = failing(client.log.ListDecisions, asked(page_token=token[:-4] + "AAAA"))

    assert [other.fields, forged.fields] == [("page_token",), ("page_token",)]
    assert {other.code, forged.code} == {"INVALID_ARGUMENT"}


def test_the_command_line_lists_and_shows(client: Client, service: ServiceThread) -> None:
    decision_id = client.check("mara", "rec-ines").decision_id
    record = shipped(client, decision_id)
    at = ("--address", service.address)

    def run(*words: str) -> Any:
        return CliRunner().invoke(app, ["decisions", *words, *at])

    found = run("list", "--subject", "mara", "--effect", "DENY", "--limit", "1")
    shown = run("show", decision_id)
    exact = run("show", decision_id, "--format", "json")
    missing = run("show", NOBODYS)

    assert [each.exit_code for each in (found, shown, exact, missing)] == [0, 0, 0, 1]
    assert decision_id in found.stdout
    assert shown.stdout.startswith("DENY  NO_RULE_MATCHED")
    assert record.journal_line_hash in shown.stdout
    assert exact.stdout == record.json + "\n"


def test_a_fixed_clock_hides_no_decision(tmp_path: Path) -> None:
    """An id bears the time at which it was made, a record that at which it was judged."""
    with serving(tmp_path) as service, client_of(service) as client:
        client.write(FACTS)
        service.clock.instant = datetime(2023, 9, 20, 9, tzinfo=UTC)
        ids = [client.check().decision_id for _ in range(5)]
        service.clock.instant = None

        shipped(client, ids[-1])
        day = {"evaluated_from": "2023-09-20T09:00:00Z", "evaluated_to": "2023-09-20T09:00:01Z"}
        records = listed(client, **day)

        assert [each.decision_id for each in records] == sorted(ids, reverse=True)


@pytest.mark.parametrize("power", ["explain|review", ""])
def test_who_may_not_read_the_log_is_refused(tmp_path: Path, power: str) -> None:
    rules = (SHIPPED_POLICY / "callers.csv").read_text(encoding="utf-8")
    row = f"loopback,*,*,*,*,*,{power}\n"
    callers = tmp_path / "callers.csv"
    callers.write_text(rules.rpartition("loopback")[0] + row, encoding="utf-8")

    with serving(tmp_path, callers_file=callers) as service, client_of(service) as client:
        calls: tuple[Callable[[], Any], ...] = (
            lambda: got(client, NOBODYS),
            lambda: listed(client),
        )
        failures = [failing(call) for call in calls]

    assert {(each.code, each.reason) for each in failures} == {
        ("PERMISSION_DENIED", "CALLER_NOT_ALLOWED")
    }


@pytest.mark.parametrize(
    ("url", "code", "reason", "retry"),
    [
        pytest.param("none", "FAILED_PRECONDITION", "DECISIONS_NOT_KEPT", None, id="none"),
        pytest.param(
            "postgresql+psycopg://nobody@127.0.0.1:1/decisions",
            "UNAVAILABLE",
            "DECISIONS_UNAVAILABLE",
            1,
            id="silent",
        ),
    ],
)
def test_without_a_store_checks_go_on_and_the_log_says_why(
    tmp_path: Path, url: str, code: str, reason: str, retry: int | None
) -> None:
    serve = serving(tmp_path, decisions_url=url, drain_seconds=0.2)
    with serve as service, client_of(service) as client:
        client.write(FACTS)
        outcome = client.outcome()
        failures = [failing(got, client, NOBODYS), failing(listed, client)]

    assert outcome == ("ALLOW", "RULE_ALLOWED")
    assert {(each.code, each.reason, each.retry_seconds) for each in failures} == {
        (code, reason, retry)
    }

"""Break-glass from end to end: what is opened holds, ends, outlives a restart, and is recorded."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from authz_service.api.v1 import decision_log_pb2
from authz_service.api.v1 import emergency_access_pb2 as pb
from authz_service.api.v1 import emergency_access_pb2_grpc as grpc_api
from authz_service.api.v1 import entities_pb2 as entities
from authz_service.audit.verify import read_records
from authz_service.cli.verbs import app
from tests.certificates import CALLER, EVERYTHING, WITNESSES, Estate
from tests.e2e.client import (
    ALLOWED,
    Client,
    client_of,
    eventually,
    failing,
    outcome_of,
    write_as_three,
)
from tests.e2e.clinic import FACTS, SEEN, TENANT, Plain, fact
from tests.service_process import serving_process
from tests.service_thread import ServiceThread, serving, untried_policy
from tests.wire import fill

WHY = "unconscious, brought in at night"
DOCTOR = fact(
    "subject",
    id="dr-nord",
    tenant_id=TENANT,
    kind="STAFF",
    status="ACTIVE",
    roles=[{"role": "emergency_clinician", "valid_from": SEEN}],
)
CLINIC = [*FACTS, DOCTOR]
DESK = "spiffe://example.org/desk"


def now() -> datetime:
    return datetime.now(UTC)


def sure(at: datetime | None = None, purpose: str = "BTG") -> Plain:
    """Return the circumstances of somebody who presented two factors just now."""
    stamp = (at or now()).isoformat().replace("+00:00", "Z")
    return {"purpose_of_use": purpose, "assurance": "MULTI_FACTOR", "authenticated_at": stamp}


def stub(client: Client) -> Any:
    return grpc_api.EmergencyAccessServiceStub(client.channel)


def opening(**fields: Any) -> pb.OpenEmergencyAccessRequest:
    request = pb.OpenEmergencyAccessRequest()
    asked = {
        "subject": {"id": "dr-nord"},
        "patient_id": "mara",
        "ground": "VITAL_INTEREST",
        "reason": WHY,
        "context": sure(),
        **fields,
    }
    fill(request, asked)
    return request


def opened(client: Client, **fields: Any) -> Any:
    return stub(client).OpenEmergencyAccess(opening(**fields), timeout=10)


def old_access(name: str, days: int) -> Plain:
    """Return an access that began days ago and that nobody has reviewed."""
    began = (now() - timedelta(days=days)).isoformat().replace("+00:00", "Z")
    return fact(
        "grant",
        id=name,
        kind="EMERGENCY",
        subject_id="dr-nord",
        patient_id="ines",
        actions=["VIEW"],
        valid_from=began,
        valid_to=began,
        approved_by="boss",
    )


@pytest.fixture
def ward(tmp_path: Path, either_url: str) -> Iterator[Client]:
    """A clinic with a doctor for emergencies, on each database."""
    with serving(tmp_path, registry_url=either_url) as service, client_of(service) as client:
        client.write(CLINIC)
        yield client


def _viewed(client: Client, at_least: int, at: datetime | None = None) -> Any:
    return client.outcome("dr-nord", "rec-mara", context=sure(at), at_least_facts_revision=at_least)


def test_what_is_opened_is_seen_at_once_and_ends_by_the_services_clock(
    tmp_path: Path, either_url: str
) -> None:
    with serving(tmp_path, registry_url=either_url, emergency_minutes=7) as service:
        start = service.clock.instant = datetime(2026, 3, 1, 12, tzinfo=UTC)
        with client_of(service) as client:
            client.write(CLINIC)
            answer = opened(client, context=sure(start))
            revision = answer.facts_revision
            found = []
            for seconds in (0, 7 * 60 - 1, 7 * 60):
                at = service.clock.instant = start + timedelta(seconds=seconds)
                found.append(_viewed(client, revision, at))

    assert outcome_of(answer) == ALLOWED
    assert answer.grant.valid_to.ToDatetime(UTC) == start + timedelta(minutes=7)
    assert answer.grant.approved_by == "emergency-access"
    assert found == [ALLOWED, ALLOWED, ("DENY", "GRANT_EXPIRED")]


def test_a_restart_changes_nothing(tmp_path: Path, either_url: str) -> None:
    with serving(tmp_path, registry_url=either_url) as service, client_of(service) as client:
        client.write(CLINIC)
        answer = opened(client)

    with serving(tmp_path, registry_url=either_url) as service, client_of(service) as client:
        viewed = _viewed(client, answer.facts_revision)
        page = stub(client).ListEmergencyAccess(pb.ListEmergencyAccessRequest(), timeout=10)

    assert viewed == ALLOWED
    assert list(page.grants) == [answer.grant]


@pytest.mark.postgres
def test_an_access_outlives_the_replica_that_opened_it(tmp_path: Path, postgres_url: str) -> None:
    """The other lets them look, lists it, and takes its review."""
    folders = [tmp_path / name for name in ("one", "two")]
    for folder in folders:
        folder.mkdir()
    policy = str(untried_policy())
    with (
        serving_process(
            folders[0], AUTHZ_REGISTRY_URL=postgres_url, AUTHZ_POLICY_DIR=policy
        ) as one,
        serving(folders[1], registry_url=postgres_url) as two,
        client_of(one) as first,
        client_of(two) as second,
    ):
        first.write(CLINIC)
        answer = opened(first)
        one.kill()
        viewed = _viewed(second, answer.facts_revision)
        page = stub(second).ListEmergencyAccess(pb.ListEmergencyAccessRequest(), timeout=10)
        review = pb.ReviewEmergencyAccessRequest(
            id=answer.grant.id, verdict=entities.REVIEW_VERDICT_JUSTIFIED, actor="boss"
        )
        reviewed = stub(second).ReviewEmergencyAccess(review, timeout=10)

    assert viewed == ALLOWED
    assert list(page.grants) == [answer.grant]
    assert reviewed.grant.review.by == "boss"


def test_no_opening_comes_after_the_access_that_is_one_too_many(ward: Client) -> None:
    """Openings race with the write of a third access that nobody reviewed."""
    ward.write([old_access("old-1", 20), old_access("old-2", 10)])
    begin = threading.Barrier(5)

    def open_now(number: int) -> Any:
        begin.wait(timeout=10)
        return [opened(ward, actor=f"actor-{number}") for _ in range(3)]

    with ThreadPoolExecutor(4) as threads:
        asked = [threads.submit(open_now, number) for number in range(4)]
        begin.wait(timeout=10)
        revision = ward.write([old_access("old-3", 8)]).facts_revision
        answers = [answer for one in asked for answer in one.result(timeout=30)]
    last = opened(ward)

    for answer in answers:
        if outcome_of(answer) == ALLOWED:
            assert answer.facts_revision < revision
        else:
            assert outcome_of(answer) == ("DENY", "REVIEW_OVERDUE")
            assert answer.facts_revision >= revision
    assert outcome_of(last) == ("DENY", "REVIEW_OVERDUE")


def test_a_review_lets_them_open_again(ward: Client) -> None:
    ward.write([old_access(f"old-{number}", 9) for number in range(3)])
    before = outcome_of(opened(ward))
    review = pb.ReviewEmergencyAccessRequest(
        id="old-1", verdict=entities.REVIEW_VERDICT_JUSTIFIED, note="as agreed", actor="rev"
    )

    done = stub(ward).ReviewEmergencyAccess(review, timeout=10)

    assert before == ("DENY", "REVIEW_OVERDUE")
    assert done.grant.review.by == "rev"
    assert outcome_of(opened(ward)) == ALLOWED


def test_openings_and_refusals_are_recorded_without_a_word_of_why(tmp_path: Path) -> None:
    with serving(tmp_path) as service, client_of(service) as client:
        client.write(CLINIC)
        allowed = opened(client, actor="desk-1")
        refused = opened(client, patient_id="nobody", tenant_id=TENANT)
        review = pb.ReviewEmergencyAccessRequest(
            id=allowed.grant.id,
            verdict=entities.REVIEW_VERDICT_UNJUSTIFIED,
            note="there was no such patient",
            actor="rev",
        )
        stub(client).ReviewEmergencyAccess(review, timeout=10)
        eventually(lambda: len(_logged(client)) == 2)
        newest, oldest = _logged(client)

    records: list[dict[str, Any]] = [dict(one) for one in read_records(tmp_path / "journal")]
    first, second = (one for one in records if one["kind"] == "EMERGENCY")
    assert (first["decision_id"], second["decision_id"]) == (oldest.decision_id, newest.decision_id)
    assert first["grant_id"] == allowed.grant.id
    assert first["reason_digest"] == hashlib.sha256(WHY.encode()).hexdigest()
    assert (first["subject_id"], first["patient_id"], first["ground"], first["actor"]) == (
        "dr-nord", "mara", "VITAL_INTEREST", "desk-1",
    )  # fmt: skip
    assert first["facts_revision"] == allowed.facts_revision
    assert first["situation"]["relations"] == ["emergency"]
    assert (second["effect"], second["reason"]) == outcome_of(refused)
    assert (second["grant_id"], second["patient_id"], second["actor"]) == (
        None, "nobody", "dr-nord",
    )  # fmt: skip
    (event,) = (one for one in records if one["kind"] == "EMERGENCY_REVIEWED")
    assert event["actor"] == "rev"
    assert event["details"]["verdict"] == "UNJUSTIFIED"
    assert event["details"]["grant_id"] == allowed.grant.id
    written = "".join(path.read_text() for path in (tmp_path / "journal").glob("*.jsonl"))
    assert "unconscious" not in written
    assert "no such patient" not in written


def _logged(client: Client) -> Any:
    request = decision_log_pb2.ListDecisionsRequest(kind=decision_log_pb2.RECORD_KIND_EMERGENCY)
    return client.log.ListDecisions(request, timeout=10).decisions


def test_a_caller_opens_lists_and_reviews_within_its_limits(tmp_path: Path) -> None:
    """Tenant, purpose and VIEW bind an opening; the power to review, a review; tenants, a list."""
    estate = Estate(tmp_path)
    everything = f"{CALLER},{EVERYTHING}"

    def desk(limits: str) -> None:
        estate.put_callers(everything, *WITNESSES, f"{DESK},{limits}")

    desk(f"*,{TENANT},LIST|VIEW,BTG,grant as desk,explain|assert_assurance")
    with serving(tmp_path, **estate.settings) as service:
        write_as_three(service, estate, CLINIC)
        with client_of(service, estate.credentials(DESK)) as client:
            answer = opened(client, tenant_id=TENANT)
            elsewhere = failing(opened, client, tenant_id="elsewhere")
            nowhere = failing(opened, client)
            for_treatment = failing(
                opened, client, context=sure(purpose="ETREAT"), tenant_id=TENANT
            )
            review = pb.ReviewEmergencyAccessRequest(
                id=answer.grant.id, verdict=entities.REVIEW_VERDICT_JUSTIFIED, actor="rev"
            )
            unreviewed = failing(stub(client).ReviewEmergencyAccess, review, timeout=10)
            page = stub(client).ListEmergencyAccess(pb.ListEmergencyAccessRequest(), timeout=10)

    assert outcome_of(answer) == ALLOWED
    assert [one.id for one in page.grants] == [answer.grant.id]
    assert (elsewhere.code, for_treatment.code, unreviewed.code) == ("PERMISSION_DENIED",) * 3
    assert (nowhere.code, nowhere.fields) == ("INVALID_ARGUMENT", ("tenant_id",))


def test_pages_go_on_where_they_ended_and_tokens_are_of_their_own_question(ward: Client) -> None:
    ward.write([old_access(f"old-{number}", 9 + number) for number in range(5)])
    request = pb.ListEmergencyAccessRequest(subject_id="dr-nord", page_size=2)
    found = []
    while True:
        page = stub(ward).ListEmergencyAccess(request, timeout=10)
        found.append([one.id for one in page.grants])
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    request.subject_id = "dr-lund"
    failure = failing(stub(ward).ListEmergencyAccess, request, timeout=10)

    assert found == [["old-0", "old-1"], ["old-2", "old-3"], ["old-4"]]
    assert failure.fields == ("page_token",)


def test_the_gauges_say_what_is_open_and_what_nobody_reviewed(ward: Client, tmp_path: Path) -> None:
    ward.write([old_access("old-1", 20)])
    opened(ward)
    opened(ward, patient_id="nobody")
    name = 'authz_emergency_accesses{state="%s"}'

    eventually(lambda: ward.metrics()[name % "open"] == 1)

    samples = ward.metrics()
    assert samples[name % "unreviewed"] == 2
    day = 86_400
    assert samples["authz_emergency_oldest_unreviewed_seconds"] == pytest.approx(20 * day, abs=60)
    openings = 'authz_emergency_openings_total{effect="%s",reason="%s"}'
    assert samples[openings % ("ALLOW", "RULE_ALLOWED")] == 1
    assert samples[openings % ("DENY", "PATIENT_UNKNOWN")] == 1
    assert samples[openings % ("DENY", "REVIEW_OVERDUE")] == 0


@pytest.fixture
def typed(tmp_path: Path) -> Iterator[tuple[Any, ServiceThread]]:
    """The command line, against a service with the clinic."""
    with serving(tmp_path, facts_staleness_ms=0) as service:
        with client_of(service) as client:
            client.write(CLINIC)

        def ask(*words: str) -> Any:
            return CliRunner().invoke(app, [*words, "--address", service.address])

        yield ask, service


def test_the_command_line_opens_lists_and_reviews(typed: tuple[Any, ServiceThread]) -> None:
    ask, _service = typed
    words = ("emergency", "open", "dr-nord", "mara", "--ground", "VITAL_INTEREST", "--reason", WHY)
    weak = ask(*words)
    done = ask(
        *words, "--assurance", "MULTI_FACTOR", "--authenticated-at", "now", "--format", "json"
    )
    grant_id = json.loads(done.stdout)["grant"]["id"]
    listed = ask("emergency", "list", "--state", "OPEN", "--patient", "mara", "--format", "json")
    own = ask("emergency", "review", grant_id, "--verdict", "JUSTIFIED", "--actor", "dr-nord")
    review = ask(
        "emergency",
        "review",
        grant_id,
        "--verdict",
        "justified",
        "--note",
        "seen",
        "--actor",
        "rev",
    )
    after = ask("emergency", "list", "--state", "REVIEWED")
    nothing = ask("emergency", "list", "--state", "UNREVIEWED")

    assert (weak.exit_code, done.exit_code) == (10, 0)
    assert "STEP_UP_REQUIRED" in weak.stdout
    assert "step-up" in weak.stdout
    (access,) = json.loads(listed.stdout)["accesses"]
    assert (access["id"], access["ground"], access["reason"]) == (grant_id, "VITAL_INTEREST", WHY)
    assert own.exit_code == 1
    assert "another person reviews it" in own.output
    assert review.exit_code == 0, review.output
    assert "JUSTIFIED" in after.stdout
    assert "no emergency access" in nothing.stdout


@pytest.mark.parametrize(
    ("words", "says"),
    [
        pytest.param(
            ("open", "dr-nord", "*", "--ground", "CONSENT", "--reason", "x"), "PATIENT", id="id"
        ),
        pytest.param(
            ("open", "dr-nord", "mara", "--ground", "CONSENT", "--reason", " "),
            "--reason",
            id="blank",
        ),
        pytest.param(
            ("open", "dr-nord", "mara", "--ground", "WHIM", "--reason", "x"), "WHIM", id="ground"
        ),
        pytest.param(
            ("review", "em-1", "--verdict", "JUSTIFIED", "--actor", "a b"), "--actor", id="actor"
        ),
    ],
)
def test_a_slip_on_the_command_line_costs_no_call(words: tuple[str, ...], says: str) -> None:
    result = CliRunner().invoke(app, ["emergency", *words, "--address", "127.0.0.1:1"])

    assert result.exit_code == 2
    assert says in result.output


def test_without_a_service_it_ends_with_eleven() -> None:
    result = CliRunner().invoke(app, ["emergency", "list", "--address", "127.0.0.1:1"])

    assert result.exit_code == 11

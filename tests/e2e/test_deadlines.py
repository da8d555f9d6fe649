"""A call ends in its own time, and one that is given up leaves the others alone."""

from __future__ import annotations

import random
import time
from pathlib import Path

import grpc
import pytest

from authz_service.api.v1 import recording_access_pb2 as pb
from authz_service.audit.verify import read_records
from tests.e2e.breakage import locked, silent
from tests.e2e.client import Client, client_of, failing, outcome_of, question, write_request
from tests.e2e.clinic import FACTS, patient
from tests.service_thread import serving


@pytest.mark.postgres
@pytest.mark.slow
def test_a_call_ends_at_its_own_deadline_and_without_one_in_five_seconds(
    postgres_url: str, tmp_path: Path
) -> None:
    """The registry has two connections; each is silenced while a write is about to use it."""
    with serving(tmp_path, registry_url=postgres_url) as service, client_of(service) as client:
        client.write(FACTS)
        with silent(postgres_url):
            begun = time.monotonic()
            own = failing(client.facts.WriteFacts, write_request([patient("new")]), timeout=0.4)
            assert own.code == "DEADLINE_EXCEEDED"
            assert time.monotonic() - begun < 1.5
            assert client.write([patient("by-another-connection")]).written == 1

            with silent(postgres_url):
                begun = time.monotonic()
                request = write_request([patient("newer")])
                none = failing(client.facts.WriteFacts, request, timeout=None)

    assert (none.code, none.reason) == ("DEADLINE_EXCEEDED", "DEADLINE")
    assert none.request_id
    assert 4.5 < time.monotonic() - begun < 7


@pytest.mark.postgres
def test_a_question_does_not_wait_for_its_whole_deadline(postgres_url: str, tmp_path: Path) -> None:
    with (
        serving(tmp_path, registry_url=postgres_url, facts_staleness_ms=0) as service,
        client_of(service) as client,
    ):
        client.write(FACTS)
        client.check()
        with silent(postgres_url):
            begun = time.monotonic()
            failure = failing(client.check, timeout=30)
            spent = time.monotonic() - begun

    assert (failure.code, failure.reason) == ("UNAVAILABLE", "FACTS_UNAVAILABLE")
    assert spent < 3


def test_a_write_that_was_given_up_is_whole_or_not_there(either_url: str, tmp_path: Path) -> None:
    with serving(tmp_path, registry_url=either_url) as service, client_of(service) as client:
        client.write(FACTS)
        with locked(either_url):
            facts = [patient(f"new-{number}") for number in range(20)]
            failure = failing(client.facts.WriteFacts, write_request(facts), timeout=0.3)
        assert failure.code == "DEADLINE_EXCEEDED"

        client.write([patient("another")])

        checks = [question(f"new-{number}", "rec-mara") for number in range(20)]
        request = pb.BatchCheckAccessRequest(checks=checks)
        response = client.access.BatchCheckAccess(request, timeout=10)
        known = [outcome_of(result.answer)[1] for result in response.results]
        assert set(known) in ({"SUBJECT_UNKNOWN"}, {"NO_RULE_MATCHED"})


def test_no_answer_ever_belongs_to_another_question(shared_client: Client) -> None:
    """Three hundred trials on one channel; a third of the calls is cancelled half-way."""
    chance = random.Random(20200609)
    subjects, recordings = ("mara", "ines", "nobody"), ("rec-mara", "rec-ines", "rec-none")
    expected = {
        (subject, recording): shared_client.outcome(subject, recording)
        for subject in subjects
        for recording in recordings
    }
    answered = cancelled = 0
    for _ in range(30):
        calls = []
        for _ in range(10):
            asked = (chance.choice(subjects), chance.choice(recordings))
            request = question(*asked)
            calls.append((asked, shared_client.access.CheckAccess.future(request, timeout=10)))
            if chance.random() < 0.34:
                chance.choice(calls)[1].cancel()
        for asked, call in calls:
            try:
                answer = call.result()
            except (grpc.FutureCancelledError, grpc.RpcError):
                assert call.code() is grpc.StatusCode.CANCELLED
                cancelled += 1
                continue
            answered += 1
            assert (answer.subject_id, answer.recording_id) == asked
            assert outcome_of(answer) == expected[asked]
    assert answered >= 150
    assert cancelled >= 30


def test_a_cancelled_question_leaves_no_second_record(tmp_path: Path) -> None:
    with serving(tmp_path) as service, client_of(service) as client:
        for _ in range(20):
            client.access.CheckAccess.future(question("mara", "rec-mara"), timeout=10).cancel()
        told = [client.check().decision_id for _ in range(5)]

    records = list(read_records(tmp_path / "journal"))
    recorded = [r["decision_id"] for r in records if r["kind"] == "DECISION"]
    assert len(recorded) == len(set(recorded))
    assert set(told) <= set(recorded)

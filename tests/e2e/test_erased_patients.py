"""A patient is erased over the wire and by hand: recorded, final, refused where it has to be."""

from __future__ import annotations

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor, wait
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest

from authz_service.api.v1 import facts_pb2 as pb
from authz_service.audit.verify import read_records
from tests.e2e.client import Client, client_of, failing
from tests.e2e.clinic import FACTS, LATER, recorded
from tests.service_thread import ServiceThread, serving
from tests.unit.cli.cli_runs import run

REASON = "Request 4711 of the patient"


def erase(client: Client, patient_id: str = "mara", **fields: Any) -> Any:
    plain = {"patient_id": patient_id, "reason": REASON, "actor": "dpo", **fields}
    return client.facts.ErasePerson(pb.ErasePersonRequest(**plain), timeout=10)


def held(client: Client) -> None:
    """Have a court keep rec-mara."""
    (recording,) = (one for one in recorded("rec-mara", "mara") if "recording" in one)
    holds = {"holds": [{"matter_id": "m-1", "kind": "PRESERVE"}]}
    client.write([{**recording, "recording": recording["recording"] | holds, "observed_at": LATER}])


def test_an_erased_patient_is_unknown_and_the_erasure_is_recorded(
    tmp_path: Path, either_url: str
) -> None:
    with (
        serving(tmp_path, registry_url=either_url, facts_staleness_ms=0) as service,
        client_of(service) as client,
    ):
        client.write(FACTS)
        assert client.outcome("mara", "rec-mara") == ("ALLOW", "RULE_ALLOWED")
        erased = erase(client)

        assert (erased.erased, erased.naming) == (4, 0)
        assert client.outcome("mara", "rec-mara") == ("DENY", "SUBJECT_UNKNOWN")
        assert client.outcome("ines", "rec-mara") == ("DENY", "RECORDING_UNKNOWN")
        assert client.outcome("ines", "rec-ines") == ("ALLOW", "RULE_ALLOWED")

    (event,) = (r for r in read_records(tmp_path / "journal") if r["kind"] == "PERSON_ERASED")
    assert (event["actor"], event["details"]) == (
        "dpo",
        {
            "patient_id": "mara",
            "facts_revision": erased.facts_revision,
            "erased": 4,
            "naming": 0,
            "reason_digest": hashlib.sha256(REASON.encode()).hexdigest(),
        },
    )


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        pytest.param({"patient_id": "no id"}, "patient_id", id="no-id"),
        pytest.param({"reason": "  "}, "reason", id="no-reason"),
        pytest.param({"actor": ""}, "actor", id="nobody"),
    ],
)
def test_a_malformed_erasure_names_what_is_wrong(
    shared_client: Client, fields: dict[str, str], named: str
) -> None:
    failure = failing(erase, shared_client, **fields)

    assert (failure.code, failure.fields) == ("INVALID_ARGUMENT", (named,))


def test_a_hold_refuses_it(tmp_path: Path) -> None:
    with serving(tmp_path, facts_staleness_ms=0) as service, client_of(service) as client:
        client.write(FACTS)
        held(client)

        failure = failing(erase, client)

        assert (failure.code, failure.reason) == ("FAILED_PRECONDITION", "STATE")
        assert "rec-mara: under a legal hold" in failure.message
        assert client.outcome("mara", "rec-mara") == ("ALLOW", "RULE_ALLOWED")


@pytest.fixture
def service(tmp_path: Path) -> Any:
    """A service with the clinic in it, to be changed."""
    with serving(tmp_path, facts_staleness_ms=0) as running:
        with client_of(running) as client:
            client.write(FACTS)
        yield running


def test_a_watcher_is_told_that_facts_are_gone_and_nothing_of_what_they_said(
    service: ServiceThread,
) -> None:
    """Whoever begins before the patient was written, too: history says nothing of them."""
    with client_of(service) as client:
        erased = erase(client)
        told = client.facts.WatchFacts(pb.WatchFactsRequest(), timeout=10)
        messages = list(takewhile(lambda one: one.changes, told))
        told.cancel()

    changes = [change for one in messages for change in one.changes]
    hers = [one for one in changes if one.reference.id in {"mara", "rec-mara", "con-rec-mara"}]
    last = [change for change in messages[-1].changes if not change.HasField("fact")]
    assert messages[-1].revision == erased.facts_revision
    assert len(last) == erased.erased
    assert not any(one.HasField("fact") for one in hers)
    assert "mara" not in str([one.fact for one in changes])


def test_two_at_once_erase_once(tmp_path: Path, either_url: str) -> None:
    """Whoever comes second is told that there is nobody; a write meanwhile brings nothing back."""
    with (
        serving(tmp_path, registry_url=either_url) as service,
        client_of(service) as client,
        ThreadPoolExecutor(4) as threads,
    ):
        client.write(FACTS)
        tries = [threads.submit(erase, client) for _ in range(3)]
        again = threads.submit(client.write, [{**one, "observed_at": LATER} for one in FACTS])
        wait([*tries, again])
        left = client.write([{**one, "observed_at": LATER} for one in FACTS])

    assert sum(one.exception() is None for one in tries) == 1
    assert (left.written, left.skipped) == (0, 4)


def test_the_command_erases_whoever_is_named(service: ServiceThread) -> None:
    words = ("facts", "erase", "mara", "--actor", "dpo", "--reason", REASON)
    done = run(*words, "--yes", "--address", service.address, "--format", "json")
    again = run(*words, "--yes", "--address", service.address)

    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["erased"] == 4
    assert (again.exit_code, "patient mara does not exist" in again.output) == (1, True)


def test_the_command_asks_first(service: ServiceThread) -> None:
    """Where nobody can be asked it wants to be told."""
    words = ("facts", "erase", "mara", "--actor", "dpo", "--reason", REASON)
    result = run(*words, "--address", service.address)

    assert result.exit_code == 2
    assert "--yes" in result.output
    with client_of(service) as client:
        assert client.outcome("mara", "rec-mara") == ("ALLOW", "RULE_ALLOWED")

"""What is recorded of a decision and of a change: everything that was promised, and no more."""

from __future__ import annotations

import hashlib
import uuid
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from authz_service.api.v1 import facts_pb2
from authz_service.api.v1 import recording_access_pb2 as pb
from authz_service.audit.verify import read_records, verify_journal
from tests.e2e.client import ALLOWED, Client, client_of, eventually, outcome_of, question
from tests.e2e.clinic import (
    FACTS,
    LATER,
    TENANT,
    delegation,
    fact,
    recorded,
)
from tests.marked import BIRTH_DATE, FREE_TEXT
from tests.service_thread import SHIPPED_CALLERS_REVISION, serving

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
FAMILY: dict[str, Any] = {"context": {"purpose_of_use": "FAMRQT"}}


def records(folder: Path, kind: str = "DECISION") -> list[dict[str, Any]]:
    """Return the records of one kind, in a journal that verifies."""
    assert verify_journal(folder / "journal").fault is None
    return [dict(r) for r in read_records(folder / "journal") if r["kind"] == kind]


def test_a_decision_is_recorded_with_all_that_it_rests_on(tmp_path: Path) -> None:
    with serving(tmp_path) as service, client_of(service) as client:
        client.write(FACTS)
        revision = client.write([delegation("del-1")]).facts_revision
        answer = client.check(
            "olga",
            "rec-lio",
            tenant_id=TENANT,
            metadata=[
                ("x-request-id", "req-1"),
                ("traceparent", f"00-{TRACE}-00f067aa0ba902b7-01"),
            ],
            **FAMILY,
        )

    (record,) = records(tmp_path)
    assert outcome_of(answer) == ALLOWED
    elapsed, software = record.pop("elapsed_microseconds"), record.pop("software")
    evaluated_at = datetime.fromisoformat(record.pop("evaluated_at"))
    assert evaluated_at.timestamp() == pytest.approx(
        answer.evaluated_at.ToMicroseconds() / 1e6, abs=1e-5
    )
    assert 0 < elapsed < 10_000_000
    assert software.startswith("authz-service/")
    assert uuid.UUID(record["decision_id"]).version == 7
    assert record == {
        "format": 1,
        "kind": "DECISION",
        "decision_id": answer.decision_id,
        "request_id": "req-1",
        "trace_id": TRACE,
        "caller": "loopback",
        "callers_revision": SHIPPED_CALLERS_REVISION,
        "subject_id": "olga",
        "tenant_id": TENANT,
        "recording_id": "rec-lio",
        "patient_id": "lio",
        "action": "VIEW",
        "effect": "ALLOW",
        "reason": "RULE_ALLOWED",
        "rule": "parent-watches",
        "obligations": [],
        "situation": {
            "roles": ["patient"],
            "relations": ["guardian"],
            "purpose": "FAMRQT",
            "conditions": [],
        },
        "evidence": {"guardian": [{"kind": "delegation", "id": "del-1", "revision": revision}]},
        "policy_revision": answer.policy_revision,
        "facts_revision": revision,
    }


def test_an_unknown_patient_is_never_guessed(tmp_path: Path) -> None:
    consultation, recording, attendance = recorded("rec-odd", "mara")
    attendance["attendance"]["participants"][0]["subject_id"] = "ines"
    with serving(tmp_path) as service, client_of(service) as client:
        client.write([*FACTS, consultation, recording, attendance])
        assert client.outcome("mara", "rec-none") == ("DENY", "RECORDING_UNKNOWN")
        assert client.outcome("mara", "rec-odd") == ("DENY", "FACTS_CONFLICT")
        assert client.outcome("nobody", "rec-mara") == ("DENY", "SUBJECT_UNKNOWN")

    unknown, odd, _ = records(tmp_path)
    assert (unknown["patient_id"], odd["patient_id"]) == (None, None)
    assert unknown["situation"] == {
        "roles": None,
        "relations": None,
        "purpose": "PATRQT",
        "conditions": None,
    }
    assert (unknown["rule"], unknown["evidence"]) == (None, {})


def test_a_step_up_is_recorded_as_it_was_told(tmp_path: Path) -> None:
    with serving(tmp_path) as service, client_of(service) as client:
        client.write(FACTS)
        answer = client.check("mara", "rec-mara", action="EXPORT")

    (record,) = records(tmp_path)
    assert record["reason"] == "STEP_UP_REQUIRED"
    assert [told.id for told in answer.obligations] == ["step-up"]
    assert record["obligations"] == [
        {"id": told.id, "parameters": dict(told.parameters)} for told in answer.obligations
    ]


def test_a_batch_is_one_line(tmp_path: Path) -> None:
    with serving(tmp_path) as service, client_of(service) as client:
        client.write(FACTS)
        before = verify_journal(tmp_path / "journal")
        checks = [question("mara", "rec-mara"), question("m m", "x"), question("ines", "rec-mara")]
        response = client.access.BatchCheckAccess(
            pb.BatchCheckAccessRequest(checks=checks), timeout=10
        )
        after = verify_journal(tmp_path / "journal")

    assert (after.lines - before.lines, after.records - before.records) == (1, 3)
    written = records(tmp_path)
    assert [r["decision_id"] for r in written] == [a.answer.decision_id for a in response.results]
    assert [r["reason"] for r in written] == ["RULE_ALLOWED", "INVALID_REQUEST", "NO_RULE_MATCHED"]
    malformed = written[1]
    assert (malformed["subject_id"], malformed["recording_id"], malformed["situation"]) == (
        None,
        None,
        None,
    )
    assert {r["facts_revision"] for r in written} == {response.facts_revision}


def test_a_batch_that_stops_records_what_was_judged(tmp_path: Path) -> None:
    with serving(tmp_path) as service, client_of(service) as client:
        client.write(FACTS)
        request = pb.BatchCheckAccessRequest(
            checks=[question(name, "rec-mara") for name in ("mara", "ines", "mara")],
            semantics=pb.BATCH_SEMANTICS_DENY_ON_FIRST_DENY,
        )
        response = client.access.BatchCheckAccess(request, timeout=10)

    assert [result.evaluated for result in response.results] == [True, True, False]
    assert [record["subject_id"] for record in records(tmp_path)] == ["mara", "ines"]


def test_every_change_is_recorded_with_who_is_answerable(tmp_path: Path) -> None:
    with serving(tmp_path) as service, client_of(service) as client:
        client.write(FACTS, actor="nurse-joy")
        change_hands(client)
        client.facts.ResolveConflict(
            facts_pb2.ResolveConflictRequest(
                recording_id="rec-mara", reason=FREE_TEXT, actor="dr-who"
            ),
            timeout=10,
        )
        client.reload()
        client.active_policy()

    (written, moved, back) = records(tmp_path, "FACTS_WRITTEN")
    assert (written["actor"], written["caller"]) == ("nurse-joy", "loopback")
    assert written["actor_verified"] is False
    assert written["request_id"]
    assert written["details"]["written"] == len(FACTS)
    assert written["details"]["facts_revision"] == 1
    assert moved["details"]["sources"] == back["details"]["sources"] == ["pipeline"]
    found = records(tmp_path, "CONFLICTS_FOUND")
    assert [each["details"]["recording_ids"] for each in found] == [["rec-mara"]] * 2
    (resolved,) = records(tmp_path, "CONFLICT_RESOLVED")
    assert (resolved["actor"], resolved["actor_verified"]) == ("dr-who", False)
    assert resolved["details"]["reason_digest"] == hashlib.sha256(FREE_TEXT.encode()).hexdigest()
    start, reloaded = records(tmp_path, "POLICY_RELOADED")
    assert (start["actor"], start["details"]["outcome"]) == (None, "activated")
    assert (start["actor_verified"], start["details"]["trigger"]) == (None, "start")
    assert (reloaded["actor"], reloaded["details"]["outcome"]) == ("operator", "unchanged")
    assert (reloaded["actor_verified"], reloaded["details"]["trigger"]) == (False, "call")
    (read,) = records(tmp_path, "POLICY_READ")
    assert (read["actor"], read["actor_verified"]) == (None, None)


def test_a_reload_that_nobody_called_for_says_what_asked_for_it(tmp_path: Path) -> None:
    """No person is made up for a signal."""
    with serving(tmp_path) as service:
        service.reload_soon()
        eventually(lambda: len(records(tmp_path, "POLICY_RELOADED")) == 2)

    _, by_signal = records(tmp_path, "POLICY_RELOADED")
    assert (by_signal["details"]["trigger"], by_signal["caller"]) == ("signal", None)
    assert (by_signal["actor"], by_signal["actor_verified"]) == (None, None)


def change_hands(client: Client) -> None:
    """Name another owner, and the first one again."""
    for owner, observed_at in (("ines", LATER), ("mara", "2019-01-03T00:00:00Z")):
        plain = dict(recorded("rec-mara", owner)[1]["recording"])
        client.write([fact("recording", observed_at=observed_at, **plain)])


def test_nothing_personal_is_in_the_journal(tmp_path: Path) -> None:
    grant = fact("grant", id="g", kind="SHARE", subject_id="ines", reason=FREE_TEXT)
    with serving(tmp_path) as service, client_of(service) as client:
        client.write([*FACTS, grant])
        client.check()
        change_hands(client)
        client.facts.ResolveConflict(
            facts_pb2.ResolveConflictRequest(recording_id="rec-mara", reason=FREE_TEXT, actor="op"),
            timeout=10,
        )

    text = b"".join(p.read_bytes() for p in (tmp_path / "journal").glob("segment-*")).decode()
    assert "rec-mara" in text
    for private in (BIRTH_DATE, FREE_TEXT, "1990-01-17"):
        assert private not in text

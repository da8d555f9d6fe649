"""Why, who and what over the wire: what is told, to whom, and what is on record of it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from google.protobuf.message import Message

from authz_service.api.v1 import recording_access_pb2 as pb
from authz_service.audit.verify import read_records
from tests.e2e.client import Client, client_of, failing, outcome_of, question
from tests.e2e.clinic import FACTS, LATER, SEEN, TENANT, Plain, delegation, fact
from tests.service_thread import serving
from tests.wire import fill

HEADER = "caller,rpcs,tenants,actions,purposes,writes,may\n"
KEEPER = fact("subject", id="keeper", tenant_id=TENANT, kind="SERVICE", status="ACTIVE")
CARE = fact(
    "relationship", id="care", kind="REFERRAL", patient_id="mara", staff_id="dr-lund",
    valid_from=SEEN,
)  # fmt: skip
THEIRS = [
    fact("tenant", id="dal", time_zone="UTC"),
    fact("subject", id="stranger", tenant_id="dal", kind="PATIENT", status="ACTIVE"),
]
WORLD: list[Plain] = [*FACTS, KEEPER, CARE, delegation("d1"), *THEIRS]


class Clinic(NamedTuple):
    """A service with a clinic in it, and where it keeps its journal."""

    client: Client
    journal: Path

    def records(self) -> list[dict[str, Any]]:
        """Return what is on record of answers."""
        found: list[dict[str, Any]] = [dict(one) for one in read_records(self.journal)]
        return [one for one in found if "decision_id" in one]


@pytest.fixture
def clinic(tmp_path: Path) -> Iterator[Clinic]:
    with serving(tmp_path) as service, client_of(service) as client:
        client.write(WORLD)
        yield Clinic(client, tmp_path / "journal")


def why(client: Client, subject: str, recording: str, /, **fields: Any) -> Any:
    """Ask why."""
    check = question(subject, recording, **fields)
    return client.access.ExplainAccess(pb.ExplainAccessRequest(check=check), timeout=10)


def who(client: Client, recording: str = "rec-mara", /, **fields: Any) -> Any:
    """Ask who may."""
    request = pb.ListSubjectsRequest()
    context = {"purpose_of_use": "PATRQT"}
    fill(request, {"recording_id": recording, "action": "VIEW", "context": context, **fields})
    return client.access.ListSubjects(request, timeout=10)


def what(client: Client, subject: str, /, **fields: Any) -> Any:
    """Ask what somebody may."""
    request = pb.ListRecordingsRequest(explained=True)
    context = {"purpose_of_use": "PATRQT"}
    fill(request, {"subject": {"id": subject}, "context": context, **fields})
    return client.access.ListRecordings(request, timeout=10)


def words(facts: Any) -> list[tuple[int, str, str]]:
    """Return facts by kind, id and source."""
    return [(one.reference.kind, one.reference.id, one.source) for one in facts]


def test_an_explanation_says_what_the_answer_rests_on(clinic: Clinic) -> None:
    """The answer of a check, the relation with its facts, the rule, and what would end it."""
    plain = clinic.client.check("olga", "rec-lio", context={"purpose_of_use": "FAMRQT"})
    told = why(clinic.client, "olga", "rec-lio", context={"purpose_of_use": "FAMRQT"})

    assert outcome_of(told.answer) == outcome_of(plain) == ("ALLOW", "RULE_ALLOWED")
    assert (told.rule, told.patient_id) == ("parent-watches", "lio")
    (relation,) = told.situation.relations
    assert relation.relation == "guardian"
    assert [(one.reference.id, one.source) for one in relation.facts] == [("d1", "proxies")]
    assert relation.facts[0].revision == plain.facts_revision
    assert list(told.situation.roles) == ["patient"]
    readings = {one.rule: one for one in told.rules}
    assert readings["parent-watches"].matched
    assert list(readings["patient-own"].unmet) == ["relation owner", "purpose PATRQT"]
    assert told.nearest_change.description == "delegation d1 is revoked"
    assert [one.reference.id for one in told.nearest_change.facts] == ["d1"]
    assert {one.source for one in told.facts} == {
        "directory", "operations", "pipeline", "booking", "media-server", "proxies"
    }  # fmt: skip


def test_what_is_explained_is_on_record_and_counted_as_no_access(clinic: Clinic) -> None:
    """EXPLAINED, with everything that was told to whom; not a decision, not a list."""
    before = clinic.client.metrics()
    told = why(clinic.client, "mara", "rec-mara")
    subjects = who(clinic.client)
    recordings = what(clinic.client, "mara", action="VIEW")
    after = clinic.client.metrics()

    one, page, shown = clinic.records()
    assert {each["kind"] for each in (one, page, shown)} == {"EXPLAINED"}
    assert (one["decision_id"], one["effect"], one["as_of"]) == (
        told.answer.decision_id, "ALLOW", None,
    )  # fmt: skip
    assert (page["decision_id"], page["subject_ids"], page["rows"]) == (
        subjects.decision_id, ["mara"], 1,
    )  # fmt: skip
    assert (shown["decision_id"], shown["recording_ids"]) == (
        recordings.decision_id, ["rec-mara"],
    )  # fmt: skip
    for name in ("authz_decisions_total", "authz_lists_total", "authz_list_rows_total"):
        assert _sum_of(before, name) == _sum_of(after, name)


def _sum_of(metrics: Mapping[str, float], name: str) -> float:
    """Return the sum of a counter over all its labels."""
    found = [value for sample, value in metrics.items() if sample.startswith(name)]
    assert found
    return sum(found)


def test_who_may_is_by_rule_and_relation(clinic: Clinic) -> None:
    mfa = {"purpose_of_use": "TREAT", "assurance": "MULTI_FACTOR"}
    treating = who(clinic.client, context=mfa)
    keeping = who(clinic.client, action="DELETE", context={"purpose_of_use": "HOPERAT"})

    (lund,) = treating.subjects
    assert (lund.subject_id, lund.rule) == ("dr-lund", "clinician-treats")
    assert list(lund.relations) == ["attending", "treating"]
    assert [(row.subject_id, row.rule) for row in keeping.subjects] == [
        ("keeper", "records-delete")
    ]


def test_what_somebody_may_is_no_presentation(clinic: Clinic) -> None:
    """No row has an id of its own: nothing was presented; each says by which rule it is there."""
    shown = what(clinic.client, "mara")

    assert [(row.recording_id, row.rule, list(row.relations)) for row in shown.recordings] == [
        ("rec-mara", "patient-own", ["owner"])
    ]
    assert {row.decision_id for row in shown.recordings} == {""}


def test_a_containment_is_named_with_what_would_lift_it(clinic: Clinic) -> None:
    """What binds before the policy is the change, if the rest would then allow."""
    brake = {"id": "k1", "scope": {"audience": "PATIENTS"}, "set_by": "eve", "set_at": SEEN}
    clinic.client.write([fact("containment", observed_at=LATER, **brake)])

    mine = why(clinic.client, "mara", "rec-mara")
    not_mine = why(clinic.client, "ines", "rec-mara")

    assert outcome_of(mine.answer) == ("DENY", "CONTAINED")
    assert mine.nearest_change.description == "containment k1 is lifted"
    (named,) = mine.nearest_change.facts
    assert (named.reference.id, named.source) == ("k1", "operations")
    assert not mine.HasField("situation")
    assert outcome_of(not_mine.answer) == ("DENY", "CONTAINED")
    assert not not_mine.HasField("nearest_change")


@pytest.fixture
def limited(tmp_path: Path) -> Iterator[Clinic]:
    """A service whose caller may explain, within one tenant; one file away from not at all."""
    with serving(tmp_path / "first") as service, client_of(service) as client:
        client.write(WORLD)
    shutil.copy(tmp_path / "first" / "registry.db", tmp_path / "registry.db")
    callers = tmp_path / "callers.csv"
    callers.write_text(HEADER + "loopback,*,dal,VIEW,PATRQT,,explain\n", encoding="utf-8")
    with serving(tmp_path, callers_file=callers) as service, client_of(service) as client:
        yield Clinic(client, tmp_path / "journal")


def test_a_bound_caller_learns_nothing_of_another_tenants_facts(limited: Clinic) -> None:
    """The answer, which a check would give as well, and not one fact behind it."""
    told = why(limited.client, "mara", "rec-mara", tenant_id="dal")
    nobody = who(limited.client, tenant_id="dal")

    assert outcome_of(told.answer) == ("DENY", "TENANT_MISMATCH")
    assert (list(told.facts), list(told.rules), told.patient_id) == ([], [], "")
    assert not told.HasField("nearest_change")
    assert list(nobody.subjects) == []


@pytest.mark.parametrize("fields", [{"action": "EXPORT"}, {"tenant_id": TENANT}])
def test_limits_of_a_check_are_limits_of_its_explanation(limited: Clinic, fields: Plain) -> None:
    asked = {"tenant_id": "dal", **fields}

    for ask in (
        lambda: why(limited.client, "mara", "rec-mara", **asked),
        lambda: who(limited.client, **asked),
    ):
        assert failing(ask).reason == "CALLER_NOT_ALLOWED"


def test_a_caller_that_may_not_explain_is_refused_all_three(tmp_path: Path) -> None:
    callers = tmp_path / "callers.csv"
    callers.write_text(HEADER + "loopback,*,*,*,*,*,assert_assurance\n", encoding="utf-8")
    with serving(tmp_path, callers_file=callers) as service, client_of(service) as client:
        refusals = [
            failing(lambda: why(client, "mara", "rec-mara")),
            failing(lambda: who(client)),
            failing(lambda: what(client, "mara")),
        ]

    assert {(each.code, each.reason) for each in refusals} == {
        ("PERMISSION_DENIED", "CALLER_NOT_ALLOWED")
    }
    kinds = {one["kind"] for one in read_records(tmp_path / "journal")}
    assert "EXPLAINED" not in kinds


@pytest.mark.parametrize(
    ("message", "fields"),
    [
        pytest.param(pb.ExplainAccessRequest(), {"check.subject.id", "check.recording_id",
                     "check.action", "check.context.purpose_of_use"}, id="empty-explanation"),
        pytest.param(pb.ListSubjectsRequest(page_size=501),
                     {"recording_id", "action", "context.purpose_of_use", "page_size"},
                     id="empty-list"),
    ],
)  # fmt: skip
def test_what_is_malformed_is_named_field_by_field(
    clinic: Clinic, message: Message, fields: set[str]
) -> None:
    name = {"ExplainAccessRequest": "ExplainAccess"}.get(type(message).__name__, "ListSubjects")

    failure = failing(lambda: getattr(clinic.client.access, name)(message, timeout=10))

    assert failure.code == "INVALID_ARGUMENT"
    assert set(failure.fields) == fields


def test_an_instant_after_now_is_refused(clinic: Clinic) -> None:
    request = pb.ExplainAccessRequest(check=question("mara", "rec-mara"))
    request.as_of.FromJsonString("2999-01-01T00:00:00Z")

    failure = failing(lambda: clinic.client.access.ExplainAccess(request, timeout=10))

    assert (failure.code, list(failure.fields)) == ("INVALID_ARGUMENT", ["as_of"])

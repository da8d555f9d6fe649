"""FactsService over the wire: what it refuses, and that what was written is what is read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from authz_service.api.v1 import entities_pb2, facts_pb2
from tests.e2e.client import ALLOWED, Client, client_of, failing, write_request
from tests.e2e.clinic import (
    FACTS,
    LATER,
    NOW,
    SEEN,
    TENANT,
    Plain,
    delegation,
    fact,
    patient,
    recorded,
)
from tests.marked import FREE_TEXT
from tests.service_thread import serving
from tests.wire import RpcFailure, fill

UNKNOWN_ENUM = 99

EVERY_KIND: list[Plain] = [
    fact(
        "tenant",
        id="everything",
        time_zone="America/Santiago",
        proxy_restricted_from_age=0,
        proxy_suspended_from_age=18,
    ),
    fact(
        "subject",
        id="everyone",
        tenant_id="everything",
        kind="STAFF",
        status="SUSPENDED",
        birth_date="1970-02-28",
        roles=[{"role": "clinician", "valid_from": SEEN, "valid_to": NOW}, {"role": "support"}],
        logins=[{"issuer": "https://login.example", "subject": "søren-7"}],
        same_person_as=["somebody"],
        family=["someone", "sometwo"],
    ),
    fact(
        "consultation",
        id="con-1",
        tenant_id="everything",
        patient_id="somebody",
        modality="SWITCHED",
        started_at="2023-06-01T08:00:00.000001Z",
        ended_at="2023-06-01T09:00:00Z",
    ),
    fact(
        "recording",
        id="rec-1",
        tenant_id="everything",
        consultation_id="con-1",
        owner_id="somebody",
        state="QUARANTINED",
        sealed=True,
        named_viewers=["everyone"],
        confidential_from_proxy=True,
        created_at="2023-06-01T08:20:00Z",
        created_by_release="23.5 beta",
        retention_until="2031-06-01T08:20:00Z",
        holds=[
            {"matter_id": "m1", "kind": "FREEZE", "viewers": ["everyone"]},
            {"matter_id": "m2", "kind": "PRESERVE"},
        ],
    ),
    fact(
        "attendance",
        id="rec-1",
        participants=[
            {"subject_id": "somebody", "kind": "PATIENT", "joined_at": SEEN, "left_at": NOW},
            {"subject_id": "int", "kind": "INTERPRETER"},
            {"subject_id": "obs", "kind": "OBSERVER"},
        ],
    ),
    fact(
        "delegation",
        id="del-1",
        patient_id="somebody",
        delegate_id="someone",
        kind="CARER",
        actions=["LIST", "SHARE"],
        valid_from=SEEN,
        valid_to=NOW,
        revoked_at=NOW,
        patient_consented_at=SEEN,
        competence_review={"at": NOW, "outcome": "PROXY_ENDS"},
    ),
    fact(
        "block",
        id="blk-1",
        patient_id="somebody",
        delegate_id="someone",
        valid_from=SEEN,
        valid_to=NOW,
    ),
    fact(
        "relationship",
        id="rel-1",
        patient_id="somebody",
        staff_id="everyone",
        kind="REFERRAL",
        valid_from=SEEN,
        valid_to=NOW,
    ),
    fact(
        "grant",
        id="gra-1",
        kind="EMERGENCY",
        subject_id="everyone",
        recording_id="rec-1",
        patient_id="somebody",
        actions=["VIEW"],
        valid_from=SEEN,
        valid_to=NOW,
        revoked_at=NOW,
        matter_id="m1",
        ground="VITAL_INTEREST",
        reason=FREE_TEXT,
        approved_by="emergency-access",
        review={"at": NOW, "by": "reviewer", "verdict": "UNJUSTIFIED"},
    ),
    fact(
        "consent",
        id="cst-1",
        patient_id="somebody",
        scope="RESEARCH",
        status="WITHDRAWN",
        effective_at=SEEN,
    ),
    fact(
        "containment",
        id="ctn-1",
        scope={
            "audience": "STAFF",
            "tenant_id": "everything",
            "action": "EXPORT",
            "created_by_release": "23.5 beta",
            "recording_ids": ["rec-1"],
            "created_from": SEEN,
            "created_to": NOW,
        },
        reason=FREE_TEXT,
        set_by="ops",
        set_at=SEEN,
        lifted_by="ops-2",
        lifted_at=NOW,
    ),
]
"""Every kind of entity, every field of it set."""

CONTRADICTION = fact(
    "recording", id="rec-mara", tenant_id=TENANT, consultation_id="con-rec-mara", state="ACTIVE"
)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A service of these tests' own."""
    folder = tmp_path_factory.mktemp("service")
    with serving(folder, facts_staleness_ms=0) as service, client_of(service) as made:
        made.write(FACTS)
        yield made


def refused(client: Client, *facts: Plain, actor: str = "operator") -> RpcFailure:
    """Write what has to be refused, and make sure that nothing of it was written."""
    before = client.check().facts_revision
    failure = failing(client.facts.WriteFacts, write_request(facts, actor), timeout=10)
    assert client.check().facts_revision == before
    return failure


def deletion(kind: str, name: str) -> Any:
    request = facts_pb2.DeleteFactsRequest(actor="operator")
    fill(request.references.add(), {"kind": kind, "id": name})
    return request


def read(client: Client, *references: tuple[str, str]) -> Any:
    request = facts_pb2.ReadFactsRequest()
    for kind, name in references:
        fill(request.references.add(), {"kind": kind, "id": name})
    return client.facts.ReadFacts(request, timeout=10)


def test_what_is_read_is_what_was_written_for_every_kind_and_field(client: Client) -> None:
    sent = write_request(EVERY_KIND)
    for message in sent.facts:
        kind = message.WhichOneof("entity")
        assert kind is not None
        entity = getattr(message, kind)
        unset = {f.name for f in entity.DESCRIPTOR.fields} - {
            f.name for f, _ in entity.ListFields()
        }
        assert unset <= {"proxy_restricted_from_age"}

    written = client.facts.WriteFacts(sent, timeout=10)
    kinds = [
        next(key for key in plain if key not in {"source", "observed_at"}) for plain in EVERY_KIND
    ]
    found = read(client, *((k.upper(), p[k]["id"]) for k, p in zip(kinds, EVERY_KIND, strict=True)))

    assert written.written == len(EVERY_KIND) == len(entities_pb2.FactKind.keys()) - 1
    assert {message.revision for message in found.facts} == {written.facts_revision}
    for message in found.facts:
        message.ClearField("revision")
    assert list(found.facts) == list(sent.facts)


def test_what_is_not_stored_is_left_out(client: Client) -> None:
    found = read(client, ("SUBJECT", "nobody"), ("SUBJECT", "mara"))

    assert [message.subject.id for message in found.facts] == ["mara"]


def test_the_same_fact_twice_is_refused(client: Client) -> None:
    failure = refused(client, patient("twin"), patient("other"), patient("twin", "1999-09-09"))

    assert (failure.code, failure.fields) == ("INVALID_ARGUMENT", ("facts[2].subject.id",))


def test_the_same_id_of_two_kinds_is_two_facts(client: Client) -> None:
    assert client.write([patient("janus"), fact("attendance", id="janus")]).written == 2


def test_1001_facts_are_refused_and_1000_are_not(client: Client) -> None:
    facts = [patient(f"many-{number}") for number in range(1001)]

    failure = refused(client, *facts)

    assert (failure.code, failure.fields) == ("INVALID_ARGUMENT", ("facts",))
    assert client.write(facts[:1000]).written == 1000


def test_a_write_of_nothing_is_refused(client: Client) -> None:
    assert refused(client).fields == ("facts",)


@pytest.mark.parametrize("actor", ["", "two words", "a\x00"])
def test_a_change_without_an_actor_is_refused(client: Client, actor: str) -> None:
    assert refused(client, patient("p"), actor=actor).fields == ("actor",)


@pytest.mark.parametrize(
    ("malformed", "field"),
    [
        pytest.param(
            fact("recording", id="r", tenant_id="t", state=UNKNOWN_ENUM),
            "facts[1].recording.state",
            id="unknown-state",
        ),
        pytest.param(
            fact("recording", id="r", tenant_id="t"), "facts[1].recording.state", id="no-state"
        ),
        pytest.param(
            fact("delegation", id="d", kind="DEPUTY", actions=["VIEW", UNKNOWN_ENUM]),
            "facts[1].delegation.actions[1]",
            id="unknown-action",
        ),
        pytest.param(
            fact("subject", id="a\n", tenant_id="t", kind="STAFF", status="ACTIVE"),
            "facts[1].subject.id",
            id="newline-in-id",
        ),
        pytest.param(patient("p", "1999-02-30"), "facts[1].subject.birth_date", id="30-february"),
        pytest.param(
            fact("tenant", id="t", time_zone="Mars/Olympus"),
            "facts[1].tenant.time_zone",
            id="time-zone",
        ),
        pytest.param(
            fact("containment", id="c", scope={}), "facts[1].containment.scope", id="empty-scope"
        ),
        pytest.param(fact("containment", id="c"), "facts[1].containment.scope", id="no-scope"),
        pytest.param(
            fact("grant", id="g", kind="SHARE", reason="nul\x00"),
            "facts[1].grant.reason",
            id="nul-in-text",
        ),
        pytest.param({"source": "s", "observed_at": SEEN}, "facts[1]", id="no-entity"),
        pytest.param({**patient("p"), "source": ""}, "facts[1].source", id="no-source"),
        pytest.param(
            {**patient("p"), "observed_at": None}, "facts[1].observed_at", id="not-observed"
        ),
    ],
)
def test_the_field_that_is_malformed_is_named(client: Client, malformed: Plain, field: str) -> None:
    failure = refused(client, patient("sound"), malformed)

    assert (failure.code, failure.reason) == ("INVALID_ARGUMENT", "INVALID_REQUEST")
    assert failure.fields == (field,)


def test_an_instant_that_does_not_exist_names_its_own_field(client: Client) -> None:
    request = write_request([delegation("d1"), delegation("d2")])
    request.facts[1].delegation.valid_to.seconds = 2**60

    failure = failing(client.facts.WriteFacts, request, timeout=10)

    assert (failure.code, failure.fields) == (
        "INVALID_ARGUMENT",
        ("facts[1].delegation.valid_to",),
    )


def test_another_word_of_the_same_instant_is_refused(client: Client) -> None:
    failure = refused(client, CONTRADICTION)

    assert (failure.code, failure.reason) == ("FAILED_PRECONDITION", "STATE")
    assert client.outcome() == ALLOWED


def test_the_same_word_of_the_same_instant_changes_nothing(client: Client) -> None:
    before = client.check().facts_revision

    response = client.write(FACTS)

    assert (response.unchanged, response.written) == (len(FACTS), 0)
    assert response.facts_revision == before


def test_an_older_observation_is_skipped(client: Client) -> None:
    older = {**CONTRADICTION, "observed_at": "2018-12-31T23:59:59Z"}

    response = client.write([older])

    assert (response.skipped, response.written) == (1, 0)
    assert client.outcome() == ALLOWED


def test_a_revocation_is_never_cleared(client: Client) -> None:
    client.write([delegation("revoked", revoked_at=SEEN)])

    failure = refused(client, delegation("revoked", observed_at=LATER))

    assert (failure.code, failure.reason) == ("FAILED_PRECONDITION", "STATE")


@pytest.mark.parametrize(
    ("kind", "facts"),
    [
        pytest.param(
            "DELEGATION", [delegation("stays", delegate_id="x", revoked_at=SEEN)], id="revocation"
        ),
        pytest.param(
            "BLOCK", [fact("block", id="stays", patient_id="lio", delegate_id="x")], id="block"
        ),
        pytest.param(
            "CONSENT",
            [
                fact(
                    "consent",
                    id="stays",
                    patient_id="lio",
                    scope="TRAINING",
                    status="WITHDRAWN",
                    effective_at=SEEN,
                )
            ],
            id="withdrawn-consent",
        ),
        pytest.param(
            "RECORDING",
            recorded("stays", "ines", holds=[{"matter_id": "m", "kind": "PRESERVE"}]),
            id="legal-hold",
        ),
        pytest.param(
            "CONTAINMENT",
            [fact("containment", id="stays", scope={"tenant_id": "elsewhere"}, set_at=SEEN)],
            id="containment",
        ),
    ],
)
def test_what_denies_is_not_deleted(client: Client, kind: str, facts: list[Plain]) -> None:
    client.write(facts)

    failure = failing(client.facts.DeleteFacts, deletion(kind, "stays"), timeout=10)

    assert (failure.code, failure.reason) == ("FAILED_PRECONDITION", "STATE")
    assert len(read(client, (kind, "stays")).facts) == 1


def test_a_deleted_right_ends_at_once(client: Client) -> None:
    family = {"context": {"purpose_of_use": "FAMRQT"}}
    client.write([delegation("for-a-while")])
    assert client.outcome("olga", "rec-lio", **family) == ALLOWED

    client.facts.DeleteFacts(deletion("DELEGATION", "for-a-while"), timeout=10)

    assert client.outcome("olga", "rec-lio", **family)[0] == "DENY"


def test_a_deletion_names_no_fact_twice(client: Client) -> None:
    request = deletion("SUBJECT", "nobody")
    request.references.append(request.references[0])

    assert failing(client.facts.DeleteFacts, request, timeout=10).fields == ("references",)


@pytest.mark.parametrize(
    ("fields", "code", "reason"),
    [
        pytest.param({"recording_id": "nobody-knows"}, "NOT_FOUND", "NOT_FOUND", id="unknown"),
        pytest.param(
            {"recording_id": "rec-mara"}, "FAILED_PRECONDITION", "STATE", id="nothing-to-resolve"
        ),
        pytest.param({"recording_id": "a b"}, "INVALID_ARGUMENT", "INVALID_REQUEST", id="id"),
        pytest.param(
            {"recording_id": "rec-mara", "reason": " "},
            "INVALID_ARGUMENT",
            "INVALID_REQUEST",
            id="no-reason",
        ),
    ],
)
def test_a_resolution_that_cannot_be_is_refused(
    client: Client, fields: Plain, code: str, reason: str
) -> None:
    request = facts_pb2.ResolveConflictRequest(**{"reason": FREE_TEXT, "actor": "op", **fields})

    failure = failing(client.facts.ResolveConflict, request, timeout=10)

    assert (failure.code, failure.reason) == (code, reason)


def test_a_recording_that_changed_hands_stays_closed_until_a_person_resolves_it(
    client: Client,
) -> None:
    client.write(recorded("moved", "mara"))
    assert client.outcome("mara", "moved") == ALLOWED
    hands = {"id": "moved", "tenant_id": TENANT, "state": "ACTIVE", "consultation_id": "con-moved"}
    made = {"created_at": "2023-06-01T08:20:00Z"}

    for day, owner in (("02", "ines"), ("03", "mara")):
        observed_at = f"2019-01-{day}T00:00:00Z"
        response = client.write(
            [fact("recording", observed_at=observed_at, owner_id=owner, **hands, **made)]
        )
        assert list(response.conflicting_recording_ids) == ["moved"]
        assert client.outcome("mara", "moved") == ("DENY", "FACTS_CONFLICT")
    resolution = client.facts.ResolveConflict(
        facts_pb2.ResolveConflictRequest(recording_id="moved", reason=FREE_TEXT, actor="op"),
        timeout=10,
    )

    assert resolution.patient_id == "mara"
    assert client.outcome("mara", "moved") == ALLOWED

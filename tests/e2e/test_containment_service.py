"""The brake over the wire: obeyed, recorded, counted, survived, and by whom it may be used."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from authz_service.api.v1 import entities_pb2, facts_pb2
from authz_service.audit.verify import read_records
from authz_service.pdp.model import is_id
from tests.certificates import CALLER, EVERYTHING, WITNESSES, Estate
from tests.e2e.client import ALLOWED, Client, client_of, eventually, failing, write_as_three
from tests.e2e.clinic import FACTS, fact
from tests.service_process import serving_process
from tests.service_thread import serving, untried_policy
from tests.unit.cli.cli_runs import NOBODY, document, run

CONTAINED = ("DENY", "CONTAINED")
BRAKES = "Contain|LiftContainment|ListContainments"
CHIEF = "spiffe://example.org/chief"
FJELL = "spiffe://example.org/fjell"
WATCH = "spiffe://example.org/watch"
STALENESS_SECONDS = 0.05


@pytest.fixture
def client(tmp_path: Path, either_url: str) -> Iterator[Client]:
    with (
        serving(tmp_path, registry_url=either_url, facts_staleness_ms=0) as service,
        client_of(service) as client,
    ):
        client.write(FACTS)
        yield client


def events(folder: Path, *kinds: str) -> Sequence[dict[str, Any]]:
    """Return the events of *kinds* that are recorded."""
    return [dict(one) for one in read_records(folder / "journal") if one["kind"] in kinds]


def active(client: Client, scope: str = "any") -> float:
    """Return how many containments are counted as in force."""
    return client.metrics()[f'authz_containments_active{{scope="{scope}"}}']


def test_what_is_contained_is_denied_until_another_person_lifts_it(client: Client) -> None:
    assert client.outcome() == ALLOWED

    made = client.contain({"audience": "PATIENTS", "tenant_id": "fjell"})
    assert client.outcome() == CONTAINED
    own = failing(client.lift, made.containment.id, actor="jo.doe")
    assert (own.code, own.reason) == ("FAILED_PRECONDITION", "STATE")
    lifted = client.lift(made.containment.id)

    assert client.outcome() == ALLOWED
    assert is_id(made.containment.id)
    assert (made.containment.set_by, lifted.containment.lifted_by) == ("jo.doe", "sam.roe")
    assert lifted.facts_revision == made.facts_revision + 1
    again = failing(client.lift, made.containment.id, actor="kim.poe")
    assert (again.reason, "is lifted since" in again.message) == ("STATE", True)
    assert failing(client.lift, "nothing").reason == "NOT_FOUND"


def test_what_is_set_and_lifted_is_recorded_without_its_words(
    client: Client, tmp_path: Path
) -> None:
    made = client.contain(
        {"created_by_release": "2020.06 beta", "recording_ids": ["rec-mara"], "action": "VIEW"}
    )
    client.lift(made.containment.id)

    contained, lifted = events(tmp_path, "CONTAINED", "CONTAINMENT_LIFTED")
    digests = {contained["details"].pop("reason_digest"), lifted["details"].pop("reason_digest")}
    assert contained["details"] == {
        "containment_id": made.containment.id,
        "facts_revision": made.facts_revision,
        "scope": ["action", "recordings", "release"],
        "action": "VIEW",
        "recording_ids": ["rec-mara"],
    }
    assert (contained["actor"], lifted["actor"]) == ("jo.doe", "sam.roe")
    assert {len(one) for one in digests} == {64}
    journal = b"".join(one.read_bytes() for one in (tmp_path / "journal").glob("*.jsonl"))
    assert not [one for one in (b"ticket 4711", b"mended", b"beta") if one in journal]


def test_containments_are_counted_by_what_limits_them_whoever_writes_them(client: Client) -> None:
    assert {active(client, one) for one in ("any", "everyone", "tenant", "created")} == {0}

    made = client.contain({"audience": "EVERYONE", "tenant_id": "fjell"})
    client.write([fact("containment", id="k9", scope={"action": "EXPORT"}, set_by="eve")])
    assert client.outcome() == CONTAINED
    assert active(client) == 2
    assert [active(client, one) for one in ("everyone", "tenant", "action", "audience")] == [
        1, 1, 1, 0,
    ]  # fmt: skip
    client.lift(made.containment.id)
    assert client.outcome() == ALLOWED

    assert active(client) == 1
    assert active(client, "tenant") == 0


def test_those_in_force_are_listed_first_and_the_newest_first(client: Client) -> None:
    ids = [client.contain({"tenant_id": f"t{number}"}).containment.id for number in range(5)]
    client.lift(ids[4])

    first = client.listed_containments(include_lifted=True, page_size=3)
    token = first.next_page_token
    second = client.listed_containments(include_lifted=True, page_size=3, page_token=token)

    listed = [one.id for one in (*first.containments, *second.containments)]
    assert listed == [ids[3], ids[2], ids[1], ids[0], ids[4]]
    assert second.next_page_token == ""
    assert [one.id for one in client.listed_containments().containments] == listed[:4]
    other = failing(client.listed_containments, page_token=token)
    assert (other.reason, other.fields) == ("INVALID_REQUEST", ("page_token",))


def test_every_malformed_field_is_named_at_once(client: Client) -> None:
    wrong = {
        "audience": 9,
        "action": 99,
        "tenant_id": "a b",
        "recording_ids": ["ok", "not ok"],
        "created_from": "2020-01-02T00:00:00Z",
        "created_to": "2020-01-01T00:00:00Z",
    }

    failure = failing(client.contain, wrong, actor="", reason=" ")

    assert (failure.code, failure.reason) == ("INVALID_ARGUMENT", "INVALID_REQUEST")
    assert set(failure.fields) == {
        "scope.audience", "scope.action", "scope.tenant_id", "scope.recording_ids[1]",
        "scope.created_to", "reason", "actor",
    }  # fmt: skip
    assert failing(client.contain, {}).fields == ("scope",)
    assert failing(client.contain, {"action": "VIEW"}, reason="x" * 4097).fields == ("reason",)
    assert active(client) == 0


def test_power_and_tenants_bound_who_uses_the_brake(tmp_path: Path) -> None:
    """And the source is what the callers file says, or the service's own."""
    estate = Estate(tmp_path)
    estate.put_callers(
        f"{CALLER},{EVERYTHING}",
        *WITNESSES,
        f"{CHIEF},{BRAKES}|WriteFacts,*,,,containment as chief-desk,contain",
        f"{FJELL},{BRAKES},fjell,,,,contain",
        f"{WATCH},{BRAKES},*,,,,",
    )
    with ExitStack() as stack:
        service = stack.enter_context(serving(tmp_path, **estate.settings))
        full, chief, fjell, watch = (
            stack.enter_context(client_of(service, estate.credentials(one)))
            for one in (CALLER, CHIEF, FJELL, WATCH)
        )
        write_as_three(service, estate, FACTS)

        assert failing(watch.contain, {"tenant_id": "fjell"}).message.endswith("(power)")
        assert failing(fjell.contain, {"audience": "EVERYONE"}).message.endswith("(tenant)")
        assert failing(fjell.contain, {"tenant_id": "other"}).message.endswith("(tenant)")
        everyone = chief.contain({"audience": "EVERYONE"}).containment.id
        theirs = fjell.contain({"tenant_id": "fjell"}).containment.id
        assert failing(watch.lift, theirs).message.endswith("(power)")
        assert failing(fjell.lift, everyone).reason == "NOT_FOUND"

        assert [one.id for one in fjell.listed_containments().containments] == [theirs]
        assert len(watch.listed_containments().containments) == 2
        sources = {everyone: "chief-desk", theirs: "containment-service"}
        assert {one: source_of(full, one) for one in sources} == sources
        fjell.lift(theirs)


def source_of(client: Client, containment_id: str) -> str:
    """Return which system says that there is a containment."""
    named = entities_pb2.FactReference(kind=entities_pb2.FACT_KIND_CONTAINMENT, id=containment_id)
    response = client.facts.ReadFacts(facts_pb2.ReadFactsRequest(references=[named]), timeout=10)
    return str(response.facts[0].source)


@pytest.mark.postgres
def test_a_containment_outlives_restarts_and_the_replica_that_set_it(
    tmp_path: Path, postgres_url: str
) -> None:
    folders = [tmp_path / name for name in ("one", "two", "three", "four")]
    for folder in folders:
        folder.mkdir()
    policy = str(untried_policy())

    with ExitStack() as stack:
        one = stack.enter_context(
            serving_process(folders[0], AUTHZ_REGISTRY_URL=postgres_url, AUTHZ_POLICY_DIR=policy)
        )
        two = stack.enter_context(serving(folders[1], registry_url=postgres_url))
        first, second = (stack.enter_context(client_of(each)) for each in (one, two))
        first.write(FACTS)
        eventually(lambda: bool(second.outcome() == ALLOWED))
        made = first.contain({"audience": "PATIENTS"})
        time.sleep(STALENESS_SECONDS)
        assert second.outcome() == CONTAINED
        (said,) = one.events("containment_set")
        assert (said["containment_id"], said["level"]) == (made.containment.id, "warning")
        one.kill()
        assert second.outcome() == CONTAINED

    with ExitStack() as stack:
        services = [
            stack.enter_context(serving(folder, registry_url=postgres_url))
            for folder in folders[2:]
        ]
        clients = [stack.enter_context(client_of(each)) for each in services]
        assert [active(each, "audience") for each in clients] == [1, 1]
        assert [each.outcome() for each in clients] == [CONTAINED, CONTAINED]
        clients[1].lift(made.containment.id)
        for each in clients:
            eventually(lambda each=each: bool(each.outcome() == ALLOWED))  # type: ignore[misc]  # bound


@pytest.mark.postgres
def test_a_replica_that_nobody_asks_counts_what_another_sets(
    tmp_path: Path, postgres_url: str
) -> None:
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
    with ExitStack() as stack:
        services = [
            stack.enter_context(serving(folder, registry_url=postgres_url)) for folder in folders
        ]
        first, idle = (stack.enter_context(client_of(each)) for each in services)

        made = first.contain({"audience": "STAFF"})
        eventually(lambda: active(idle, "audience") == 1)
        first.lift(made.containment.id)
        eventually(lambda: active(idle, "audience") == 0)


def test_the_brake_is_used_from_the_command_line(client: Client) -> None:
    address = client.address
    who = ("--reason", "ticket 4711", "--address", address)
    done = run(
        "contain", "--recording", "rec-mara", "--recording", "rec-lio", "--action", "VIEW",
        "--actor", "jo.doe", *who, "--format", "json",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    made = document(done)
    assert made["covers"] == "VIEW by everyone on 2 recordings (rec-mara, rec-lio)"
    assert client.outcome() == CONTAINED

    containment_id = made["containment"]["id"]
    shown = run("containments", "--address", address)
    assert (shown.exit_code, containment_id in shown.stdout) == (0, True)
    assert run("lift", containment_id, "--actor", "jo.doe", *who).exit_code == 1
    assert run("lift", containment_id, "--actor", "sam.roe", *who).exit_code == 0
    assert "no containment is in force" in run("containments", "--address", address).stdout
    assert containment_id in run("containments", "--lifted", "--address", address).stdout
    assert client.outcome() == ALLOWED


@pytest.mark.parametrize(
    "words",
    [
        pytest.param((), id="nothing"),
        pytest.param(("--recording", "not an id"), id="malformed-id"),
        pytest.param(("--created-from", "yesterday"), id="no-instant"),
        pytest.param(
            ("--created-from", "2020-01-02T00:00:00Z", "--created-to", "2020-01-01T00:00:00Z"),
            id="never",
        ),
    ],
)
def test_a_slip_in_a_scope_costs_no_call(words: tuple[str, ...]) -> None:
    done = run("contain", *words, "--actor", "jo.doe", "--reason", "why", "--address", NOBODY)

    assert done.exit_code == 2

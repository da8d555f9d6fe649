"""Every limit of a caller's row over the wire: refused with its status, counted, logged, recorded.

Who calls is `loopback` here; that a certificate names the caller is tried elsewhere.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import pytest
from structlog.testing import capture_logs

from authz_service.api.v1 import decision_log_pb2, entities_pb2, facts_pb2, policy_pb2
from authz_service.api.v1 import recording_access_pb2 as pb
from authz_service.audit.verify import read_records
from authz_service.identity.caller_rules import MAY, TO_COME
from tests.e2e.client import (
    ALLOWED,
    Client,
    client_of,
    eventually,
    failing,
    outcome_of,
    question,
    write_request,
)
from tests.e2e.clinic import FACTS, LATER, TENANT, Plain, delegation, fact, patient, recorded
from tests.service_thread import serving
from tests.wire import failure_of, fill

HEADER = "caller,rpcs,tenants,actions,purposes,writes,may\n"
ASKING = "CheckAccess|BatchCheckAccess|ListRecordings|ListDecisions|GetDecision"
CHANGING = "WriteFacts|ReadFacts|DeleteFacts|ResolveConflict|ReloadPolicy"
WRITES = "consultation as booking|subject as directory|delegation"
LIMITED = f"loopback,{ASKING}|{CHANGING},{TENANT},LIST|VIEW,PATRQT|TREAT,{WRITES},explain"
THEIRS = [
    fact("tenant", id="dal", time_zone="UTC"),
    fact("subject", id="stranger", tenant_id="dal", kind="PATIENT", status="ACTIVE"),
    fact("recording", id="rec-dal", tenant_id="dal", state="ACTIVE"),
]
OURS = {"tenant_id": TENANT}
Start = Callable[[str], Client]
Call = Callable[[Client, str], Any]


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry of two tenants, to be copied; the owner of one recording was changed."""
    folder = tmp_path_factory.mktemp("world")
    moved = [dict(recorded("rec-mara", who)[1]["recording"]) for who in ("ines", "mara")]
    with serving(folder) as service, client_of(service) as client:
        client.write([*FACTS, *THEIRS])
        client.write([fact("recording", observed_at=LATER, **moved[0])])
        client.write([fact("recording", observed_at="2019-01-03T00:00:00Z", **moved[1])])
    return folder / "registry.db"


def started(stack: ExitStack, folder: Path, registry: Path, row: str) -> Client:
    """Start a service whose one caller has *row*; return a client of it."""
    callers = folder / "callers.csv"
    callers.write_text(HEADER + row + "\n", encoding="utf-8")
    shutil.copy(registry, folder / "registry.db")
    service = stack.enter_context(serving(folder, callers_file=callers))
    return stack.enter_context(client_of(service))


@pytest.fixture
def caller(registry: Path, tmp_path: Path) -> Iterator[Start]:
    """Starts a service whose one caller has the row that is given."""
    with ExitStack() as stack:
        yield lambda row: started(stack, tmp_path, registry, row)


class Running(NamedTuple):
    """A service whose caller is limited in everything."""

    client: Client
    folder: Path


@pytest.fixture(scope="module")
def limited(registry: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A service whose one caller has the row `LIMITED`."""
    folder = tmp_path_factory.mktemp("limited")
    with ExitStack() as stack:
        yield Running(started(stack, folder, registry, LIMITED), folder)


def known_as(request_id: str) -> dict[str, Any]:
    """Return the options of a call that is known as *request_id*."""
    return {"timeout": 10, "metadata": [("x-request-id", request_id)]}


def check(**fields: Any) -> Call:
    """Ask about one recording."""
    return lambda client, known: client.access.CheckAccess(
        question("mara", "rec-mara", **{**OURS, **fields}), **known_as(known)
    )


def batch(**fields: Any) -> Call:
    """Ask about two recordings, the first of which may be asked about."""
    request = pb.BatchCheckAccessRequest(
        checks=[
            question("mara", "rec-mara", **OURS),
            question("mara", "rec-mara", **{**OURS, **fields}),
        ]
    )
    return lambda client, known: client.access.BatchCheckAccess(request, **known_as(known))


def page(**fields: Any) -> Call:
    """Ask for a list."""
    request = pb.ListRecordingsRequest()
    asked = {"subject": {"id": "mara"}, "context": {"purpose_of_use": "PATRQT"}}
    fill(request, {**asked, **OURS, **fields})
    return lambda client, known: client.access.ListRecordings(request, **known_as(known))


def write(*facts: Plain) -> Call:
    """Write facts."""
    return lambda client, known: client.facts.WriteFacts(write_request(facts), **known_as(known))


def references(*named: tuple[str, str]) -> list[Any]:
    """Return references to facts by kind and id."""
    return [
        entities_pb2.FactReference(
            kind=entities_pb2.FactKind.Value(f"FACT_KIND_{kind.upper()}"), id=one
        )
        for kind, one in named
    ]


def delete(*named: tuple[str, str]) -> Call:
    """Delete facts."""
    request = facts_pb2.DeleteFactsRequest(references=references(*named), actor="operator")
    return lambda client, known: client.facts.DeleteFacts(request, **known_as(known))


def resolve(recording_id: str = "rec-mara") -> Call:
    """Resolve a conflict."""
    request = facts_pb2.ResolveConflictRequest(
        recording_id=recording_id, reason="seen", actor="operator"
    )
    return lambda client, known: client.facts.ResolveConflict(request, **known_as(known))


def reload_policy(client: Client, known: str) -> Any:
    """Try the bundle."""
    request = policy_pb2.ReloadPolicyRequest(actor="operator", dry_run=True)
    return client.policy.ReloadPolicy(request, **known_as(known))


def active_policy(client: Client, known: str) -> Any:
    """Show the policy."""
    return client.policy.GetActivePolicy(policy_pb2.GetActivePolicyRequest(), **known_as(known))


def log_page(client: Client, known: str) -> Any:
    """Show the log."""
    return client.log.ListDecisions(decision_log_pb2.ListDecisionsRequest(), **known_as(known))


def log_entry(client: Client, known: str) -> Any:
    """Show a decision."""
    request = decision_log_pb2.GetDecisionRequest(decision_id="0190-none")
    return client.log.GetDecision(request, **known_as(known))


ATTENDANCE = recorded("rec-new", "mara")[2]
BOOKED = recorded("rec-new", "mara")[0]
ELSEWHERE = fact("subject", id="new", tenant_id="dal", kind="PATIENT", status="ACTIVE")
FOREIGN = {**BOOKED, "source": "pipeline"}
MARKETING = {"context": {"purpose_of_use": "HMARKT"}}

LIMITS = [
    ("rpc", "GetActivePolicy", active_policy),
    ("tenant", "CheckAccess", check(tenant_id="dal")),
    ("action", "CheckAccess", check(action="EXPORT")),
    ("purpose", "CheckAccess", check(**MARKETING)),
    ("tenant", "BatchCheckAccess", batch(tenant_id="dal")),
    ("action", "BatchCheckAccess", batch(action="EXPORT")),
    ("purpose", "BatchCheckAccess", batch(**MARKETING)),
    ("tenant", "ListRecordings", page(tenant_id="dal")),
    ("action", "ListRecordings", page(action="EXPORT")),
    ("purpose", "ListRecordings", page(**MARKETING)),
    ("kind", "WriteFacts", write(ATTENDANCE)),
    ("source", "WriteFacts", write(FOREIGN)),
    ("tenant", "WriteFacts", write(ELSEWHERE)),
    ("kind", "DeleteFacts", delete(("attendance", "rec-mara"))),
    ("tenant", "ResolveConflict", resolve("rec-dal")),
    ("tenant", "ReloadPolicy", reload_policy),
    ("power", "ListDecisions", log_page),
    ("power", "GetDecision", log_entry),
]


@pytest.mark.parametrize(
    ("refusal", "rpc", "call"), [pytest.param(*one, id=f"{one[0]}-{one[1]}") for one in LIMITS]
)
def test_a_limit_is_a_status_a_count_a_line_and_a_record(
    limited: Running, refusal: str, rpc: str, call: Call
) -> None:
    """The answer says which limit it is, and not what stands in the file."""
    client, known = limited.client, f"{refusal}-{rpc}"
    before = client.metrics()

    with capture_logs() as logs:
        failure = failing(call, client, known)

    assert (failure.code, failure.reason) == ("PERMISSION_DENIED", "CALLER_NOT_ALLOWED")
    assert failure.message.startswith("this caller may not ")
    assert failure.message.endswith(f"; the callers file decides ({refusal})")
    for written in (TENANT, "booking", "directory", "TREAT"):
        assert written not in failure.message
    after = client.metrics()
    label = "authz_caller_refusals_total{refusal="
    assert {name: after[name] - before[name] for name in after if name.startswith(label)} == {
        name: float(name == f'{label}"{refusal}"}}') for name in after if name.startswith(label)
    }
    told = {"caller": "loopback", "refusal": refusal, "rpc": rpc, "request_id": known, "count": 1}
    assert lines_of(logs) == [{"event": "caller_refused", "log_level": "warning", **told}]
    eventually(lambda: len(refusals_in(limited.folder, known)) == 1)
    (record,) = refusals_in(limited.folder, known)
    assert (record["caller"], record["actor"], record["actor_verified"]) == ("loopback", None, None)
    assert len(record["callers_revision"]) == 64
    details = {name: record["details"][name] for name in ("refusal", "rpc", "count")}
    assert details == {"refusal": refusal, "rpc": rpc, "count": 1}


def lines_of(logs: Sequence[MutableMapping[str, Any]]) -> list[Any]:
    """Return the lines of refusals in a log."""
    return [line for line in logs if line["event"] == "caller_refused"]


def refusals_in(folder: Path, request_id: str = "") -> list[dict[str, Any]]:
    """Return the records of refusals."""
    return [
        dict(record)
        for record in read_records(folder / "journal")
        if record["kind"] == "CALLER_REFUSED" and request_id in ("", record["request_id"])
    ]


@pytest.mark.parametrize(
    "call",
    [
        pytest.param(check(recording_id="rec-ines"), id="question"),
        pytest.param(batch(recording_id="rec-ines"), id="batch"),
        pytest.param(page(), id="list"),
        pytest.param(write({**patient("new-1")}), id="fact"),
        pytest.param(write(delegation("del-1")), id="fact-of-any-source"),
        pytest.param(delete(("subject", "nobody")), id="deletion"),
        pytest.param(delete(("subject", "stranger")), id="deletion-of-another-tenants"),
    ],
)
def test_what_is_inside_of_the_row_is_answered(limited: Running, call: Call) -> None:
    call(limited.client, "inside")

    assert refusals_in(limited.folder, "inside") == []


def test_an_item_without_a_tenant_is_malformed_and_not_refused(limited: Running) -> None:
    response = batch(tenant_id="")(limited.client, "no-tenant")

    assert [outcome_of(result.answer)[1] for result in response.results][1:] == ["INVALID_REQUEST"]


def test_the_booking_system_writes_bookings_as_itself_and_nothing_else(caller: Start) -> None:
    """Whoever writes one of the three witnesses of whose a recording is, writes only that one."""
    booking = caller("loopback,WriteFacts|ReadFacts|DeleteFacts,*,,,consultation as booking,")
    unsaid = {name: value for name, value in BOOKED.items() if name != "source"}

    assert write(unsaid)(booking, "b1").written == 1
    read = facts_pb2.ReadFactsRequest(references=references(("consultation", "con-rec-new")))
    assert [one.source for one in booking.facts.ReadFacts(read, timeout=10).facts] == ["booking"]
    refused = [
        failing(write(ATTENDANCE), booking, "b2"),
        failing(write(unsaid, recorded("rec-new", "mara")[1]), booking, "b3"),
        failing(write({**ATTENDANCE, "source": "booking"}), booking, "b4"),
        failing(write({**BOOKED, "source": "media-server"}), booking, "b5"),
        failing(delete(("attendance", "rec-mara")), booking, "b6"),
        failing(delete(("recording", "rec-mara")), booking, "b7"),
        failing(resolve(), booking, "b8"),
        failing(check(), booking, "b9"),
    ]
    assert {each.reason for each in refused} == {"CALLER_NOT_ALLOWED"}
    assert delete(("consultation", "con-rec-new"))(booking, "b10").deleted == 1


def test_a_source_that_nobody_states_is_malformed(caller: Start) -> None:
    """Where the row does not say as whom the caller writes, the fact has to."""
    client = caller("loopback,*,*,*,*,*,explain")
    unsaid = {name: value for name, value in BOOKED.items() if name != "source"}

    failure = failing(write(unsaid), client, "s1")

    assert (failure.code, failure.fields) == ("INVALID_ARGUMENT", ("facts[0].source",))


def test_facts_of_other_tenants_are_read_as_if_there_were_none(limited: Running) -> None:
    named = references(("subject", "stranger"), ("recording", "rec-dal"), ("subject", "ines"))

    response = limited.client.facts.ReadFacts(
        facts_pb2.ReadFactsRequest(references=named), timeout=10
    )

    assert [one.subject.id for one in response.facts] == ["ines"]


def test_who_may_use_the_rpc_resolves_conflicts_and_nobody_else(
    registry: Path, tmp_path: Path
) -> None:
    """Within its tenants, without any power, and with all of them not."""
    with ExitStack() as stack:
        client = started(stack, tmp_path, registry, f"loopback,ResolveConflict,{TENANT},,,,")
        assert resolve()(client, "with").patient_id == "mara"
    with ExitStack() as stack:
        client = started(stack, tmp_path, registry, "loopback,CheckAccess|WriteFacts,*,*,*,*,*")
        assert failing(resolve(), client, "without").message.endswith("(rpc)")


def test_who_has_the_power_reads_the_log(caller: Start) -> None:
    client = caller("loopback,*,*,*,*,,read_log")

    eventually(lambda: is_answered(log_page, client))


def is_answered(call: Call, client: Client) -> bool:
    """Whether a call is; a decision store may not be there yet, right after the start."""
    try:
        call(client, "with")
    except grpc.RpcError as error:
        if failure_of(error).reason != "DECISIONS_UNAVAILABLE":
            raise
        return False
    return True


def test_every_other_power_is_not_enough_for_the_log(caller: Start) -> None:
    others = "|".join(MAY - {"read_log"})

    failure = failing(log_page, caller(f"loopback,*,*,*,*,*,{others}"), "without")

    assert failure.message.endswith("(power)")


@pytest.mark.parametrize(
    ("call", "refused"),
    [
        pytest.param(resolve("rec-mara"), False, id="own-recording"),
        pytest.param(resolve("rec-dal"), True, id="another-tenants-recording"),
        pytest.param(resolve("rec-nobodys"), True, id="unknown-recording"),
        pytest.param(log_page, True, id="log"),
        pytest.param(reload_policy, True, id="policy"),
        pytest.param(active_policy, False, id="the-policy-in-force"),
    ],
)
def test_a_bound_caller_with_every_power_stays_inside_of_its_tenants(
    caller: Start, call: Call, *, refused: bool
) -> None:
    client = caller(f"loopback,*,{TENANT},*,*,*,*")

    if refused:
        assert failing(call, client, "bound").message.endswith("(tenant)")
    else:
        call(client, "bound")


def test_words_for_what_is_to_come_give_nothing(caller: Start) -> None:
    """Neither reasons nor the log."""
    client = caller(f"loopback,*,*,*,*,*,{'|'.join(TO_COME)}")

    outcome = client.outcome("mara", "rec-ines")
    refused = failing(log_page, client, "w")

    assert outcome == ("DENY", "NOT_AVAILABLE")
    assert refused.message.endswith("(power)")


def test_a_flood_of_refusals_is_counted_whole_and_written_twice(
    caller: Start, tmp_path: Path
) -> None:
    client = caller("loopback,CheckAccess,*,*,*,*,explain")

    with capture_logs() as logs:
        for number in range(200):
            failing(resolve(), client, f"flood-{number}")
    counted = client.metrics()['authz_caller_refusals_total{refusal="rpc"}']

    assert counted == 200
    assert [line["request_id"] for line in lines_of(logs)] == ["flood-0"]
    assert client.outcome("ines", "rec-ines") == ALLOWED
    assert [each["details"]["count"] for each in refusals_in(tmp_path)] == [1]


def test_what_was_gathered_is_in_the_journal_after_the_drain(
    registry: Path, tmp_path: Path
) -> None:
    with capture_logs() as logs, ExitStack() as stack:
        client = started(stack, tmp_path, registry, "loopback,CheckAccess,*,*,*,*,explain")
        for number in range(25):
            failing(resolve(), client, f"r-{number}")

    records = refusals_in(tmp_path)
    assert [each["details"]["count"] for each in records] == [1, 24]
    assert records[1]["request_id"] == "r-24"
    assert [line["count"] for line in lines_of(logs)] == [1, 24]

"""What the callers file lets a calling service ask, and what it is told."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from authz_service.api.v1 import facts_pb2, policy_pb2, vocabulary_pb2
from authz_service.api.v1 import recording_access_pb2 as pb
from authz_service.app import StartError
from tests.e2e.client import Client, client_of, failing, outcome_of, question, write_request
from tests.e2e.clinic import FACTS, SEEN, TENANT, fact, patient, recorded
from tests.service_thread import serving

HEADER = "caller,rpcs,tenants,actions,purposes,writes,may\n"
CARE = {"purpose_of_use": "TREAT"}
CallerWith = Callable[[str], Client]

WORLD = [
    *FACTS,
    fact("tenant", id="dal", time_zone="UTC"),
    fact("subject", id="stranger", tenant_id="dal", kind="PATIENT", status="ACTIVE"),
    fact("subject", id="gone", tenant_id=TENANT, kind="PATIENT", status="SUSPENDED"),
    *recorded("rec-sealed", "mara", sealed=True),
    fact("recording", id="rec-deleted", tenant_id=TENANT, state="DELETED"),
    fact("recording", id="rec-dal", tenant_id="dal", state="ACTIVE"),
    fact(
        "relationship",
        id="team",
        patient_id="mara",
        staff_id="dr-lund",
        kind="TREATING_TEAM",
        valid_from=SEEN,
    ),
]


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry with the world in it, to be copied."""
    folder = tmp_path_factory.mktemp("world")
    with serving(folder) as service, client_of(service) as client:
        client.write(WORLD)
    return folder / "registry.db"


@pytest.fixture
def caller(registry: Path, tmp_path: Path) -> Iterator[CallerWith]:
    """Starts a service whose one caller has the row that is given."""
    with ExitStack() as stack:

        def started(row: str) -> Client:
            callers = tmp_path / "callers.csv"
            callers.write_text(HEADER + row + "\n", encoding="utf-8")
            shutil.copy(registry, tmp_path / "registry.db")
            service = stack.enter_context(serving(tmp_path, callers_file=callers))
            return stack.enter_context(client_of(service))

        yield started


def test_a_plain_caller_is_told_no_reasons(caller: CallerWith) -> None:
    client = caller("loopback,*,*,*,*,*,assert_assurance")
    unlike = ["rec-none", "rec-deleted", "rec-ines", "rec-sealed", "rec-dal"]

    answers = {name: client.check("olga", name) for name in unlike}

    for name, answer in answers.items():
        assert outcome_of(answer) == ("DENY", "NOT_AVAILABLE")
        answer.ClearField("decision_id")
        answer.ClearField("request_id")
        answer.ClearField("evaluated_at")
        assert answer.recording_id == name
        answer.recording_id = ""
    assert len({answer.SerializeToString(deterministic=True) for answer in answers.values()}) == 1
    assert client.outcome("gone", "rec-mara") == ("DENY", "NOT_AVAILABLE")
    assert client.outcome("mara", "rec-mara") == ("ALLOW", "ALLOWED")
    stepped = client.check("dr-lund", "rec-mara", context=CARE)
    assert outcome_of(stepped) == ("DENY", "STEP_UP_REQUIRED")
    assert [obligation.id for obligation in stepped.obligations] == ["step-up"]


def test_a_plain_caller_is_told_of_its_malformed_items(caller: CallerWith) -> None:
    client = caller("loopback,*,*,*,*,*,")
    request = pb.BatchCheckAccessRequest(
        checks=[question("mara", "rec-mara"), question("m m", "rec-mara"), question("ines", "x")]
    )

    response = client.access.BatchCheckAccess(request, timeout=10)

    assert [outcome_of(result.answer) for result in response.results] == [
        ("ALLOW", "ALLOWED"),
        ("DENY", "INVALID_REQUEST"),
        ("DENY", "NOT_AVAILABLE"),
    ]


@pytest.mark.parametrize(
    ("row", "fields"),
    [
        pytest.param("loopback,*,dal,*,*,*,explain", {"tenant_id": TENANT}, id="tenant"),
        pytest.param("loopback,*,*,LIST|EXPORT,*,*,explain", {}, id="action"),
        pytest.param("loopback,*,*,*,TREAT,*,explain", {}, id="purpose"),
        pytest.param("loopback,WriteFacts,*,*,*,*,explain", {}, id="rpc"),
        pytest.param("loopback,,*,*,*,*,explain", {}, id="no-rpcs"),
        pytest.param("loopback,*,,*,*,*,explain", {"tenant_id": TENANT}, id="no-tenants"),
    ],
)
def test_what_a_caller_may_not_ask_is_refused(
    caller: CallerWith, row: str, fields: dict[str, Any]
) -> None:
    client = caller(row)

    failure = failing(client.check, "mara", "rec-mara", **fields)

    assert (failure.code, failure.reason) == ("PERMISSION_DENIED", "CALLER_NOT_ALLOWED")
    assert failure.domain == "authz_service.api.v1"


@pytest.mark.parametrize(
    ("writes", "refused"),
    [
        pytest.param("", True, id="nothing"),
        pytest.param("attendance as media-server", True, id="another-kind"),
        pytest.param("subject as somebody-else", True, id="another-source"),
        pytest.param("subject as directory", False, id="kind-and-source"),
        pytest.param("subject", False, id="kind-from-any-source"),
        pytest.param("*", False, id="everything"),
    ],
)
def test_a_caller_writes_what_its_row_names(
    caller: CallerWith, writes: str, *, refused: bool
) -> None:
    """One caller must not be able to bring all three witnesses of whose recording it is."""
    client = caller(f"loopback,*,*,*,*,{writes},explain")
    request = write_request([patient("new")])
    assert request.facts[0].source == "directory"

    if refused:
        failure = failing(client.facts.WriteFacts, request, timeout=10)
        assert (failure.code, failure.reason) == ("PERMISSION_DENIED", "CALLER_NOT_ALLOWED")
    else:
        assert client.facts.WriteFacts(request, timeout=10).written == 1


def test_a_batch_with_an_item_that_the_caller_may_not_ask_is_refused(caller: CallerWith) -> None:
    client = caller("loopback,*,*,VIEW,*,*,explain")
    checks = [question("mara", "rec-mara"), question("mara", "rec-mara", action="EXPORT")]

    failure = failing(
        client.access.BatchCheckAccess, pb.BatchCheckAccessRequest(checks=checks), timeout=10
    )

    assert failure.reason == "CALLER_NOT_ALLOWED"


def test_a_caller_that_may_only_ask_may_not_change_anything(caller: CallerWith) -> None:
    client = caller("loopback,CheckAccess,*,*,*,*,explain")

    refused = [
        failing(client.facts.WriteFacts, write_request([patient("p")]), timeout=10),
        failing(client.facts.DeleteFacts, facts_pb2.DeleteFactsRequest(), timeout=10),
        failing(client.facts.ReadFacts, facts_pb2.ReadFactsRequest(), timeout=10),
        failing(client.facts.ResolveConflict, facts_pb2.ResolveConflictRequest(), timeout=10),
        failing(client.policy.ReloadPolicy, policy_pb2.ReloadPolicyRequest(), timeout=10),
        failing(client.policy.GetActivePolicy, policy_pb2.GetActivePolicyRequest(), timeout=10),
    ]

    assert {failure.reason for failure in refused} == {"CALLER_NOT_ALLOWED"}
    assert outcome_of(client.check()) == ("ALLOW", "RULE_ALLOWED")


def test_a_caller_bound_to_tenants_names_one(caller: CallerWith) -> None:
    client = caller(f"loopback,*,{TENANT}|dal,*,*,*,explain")

    failure = failing(client.check, "mara", "rec-mara")

    assert (failure.code, failure.fields) == ("INVALID_ARGUMENT", ("tenant_id",))
    assert client.outcome(tenant_id=TENANT) == ("ALLOW", "RULE_ALLOWED")
    assert client.outcome(tenant_id="dal") == ("DENY", "TENANT_MISMATCH")


@pytest.mark.parametrize(
    ("may", "outcome"),
    [
        pytest.param("explain|assert_assurance", ("ALLOW", "RULE_ALLOWED"), id="believed"),
        pytest.param("explain", ("DENY", "STEP_UP_REQUIRED"), id="not-believed"),
    ],
)
def test_assurance_is_believed_of_those_who_may_assert_it(
    caller: CallerWith, may: str, outcome: tuple[str, str]
) -> None:
    client = caller(f"loopback,*,*,*,*,*,{may}")
    context = {**CARE, "assurance": vocabulary_pb2.ASSURANCE_MULTI_FACTOR}

    assert client.outcome("dr-lund", "rec-mara", context=context) == outcome


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param(
            HEADER + "loopback,*,*,*,*,*\n", "callers.csv:2:19: the row has 6 fields", id="short"
        ),
        pytest.param(
            HEADER + "loopback,*,*,VEIW,*,*,\n", "callers.csv:2:14: no action", id="action"
        ),
        pytest.param(HEADER + "loopback,Chek,*,*,*,*,\n", "callers.csv:2:10: no RPC", id="rpc"),
        pytest.param(
            HEADER + "loopback,*,*,*,SALES,*,\n", "callers.csv:2:16: no purpose", id="purpose"
        ),
        pytest.param(
            HEADER + "loopback,*,a b,*,*,*,\n", "callers.csv:2:12: .* no tenant", id="tenant"
        ),
        pytest.param(HEADER + "loopback,*,*,*,*,*,fly\n", "callers.csv:2:20: no power", id="may"),
        pytest.param(HEADER + "# hm\n\nsomebody,*,*,*,*,*,\n", "callers.csv:4:1: ", id="caller"),
        pytest.param("a,b\n", "callers.csv:1:1: the first row", id="header"),
        pytest.param(HEADER, "there is no caller", id="nobody"),
        pytest.param(
            HEADER + "spiffe://x/y,GetActivePolicy,,,,,\n", "no row for loopback", id="no-loopback"
        ),
        pytest.param("", "callers.csv: the first row", id="empty"),
    ],
)
def test_a_defective_callers_file_is_no_start_and_its_line_is_named(
    tmp_path: Path, text: str, said: str
) -> None:
    callers = tmp_path / "callers.csv"
    callers.write_text(text, encoding="utf-8")

    with pytest.raises(StartError, match=said), serving(tmp_path, callers_file=callers):
        pass


def test_a_missing_callers_file_is_no_start(tmp_path: Path) -> None:
    with (
        pytest.raises(StartError, match=r"callers\.csv: cannot be read"),
        serving(tmp_path, callers_file=tmp_path / "callers.csv"),
    ):
        pass

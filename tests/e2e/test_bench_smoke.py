"""The benchmark works, and would say so if an answer were wrong. No numbers are judged here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from authz_service.api.v1 import recording_access_pb2 as pb
from authz_service.api.v1 import vocabulary_pb2 as words
from authz_service.identity.callers_file import read_callers
from authz_service.server.grpc_server import RPCS
from bench import cerbos
from bench.callers import in_tenant
from bench.cerbos_messages import messages
from bench.estate import ASKING, estate_in
from bench.http2 import Question
from bench.lists import Listed, first_pages, list_check_of
from bench.load import Call
from bench.measure import Ledger
from bench.questions import Asked, Questions, check_of
from bench.stage_callers import letting_in
from bench.world import RECORDINGS_EACH, TENANT, World, recording_id

ROOT = Path(__file__).resolve().parents[2]
ASKED = Asked("p000001", "r0000001", is_own=True)
DECISION_ID = "019adf00-0000-7000-8000-000000000000"


CERBOS = ROOT / "var" / "bench" / "cerbos"
WORLD = World(patients=100, busy=60, frequent=55)


@pytest.mark.slow
@pytest.mark.postgres
@pytest.mark.timeout(480)
def test_a_short_run_finds_every_answer_right_and_recorded(tmp_path: Path) -> None:
    """What `make bench` measures is what the service answers, and all of it is in the journal."""
    found = tmp_path / "found.json"
    cerbos_directory = CERBOS if CERBOS.is_dir() else tmp_path / "cerbos"
    command = [sys.executable, "-m", "bench", "--smoke", "--directory", str(tmp_path)]

    run = subprocess.run(
        [*command, "--json", str(found), "--cerbos", str(cerbos_directory)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=470,
        check=False,
    )

    assert run.returncode == 0, run.stdout + run.stderr
    results = json.loads(found.read_text())
    assert results["problems"] == []
    samples = {name: len(samples) for name, samples in results["samples"].items()}
    beside = {"cerbos", "cerbos_batch"} & set(samples)
    assert set(samples) - beside == {
        "echo", "warm", "small", "cold", "batch", "list", "check_alone", "list_alone",
        "echo_one", "echo_two", "one", "two", "one_batch", "two_batch", "plain", "mtls",
        "unshipped", "shipped_sqlite", "shipped_postgresql",
    }  # fmt: skip
    assert set(samples.values()) == {1}
    assert results["samples"]["warm"][0]["rate"] > 0
    assert results["hits"] == {"warm": 1.0, "small": 1.0, "cold": 0.0}
    assert len(results["spread_over_workers"]) == 2
    assert [each["store"] for each in results["shipped"]] == ["PostgreSQL", "SQLite"]
    assert sum(row["met"] is not None for row in results["rows"]) == 15 + len(beside)
    assert "wrong or missing" in run.stdout.lower()
    assert ("LEFT OUT: Cerbos" in run.stdout) is not bool(beside)
    if beside:
        assert results["cerbos_audit"]["missing"] == 0


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        pytest.param({}, None, id="right"),
        pytest.param({"effect": words.EFFECT_DENY}, "wrong effect", id="denied"),
        pytest.param({"reason": words.REASON_ALLOWED}, "wrong effect", id="other-reason"),
        pytest.param({"subject_id": "p000002"}, "another question", id="other-subject"),
        pytest.param({"recording_id": "r0000002"}, "another question", id="other-recording"),
        pytest.param({"action": words.ACTION_LIST}, "another question", id="other-action"),
        pytest.param({"facts_revision": 8}, "wrong revision", id="other-revision"),
        pytest.param({"decision_id": ""}, "wrong revision", id="no-decision-id"),
    ],
)
def test_an_answer_that_is_not_exactly_right_is_found(
    changed: dict[str, object], problem: str | None
) -> None:
    """A benchmark that takes any answer measures how fast the service is wrong."""
    fields: dict[str, object] = {
        "effect": words.EFFECT_ALLOW,
        "reason": words.REASON_RULE_ALLOWED,
        "subject_id": "p000001",
        "recording_id": "r0000001",
        "action": words.ACTION_VIEW,
        "facts_revision": 7,
        "decision_id": DECISION_ID,
        **changed,
    }
    answer = pb.CheckAccessResponse(**fields)  # type: ignore[arg-type]  # by name

    found = check_of(7)(Call(Question(b"", ASKED), answer.SerializeToString(), 0.0, in_time=True))

    assert found.problem is None if problem is None else problem in (found.problem or "")
    assert list(found.decision_ids) == ([DECISION_ID] if problem is None else [])


def test_a_call_without_an_answer_counts_as_wrong() -> None:
    """A call that failed has no message; HTTP's 200 does not make it an answer."""
    ledger = Ledger()

    ledger.take_calls([Call(Question(b"", ASKED), None, 0.0, in_time=True)], check_of(7))

    assert (ledger.answers, ledger.wrong) == (1, 1)


@pytest.mark.parametrize(
    ("recordings", "token", "problem"),
    [
        pytest.param(("r1", "r2"), "more", None, id="right"),
        pytest.param(("r2", "r1"), "more", "was answered", id="another-order"),
        pytest.param(("r1",), "more", "was answered", id="one-missing"),
        pytest.param(("r1", "r2"), "", "was answered", id="ended-too-early"),
    ],
)
def test_a_page_that_is_not_exactly_right_is_found(
    recordings: tuple[str, ...], token: str, problem: str | None
) -> None:
    """A page is right where its rows are those expected, in order, and it goes on as it should."""
    answer = pb.ListRecordingsResponse(
        recordings=[
            pb.ListedRecording(recording_id=each, decision_id=DECISION_ID) for each in recordings
        ],
        next_page_token=token,
        decision_id=DECISION_ID,
        facts_revision=7,
        subject_id="s0001",
    )
    question = Question(b"", Listed("s0001", ("r1", "r2")))

    found = list_check_of(7)(Call(question, answer.SerializeToString(), 0.0, in_time=True))

    assert found.problem is None if problem is None else problem in (found.problem or "")


def test_the_first_page_of_a_clinician_is_their_newest_recordings() -> None:
    """What a page has to hold is told from the numbers of the world, as the registry is."""
    listed = {
        question.known.subject: question.known.recordings
        for question in first_pages(WORLD)
        if isinstance(question.known, Listed)
    }

    for subject, recordings in listed.items():
        theirs = [
            recording_id(each)
            for each in reversed(WORLD.all_recordings)
            if WORLD.clinician_of(each) == subject
        ]
        assert recordings == tuple(theirs[:50])
    assert len(listed) == WORLD.clinicians


@pytest.mark.parametrize(
    ("effects", "call_id", "problem"),
    [
        pytest.param((1, 2), "01M81K75BJZ12AVVX189FK6EWD", None, id="right"),
        pytest.param((1, 1), "01M81K75BJZ12AVVX189FK6EWD", "Cerbos answered", id="wrong-effect"),
        pytest.param((1,), "01M81K75BJZ12AVVX189FK6EWD", "Cerbos answered", id="one-missing"),
        pytest.param((1, 2), "", "no call", id="no-call-id"),
    ],
)
def test_an_answer_of_cerbos_that_is_not_exactly_right_is_found(
    effects: tuple[int, ...], call_id: str, problem: str | None
) -> None:
    """Cerbos is measured by the same standard."""
    asked = [Asked("p000001", "r0000001", is_own=True), Asked("p000001", "r0000002", is_own=False)]
    answer = messages().response(cerbos_call_id=call_id)
    for one, effect in zip(asked, effects, strict=False):
        result = answer.results.add()
        result.resource.id = one.recording
        result.actions["view"] = effect

    question = Question(b"", asked)
    found = cerbos.check(Call(question, answer.SerializeToString(), 0.0, in_time=True))

    assert found.problem is None if problem is None else problem in (found.problem or "")


def test_cerbos_is_told_the_facts_that_its_rules_need() -> None:
    """Whose a recording is, and who attended: what the service knows by itself."""
    asked = [Asked("p000001", "r0000002", is_own=False)]

    question = next(cerbos.questions([asked], WORLD))

    request = messages().request.FromString(question.message)
    entry = request.resources[0]
    assert (request.principal.id, list(request.principal.roles)) == ("p000001", ["patient"])
    assert entry.resource.attr["owner"].string_value == "p000002"
    assert [each.string_value for each in entry.resource.attr["attending"].list_value.values] == [
        "s0000"
    ]


def test_cerbos_is_left_out_visibly(tmp_path: Path) -> None:
    """Where it is not installed and may not be, the reason is told."""
    with pytest.raises(cerbos.CerbosMissingError, match="not installed"):
        cerbos.installed(tmp_path, may_install=False)


def test_the_estate_is_one_that_a_service_would_take(tmp_path: Path) -> None:
    """Twenty callers, and the one that asks is bound by its row: else its rules cost nothing."""
    rpcs = frozenset(method for _, method in RPCS)

    estate = estate_in(tmp_path / "estate")

    found = read_callers(Path(estate.settings["AUTHZ_CALLERS_FILE"]), rpcs)
    asking = found.rules[ASKING]
    assert len(found.rules) == 20
    assert asking.tenants == frozenset({TENANT})
    assert (asking.actions, asking.purposes) == (
        frozenset({"VIEW", "LIST"}),
        frozenset({"PATRQT", "TREAT"}),
    )
    assert asking.may_explain
    letting_in(estate)(None)


def test_questions_of_a_bound_caller_name_their_tenant() -> None:
    question = Question(pb.CheckAccessRequest(recording_id="r").SerializeToString(), ASKED)

    asked = pb.CheckAccessRequest.FromString(in_tenant(question).message)

    assert (asked.tenant_id, asked.recording_id) == (TENANT, "r")


def test_cold_questions_name_no_patient_twice() -> None:
    """Facts are cold only if nothing in a question was in an earlier one."""
    world = World(patients=300)
    cold = Questions(world, 0.1).cold()

    asked = [next(cold).known for _ in range(2 * world.patients // 3)]

    subjects = [one.subject for one in asked if isinstance(one, Asked)]
    owners = {
        int(one.recording[1:]) % world.patients for one in asked if isinstance(one, Asked)
    } | {int(subject[1:]) for subject in subjects}
    assert len(set(subjects)) == 200
    assert len(owners) == 300
    assert sum(one.is_own for one in asked if isinstance(one, Asked)) == 100


def test_the_working_set_is_warmed_whole() -> None:
    """Every question about the working set finds its facts among those that warming touches."""
    questions = Questions(World(patients=100), 0.1)
    warmed = {
        item.recording_id
        for question in questions.warming(7)
        for item in pb.BatchCheckAccessRequest.FromString(question.message).checks
    }
    warm = questions.warm()

    asked = {pb.CheckAccessRequest.FromString(next(warm).message).recording_id for _ in range(5000)}

    assert len(warmed) == questions.warm_recordings == 10 * RECORDINGS_EACH
    assert asked == warmed

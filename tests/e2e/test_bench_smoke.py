"""The benchmark works, and would say so if an answer were wrong. No numbers are judged here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from authz_service.api.v1 import recording_access_pb2 as pb
from authz_service.api.v1 import vocabulary_pb2 as words
from bench.http2 import Question
from bench.load import Call
from bench.measure import Ledger
from bench.questions import Asked, Questions, check_of
from bench.world import RECORDINGS_EACH, World

ROOT = Path(__file__).resolve().parents[2]
ASKED = Asked("p000001", "r0000001", is_own=True)
DECISION_ID = "019adf00-0000-7000-8000-000000000000"


@pytest.mark.slow
def test_a_quick_run_finds_every_answer_right_and_recorded(tmp_path: Path) -> None:
    """What `make bench` measures is what the service answers, and all of it is in the journal."""
    found = tmp_path / "found.json"

    run = subprocess.run(
        [sys.executable, "-m", "bench", "--quick", "--directory", tmp_path, "--json", found],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )

    assert run.returncode == 0, run.stdout + run.stderr
    results = json.loads(found.read_text())
    assert results["problems"] == []
    assert {name: len(samples) for name, samples in results["samples"].items()} == {
        "echo": 2,
        "warm": 2,
        "small": 2,
        "cold": 2,
        "batch": 2,
    }
    assert all(sample["rate"] > 0 for samples in results["samples"].values() for sample in samples)
    assert results["hits"] == {"warm": 1.0, "small": 1.0, "cold": 0.0}
    assert sum(row["met"] is not None for row in results["rows"]) == 8
    assert "wrong or missing" in run.stdout.lower()


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

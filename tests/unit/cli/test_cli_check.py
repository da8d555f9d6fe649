"""`authz check` against services that answer well, wrongly, and not at all."""

from __future__ import annotations

import uuid

import grpc
import pytest

from authz_service.api.v1 import recording_access_pb2 as pb
from authz_service.api.v1 import vocabulary_pb2 as words
from tests.unit.cli.cli_runs import document, run
from tests.unit.cli.service_fake import Change, FailingAccess, FakeAccess, serving


def _as_it_is(_response: pb.CheckAccessResponse) -> None:
    """Change nothing."""


def _deny(response: pb.CheckAccessResponse) -> None:
    response.effect, response.reason = words.EFFECT_DENY, words.REASON_STEP_UP_REQUIRED
    response.obligations.add(id="step-up", parameters={"assurance": "MULTI_FACTOR"})


def _leave_effect_open(response: pb.CheckAccessResponse) -> None:
    response.effect = words.EFFECT_UNSPECIFIED


def _oblige_to_something_new(response: pb.CheckAccessResponse) -> None:
    response.obligations.add(id="watermark")


def _of_another_subject(response: pb.CheckAccessResponse) -> None:
    response.subject_id = "bob"


def _of_another_recording(response: pb.CheckAccessResponse) -> None:
    response.recording_id = "his"


def _of_another_action(response: pb.CheckAccessResponse) -> None:
    response.action = words.ACTION_DELETE


def _of_another_call(response: pb.CheckAccessResponse) -> None:
    response.request_id = "r-of-somebody-else"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        pytest.param(_as_it_is, 0, id="allow"),
        pytest.param(_deny, 10, id="deny"),
        pytest.param(_leave_effect_open, 10, id="no-effect-is-a-denial"),
        pytest.param(_oblige_to_something_new, 10, id="unknown-obligation-is-a-denial"),
        pytest.param(_of_another_subject, 1, id="echoes-another-subject"),
        pytest.param(_of_another_recording, 1, id="echoes-another-recording"),
        pytest.param(_of_another_action, 1, id="echoes-another-action"),
        pytest.param(_of_another_call, 1, id="echoes-another-call"),
    ],
)
def test_check_ends_with_what_the_answer_is_worth(change: Change, code: int) -> None:
    """An answer counts only if it repeats the question and is understood whole."""
    with serving(FakeAccess(change)) as address:
        result = run("check", "ana", "hers", "--address", address)

    assert result.exit_code == code


def test_wrong_echo_shows_no_effect() -> None:
    """Nobody reads ALLOW off an answer to somebody else's question."""
    with serving(FakeAccess(_of_another_subject)) as address:
        result = run("check", "ana", "hers", "--address", address)

    assert "ALLOW" not in result.output
    assert "does not repeat the subject" in result.stderr


@pytest.mark.parametrize(
    ("status", "reason", "code"),
    [
        pytest.param(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST", 2, id="malformed"),
        pytest.param(grpc.StatusCode.UNAVAILABLE, "JOURNAL_UNAVAILABLE", 11, id="journal"),
        pytest.param(grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE", 11, id="deadline"),
        pytest.param(grpc.StatusCode.PERMISSION_DENIED, "CALLER_NOT_ALLOWED", 1, id="caller"),
        pytest.param(grpc.StatusCode.FAILED_PRECONDITION, "REVISION_AHEAD", 1, id="ahead"),
        pytest.param(grpc.StatusCode.INTERNAL, "INTERNAL", 1, id="bug"),
        pytest.param(grpc.StatusCode.UNIMPLEMENTED, "UNIMPLEMENTED", 1, id="another-service"),
    ],
)
def test_failed_call_ends_with_its_code(status: grpc.StatusCode, reason: str, code: int) -> None:
    """A status becomes an exit code, its ErrorInfo the reason for programs."""
    with serving(FailingAccess(status, "words of the service", reason)) as address:
        result = run("check", "ana", "hers", "--address", address, "--format", "json")

    error = document(result)["error"]
    assert (result.exit_code, error["exit_code"], error["reason"]) == (code, code, reason)


def test_every_word_of_the_question_is_sent() -> None:
    """What is typed is what is asked, the instant turned into UTC."""
    access = FakeAccess(_as_it_is)

    with serving(access) as address:
        run(
            "check", "ana", "hers", "--action", "export", "--purpose", "hlegal",
            "--assurance", "MULTI_FACTOR", "--authenticated-at", "2020-06-09T16:00:00+02:00",
            "--tenant", "t", "--matter", "m-1", "--at-least-revision", "5", "--address", address,
        )  # fmt: skip

    wanted = pb.CheckAccessRequest(
        recording_id="hers",
        action=words.ACTION_EXPORT,
        tenant_id="t",
        at_least_facts_revision=5,
    )
    wanted.subject.id = "ana"
    wanted.context.purpose_of_use = words.PURPOSE_OF_USE_HLEGAL
    wanted.context.assurance = words.ASSURANCE_MULTI_FACTOR
    wanted.context.authenticated_at.FromJsonString("2020-06-09T14:00:00Z")
    wanted.context.matter_id = "m-1"
    assert access.asked == [wanted]


def test_json_holds_the_answer_and_its_question() -> None:
    """Programs find all of the answer in one document."""
    with serving(FakeAccess(_deny)) as address:
        result = run("check", "ana", "hers", "--address", address, "--format", "json")

    found = document(result)
    assert found.pop("request_id")
    assert found == {
        "effect": "DENY",
        "reason": "STEP_UP_REQUIRED",
        "obligations": [{"id": "step-up", "parameters": {"assurance": "MULTI_FACTOR"}}],
        "subject_id": "ana",
        "recording_id": "hers",
        "action": "VIEW",
        "purpose_of_use": "PATRQT",
        "decision_id": "d1",
        "policy_revision": "p1",
        "facts_revision": 7,
        "evaluated_at": "1970-01-01T00:00:00Z",
        "recorded": True,
    }


def test_text_shows_both_ids() -> None:
    """The decision id leads to the record, the request id to the service's log."""
    access = FakeAccess(_as_it_is)
    with serving(access) as address:
        shown = dict(
            each.split(maxsplit=1)
            for each in run("check", "ana", "hers", "--address", address).stdout.splitlines()
        )

    assert shown["decision"] == "d1"
    assert str(uuid.UUID(shown["request"])) == shown["request"]


def test_healthcheck_of_a_service_without_health_is_an_error() -> None:
    """What answers at the port may be another program."""
    with serving(FakeAccess(_as_it_is)) as address:
        result = run("healthcheck", "--address", address)

    assert result.exit_code == 1
    assert "does not know this call" in result.stderr

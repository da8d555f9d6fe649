"""`authz check --as-of`: who could view it then, by what was known then."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from authz_service.api.v1 import recording_access_pb2 as pb
from authz_service.api.v1 import vocabulary_pb2 as words
from authz_service.facts.schema_version import migrate
from authz_service.facts.sql_registry import SqlRegistry
from authz_service.pdp.facts import Fact
from tests.contract.facts.registry_cases import ACTOR, fact, recording, world
from tests.unit.cli.cli_runs import document, run
from tests.unit.cli.service_fake import Unasked, serving

THEN = datetime(2022, 5, 1, 9, tzinfo=UTC)
HOUR = timedelta(hours=1)
WORDS = "by what was known then, under the policy of now"


class _Clock:
    def __init__(self, at: datetime) -> None:
        self._at = at

    def now(self) -> datetime:
        return self._at


async def _written(url: str, at: datetime, *facts: Fact[Any]) -> None:
    registry = SqlRegistry(url, _Clock(at))
    await registry.write(facts, actor=ACTOR)
    registry.close()


@pytest.fixture
async def registry(tmp_path: Path) -> str:
    """Ana's recording, which became Bob's an hour later."""
    url = f"sqlite:///{tmp_path}/registry.db"
    migrate(url)
    await _written(url, THEN, *world())
    await _written(url, THEN + HOUR, fact(recording("bob"), day=1))
    return url


def test_an_instant_is_judged_by_what_was_known_then(registry: str) -> None:
    asked = ("check", "ana", "r1", "--offline", "--registry-url", registry, "--format", "json")

    then = run(*asked, "--as-of", "2022-05-01T09:30:00Z")
    later = run(*asked, "--as-of", "2022-05-01T12:30:00+02:00")

    assert (then.exit_code, document(then)["reason"]) == (0, "RULE_ALLOWED")
    assert (document(then)["as_of"], document(then)["judged"]) == ("2022-05-01T09:30:00Z", WORDS)
    assert document(then)["facts_revision"] == 1
    assert (later.exit_code, document(later)["reason"]) == (10, "FACTS_CONFLICT")


def test_an_instant_is_explained_from_a_registry(registry: str) -> None:
    """The same registry says why it was so, as it says that it was."""
    asked = ("explain", "ana", "r1", "--offline", "--registry-url", registry, "--format", "json")

    then = document(run(*asked, "--as-of", "2022-05-01T09:30:00Z"))
    before = run(*asked, "--as-of", "2022-05-01T08:59:59Z")

    assert then["answer"]["reason"] == "RULE_ALLOWED"
    assert {fact["revision"] for fact in then["facts"]} == {1}
    assert (before.exit_code, document(before)["error"]["reason"]) == (1, "HISTORY_GONE")


def test_people_read_what_the_answer_is(registry: str) -> None:
    result = run(
        "check", "ana", "r1", "--offline", "--registry-url", registry,
        "--as-of", "2022-05-01T09:30:00Z",
    )  # fmt: skip

    assert WORDS in " ".join(result.stdout.split())
    assert "2022-05-01T09:30:00Z" in result.stdout


@pytest.mark.parametrize(
    ("more", "code", "words_of_it"),
    [
        pytest.param(("--as-of", "2022-05-01"), 2, "time zone", id="no-zone"),
        pytest.param(("--as-of", "2999-01-01T00:00:00Z"), 2, "has not come yet", id="not-yet"),
        pytest.param(
            ("--as-of", "2022-05-01T08:59:59Z"), 1, "begins at 2022-05-01T09:00:00Z", id="before"
        ),
        pytest.param(
            ("--as-of", "2022-05-01T09:30:00Z", "--at-least-revision", "1"), 2, "the past",
            id="two-states",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_is_said(
    registry: str, more: tuple[str, ...], code: int, words_of_it: str
) -> None:
    result = run("check", "ana", "r1", "--offline", "--registry-url", registry, *more)

    assert result.exit_code == code
    assert words_of_it in " ".join(result.stderr.split())


class _FakeExplanations(Unasked):
    """Echoes the question with an ALLOW at its instant, changed as told."""

    def __init__(self, change: Callable[[pb.ExplainAccessResponse], None]) -> None:
        self.asked: list[pb.ExplainAccessRequest] = []
        self._change = change

    def ExplainAccess(  # noqa: N802  # the RPC's name
        self, request: pb.ExplainAccessRequest, context: Any
    ) -> pb.ExplainAccessResponse:
        self.asked.append(request)
        response = pb.ExplainAccessResponse(as_of=request.as_of)
        response.answer.effect = words.EFFECT_ALLOW
        response.answer.reason = words.REASON_RULE_ALLOWED
        response.answer.decision_id = "d1"
        response.answer.subject_id = request.check.subject.id
        response.answer.recording_id = request.check.recording_id
        response.answer.action = request.check.action
        response.answer.request_id = dict(context.invocation_metadata())["x-request-id"]
        self._change(response)
        return response


def _other_instant(response: pb.ExplainAccessResponse) -> None:
    response.as_of.seconds += 1


def _no_instant(response: pb.ExplainAccessResponse) -> None:
    response.ClearField("as_of")


def _other_recording(response: pb.ExplainAccessResponse) -> None:
    response.answer.recording_id = "his"


def test_a_service_is_asked_to_explain() -> None:
    """By ExplainAccess, which records that it was asked."""
    fake = _FakeExplanations(lambda _response: None)

    with serving(fake) as address:
        result = run(
            "check", "ana", "r1", "--as-of", "2022-05-01T09:30:00.25+00:00", "--address", address,
            "--format", "json",
        )  # fmt: skip

    found = document(result)
    assert (result.exit_code, found["effect"], found["decision_id"]) == (0, "ALLOW", "d1")
    assert (found["as_of"], found["judged"]) == ("2022-05-01T09:30:00.250000Z", WORDS)
    assert fake.asked[0].as_of.ToJsonString() == "2022-05-01T09:30:00.250Z"
    assert fake.asked[0].check.subject.id == "ana"


@pytest.mark.parametrize("change", [_other_instant, _no_instant, _other_recording])
def test_an_answer_to_another_question_is_refused(
    change: Callable[[pb.ExplainAccessResponse], None],
) -> None:
    with serving(_FakeExplanations(change)) as address:
        result = run("check", "ana", "r1", "--as-of", "2022-05-01T09:30:00Z", "--address", address)

    assert result.exit_code == 1
    assert "ALLOW" not in result.output
    assert "does not repeat" in result.stderr

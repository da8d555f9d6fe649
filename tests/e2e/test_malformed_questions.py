"""What a caller can get wrong over the wire, and how it is told."""

from __future__ import annotations

from typing import Any

import grpc
import pytest

from authz_service.api.v1 import recording_access_pb2 as pb
from tests.e2e.client import ALLOWED, Client, failing, outcome_of, question
from tests.wire import RpcFailure, failure_of

CHECK = "/authz_service.api.v1.RecordingAccessService/CheckAccess"
BATCH = "/authz_service.api.v1.RecordingAccessService/BatchCheckAccess"
UNKNOWN_ENUM = 99


def refused(client: Client, **fields: Any) -> RpcFailure:
    """Ask something malformed."""
    return failing(client.access.CheckAccess, question("mara", "rec-mara", **fields), timeout=10)


def sent_raw(client: Client, method: str, content: bytes) -> RpcFailure:
    """Send bytes that no generated code would."""
    try:
        raw: Any = client.channel.unary_unary(method)
        raw(content, timeout=10)
    except grpc.RpcError as error:
        return failure_of(error)
    raise AssertionError("it was answered")


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="missing"),
        pytest.param("mara\x00", id="nul"),
        pytest.param("mara\n", id="newline-at-the-end"),
        pytest.param("a" * 129, id="129-bytes"),
        pytest.param("mаra", id="cyrillic-a"),  # noqa: RUF001  # the look-alike is the test
        pytest.param("ｍara", id="full-width-m"),  # noqa: RUF001  # the look-alike is the test
        pytest.param("mara１", id="full-width-digit"),  # noqa: RUF001  # the look-alike is the test
        pytest.param(" mara", id="space-before"),
        pytest.param("mara..lu", id="two-dots"),
        pytest.param("../mara", id="path"),
        pytest.param("-mara", id="hyphen-first"),
        pytest.param("mara\u200b", id="zero-width-space"),
    ],
)
def test_an_id_outside_the_grammar_is_refused_and_never_mended(
    shared_client: Client, text: str
) -> None:
    failure = refused(shared_client, subject={"id": text}, recording_id=text)

    assert (failure.code, failure.reason) == ("INVALID_ARGUMENT", "INVALID_REQUEST")
    assert failure.domain == "authz_service.api.v1"
    assert failure.fields == ("subject.id", "recording_id")
    assert not text or text not in failure.message


def test_the_longest_id_is_an_id(shared_client: Client) -> None:
    assert shared_client.outcome("a" * 128) == ("DENY", "SUBJECT_UNKNOWN")


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        pytest.param({"action": UNKNOWN_ENUM}, "action", id="unknown-action"),
        pytest.param({"action": 0}, "action", id="no-action"),
        pytest.param({"action": -1}, "action", id="negative-action"),
        pytest.param({"tenant_id": "a b"}, "tenant_id", id="tenant"),
        pytest.param({"context": {}}, "context.purpose_of_use", id="no-purpose"),
        pytest.param(
            {"context": {"purpose_of_use": UNKNOWN_ENUM}},
            "context.purpose_of_use",
            id="unknown-purpose",
        ),
        pytest.param(
            {"context": {"purpose_of_use": "PATRQT", "assurance": UNKNOWN_ENUM}},
            "context.assurance",
            id="unknown-assurance",
        ),
        pytest.param(
            {"context": {"purpose_of_use": "PATRQT", "matter_id": "m "}},
            "context.matter_id",
            id="matter",
        ),
    ],
)
def test_the_field_that_is_wrong_is_named(
    shared_client: Client, fields: dict[str, Any], named: str
) -> None:
    assert refused(shared_client, **fields).fields == (named,)


def test_a_question_without_context_is_refused(shared_client: Client) -> None:
    request = question("mara", "rec-mara")
    request.ClearField("context")

    failure = failing(shared_client.access.CheckAccess, request, timeout=10)

    assert (failure.code, failure.fields) == ("INVALID_ARGUMENT", ("context.purpose_of_use",))


@pytest.mark.parametrize(
    ("seconds", "nanos"),
    [
        pytest.param(253402300800, 0, id="year-10000"),
        pytest.param(-62135596801, 0, id="year-0"),
        pytest.param(2**62, 0, id="beyond-all-years"),
        pytest.param(0, 1_000_000_000, id="a-second-of-nanoseconds"),
        pytest.param(0, -1, id="negative-nanoseconds"),
    ],
)
def test_an_instant_that_does_not_exist_is_refused(
    shared_client: Client, seconds: int, nanos: int
) -> None:
    request = question("mara", "rec-mara")
    request.context.authenticated_at.seconds = seconds
    request.context.authenticated_at.nanos = nanos

    failure = failing(shared_client.access.CheckAccess, request, timeout=10)

    assert (failure.code, failure.fields) == ("INVALID_ARGUMENT", ("context.authenticated_at",))


def test_everything_that_is_wrong_is_named_at_once(shared_client: Client) -> None:
    request = question(
        "", "r\x00", action=UNKNOWN_ENUM, tenant_id="-", context={"assurance": UNKNOWN_ENUM}
    )
    request.context.matter_id = "m m"
    request.context.authenticated_at.nanos = -1

    failure = failing(shared_client.access.CheckAccess, request, timeout=10)

    assert failure.fields == (
        "subject.id",
        "recording_id",
        "tenant_id",
        "context.matter_id",
        "action",
        "context.purpose_of_use",
        "context.assurance",
        "context.authenticated_at",
    )


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"\x0a\x04\x0a\x02\xff\xfe\x12\x08rec-mara", id="not-utf-8"),
        pytest.param(b"\x0a\xff", id="cut-off"),
        pytest.param(b"\xff" * 40, id="noise"),
    ],
)
@pytest.mark.parametrize("method", [CHECK, BATCH])
def test_bytes_that_are_no_message_are_refused_as_malformed(
    shared_client: Client, method: str, content: bytes
) -> None:
    failure = sent_raw(shared_client, method, content)

    assert (failure.code, failure.reason) == ("INVALID_ARGUMENT", "INVALID_REQUEST")
    assert "Error" not in failure.message
    assert failure.request_id


def test_a_message_over_the_limit_is_refused(shared_client: Client) -> None:
    failure = sent_raw(shared_client, CHECK, b"\x12" + b"\x00" * (5 << 20))

    assert failure.code == "RESOURCE_EXHAUSTED"
    assert shared_client.outcome() == ALLOWED


@pytest.mark.parametrize("count", [0, 1001])
def test_a_batch_of_none_or_of_1001_is_refused(shared_client: Client, count: int) -> None:
    request = pb.BatchCheckAccessRequest(checks=[question("mara", "rec-mara")] * count)

    failure = failing(shared_client.access.BatchCheckAccess, request, timeout=10)

    assert (failure.code, failure.reason) == ("INVALID_ARGUMENT", "INVALID_REQUEST")
    assert failure.fields == ("checks",)


def test_a_batch_of_1000_is_answered_in_order(shared_client: Client) -> None:
    checks = [question("mara", ("rec-mara", "rec-ines")[n % 2]) for n in range(1000)]
    request = pb.BatchCheckAccessRequest(checks=checks)

    response = shared_client.access.BatchCheckAccess(request, timeout=20)

    answers = [result.answer for result in response.results]
    assert [answer.recording_id for answer in answers] == [c.recording_id for c in checks]
    assert {outcome_of(answer) for answer in answers[::2]} == {ALLOWED}
    assert {outcome_of(answer) for answer in answers[1::2]} == {("DENY", "NO_RULE_MATCHED")}
    assert len({answer.decision_id for answer in answers}) == 1000


def test_a_malformed_item_is_denied_beside_those_that_are_sound(shared_client: Client) -> None:
    broken = question("mara", "r\x00", action=UNKNOWN_ENUM)
    request = pb.BatchCheckAccessRequest(checks=[question("mara", "rec-mara"), broken])

    response = shared_client.access.BatchCheckAccess(request, timeout=10)

    sound, malformed = (result.answer for result in response.results)
    assert outcome_of(sound) == ALLOWED
    assert outcome_of(malformed) == ("DENY", "INVALID_REQUEST")
    assert (malformed.recording_id, malformed.action) == ("r\x00", UNKNOWN_ENUM)


def test_unknown_semantics_are_refused(shared_client: Client) -> None:
    request = pb.BatchCheckAccessRequest(checks=[question("mara", "rec-mara")])
    request.semantics = UNKNOWN_ENUM  # type: ignore[assignment]  # a number that no enum has

    failure = failing(shared_client.access.BatchCheckAccess, request, timeout=10)

    assert failure.fields == ("semantics",)


def test_a_revision_that_the_registry_has_not_reached_is_a_precondition(
    shared_client: Client,
) -> None:
    here = shared_client.check().facts_revision

    failure = refused(shared_client, at_least_facts_revision=here + 1)

    assert (failure.code, failure.reason) == ("FAILED_PRECONDITION", "REVISION_AHEAD")
    assert shared_client.outcome(at_least_facts_revision=here) == ALLOWED


def test_an_rpc_that_does_not_exist_is_unimplemented(shared_client: Client) -> None:
    assert sent_raw(shared_client, CHECK + "s", b"").code == "UNIMPLEMENTED"

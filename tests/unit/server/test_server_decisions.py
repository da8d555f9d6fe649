"""The decision log on the wire: questions read strictly, records shown whole."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from authz_service.api.v1 import decision_log_pb2 as pb
from authz_service.api.v1 import vocabulary_pb2 as words
from authz_service.identity.caller_rules import CallerRule
from authz_service.operations.decision_log import DecisionKey, DecisionsQuestion, StoredRecord
from authz_service.operations.read_decisions import DecisionsPage
from authz_service.operations.records import CallContext
from authz_service.pdp.errors import InvalidRequestError
from authz_service.pdp.model import Effect, Reason
from authz_service.server.call import Call
from authz_service.server.decision_log_servicer import DecisionLogServicer
from authz_service.server.decision_messages import decision_id_of, fill_record, question_of
from tests.wire import fill

NOON = datetime(2020, 6, 9, 12, 0, 0, 123456, tzinfo=UTC)
DECISION = "0190163d-8694-739b-aea5-966c26f8ad91"
HASH = "ab" * 32
READER = CallerRule("loopback", None, None, None, None, None, frozenset({"read_log"}))


def asked(**fields: object) -> pb.ListDecisionsRequest:
    """Return a question."""
    message = pb.ListDecisionsRequest()
    fill(message, fields)
    return message


def refused(message: pb.ListDecisionsRequest) -> list[str]:
    """Return the fields that are named as malformed."""
    with pytest.raises(InvalidRequestError) as error:
        question_of(message)
    return [violation.field for violation in error.value.violations]


def test_a_question_is_read_field_by_field() -> None:
    message = asked(
        subject_id="ana",
        recording_id="ra1",
        patient_id="bob",
        caller="spiffe://example.org/list",
        effect="DENY",
        reason="SEALED",
        kind="PRESENTED",
        evaluated_from="2020-06-09T12:00:00.123456789Z",
        evaluated_to="2020-06-10T00:00:00Z",
    )

    assert question_of(message) == DecisionsQuestion(
        "ana",
        "ra1",
        "bob",
        "spiffe://example.org/list",
        Effect.DENY,
        Reason.SEALED,
        "PRESENTED",
        NOON,
        datetime(2020, 6, 10, tzinfo=UTC),
    )


def test_an_empty_question_asks_for_everything() -> None:
    assert question_of(asked()) == DecisionsQuestion()


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"subject_id": "a b"}, ["subject_id"]),
        ({"recording_id": "r-"}, ["recording_id"]),
        ({"patient_id": "x" * 129}, ["patient_id"]),
        ({"caller": "jo"}, ["caller"]),
        ({"caller": "spiffe://example.org/" + "x" * 2048}, ["caller"]),
        ({"effect": 99}, ["effect"]),
        ({"reason": 99}, ["reason"]),
        ({"reason": "NOT_AVAILABLE"}, ["reason"]),
        ({"reason": "ALLOWED"}, ["reason"]),
        ({"kind": 99}, ["kind"]),
        ({"page_size": 501}, ["page_size"]),
        ({"page_size": -1}, ["page_size"]),
        (
            {"evaluated_from": "2020-06-09T12:00:00Z", "evaluated_to": "2020-06-09T12:00:00Z"},
            ["evaluated_to"],
        ),
        ({"subject_id": " ", "caller": " ", "kind": 7}, ["subject_id", "caller", "kind"]),
    ],
)
def test_every_malformed_field_is_named(fields: dict[str, object], named: list[str]) -> None:
    assert refused(asked(**fields)) == named


def test_an_instant_outside_of_time_is_named() -> None:
    message = asked()
    message.evaluated_from.seconds = 1 << 50
    message.evaluated_to.nanos = -1

    assert refused(message) == ["evaluated_from", "evaluated_to"]


@pytest.mark.parametrize("text", ["", "d1", DECISION.upper(), DECISION + "\n"])
def test_an_id_is_a_uuid_as_answers_carry_it(text: str) -> None:
    with pytest.raises(InvalidRequestError, match="decision_id"):
        decision_id_of(pb.GetDecisionRequest(decision_id=text))


def shown(plain: Mapping[str, object]) -> pb.DecisionRecord:
    """Return a record as its reader is given it."""
    content = json.dumps(plain).encode()
    stored = StoredRecord(DecisionKey(NOON, DECISION), content, "j1", 7, HASH)
    message = pb.DecisionRecord()
    fill_record(message, stored)
    assert message.json == content.decode()
    return message


def test_a_decision_is_shown_with_its_own_bytes_and_its_place() -> None:
    record = {
        "kind": "DECISION",
        "decision_id": DECISION,
        "evaluated_at": "2020-06-09T12:00:00.123456Z",
        "request_id": "r1",
        "trace_id": None,
        "caller": "loopback",
        "callers_revision": "c1",
        "subject_id": "ana",
        "tenant_id": None,
        "recording_id": "ra1",
        "patient_id": "ana",
        "action": "VIEW",
        "effect": "DENY",
        "reason": "STEP_UP_REQUIRED",
        "rule": None,
        "obligations": [{"id": "step-up", "parameters": {"assurance": "MULTI_FACTOR"}}],
        "policy_revision": "p1",
        "facts_revision": 12,
    }

    message = shown(record)

    expected = pb.DecisionRecord(
        decision_id=DECISION,
        kind=pb.RECORD_KIND_DECISION,
        caller="loopback",
        callers_revision="c1",
        request_id="r1",
        subject_id="ana",
        recording_id="ra1",
        patient_id="ana",
        action=words.ACTION_VIEW,
        effect=words.EFFECT_DENY,
        reason=words.REASON_STEP_UP_REQUIRED,
        policy_revision="p1",
        facts_revision=12,
        json=message.json,
        journal_id="j1",
        journal_sequence=7,
        journal_line_hash=HASH,
    )
    expected.evaluated_at.FromJsonString("2020-06-09T12:00:00.123456Z")
    expected.obligations.add(id="step-up", parameters={"assurance": "MULTI_FACTOR"})
    assert message == expected


def test_a_page_of_a_list_has_neither_effect_nor_recording() -> None:
    message = shown({"kind": "LISTED", "decision_id": DECISION, "action": "LIST", "rows": 3})

    assert message.kind == pb.RECORD_KIND_LISTED
    assert message.effect == words.EFFECT_UNSPECIFIED
    assert (message.recording_id, message.action) == ("", words.ACTION_LIST)


def test_a_word_of_a_newer_program_is_left_to_the_json() -> None:
    """A reason that is not known here must not be taken for another one, nor hide the record."""
    message = shown({"kind": "DECISION", "decision_id": DECISION, "reason": "MOON_TOO_FULL"})

    assert message.reason == words.REASON_UNSPECIFIED
    assert "MOON_TOO_FULL" in message.json


class Filled:
    """Answers every question with a page of so many records."""

    def __init__(self, count: int) -> None:
        stored = StoredRecord(DecisionKey(NOON, DECISION), b"{}", "j1", 7, HASH)
        self._page = DecisionsPage([stored] * count, "")

    async def page(self, *_: object, **__: object) -> DecisionsPage:
        return self._page


async def test_checks_have_their_turn_while_a_long_page_is_filled() -> None:
    """An auditor's page of 500 takes ten milliseconds: no check waits for all of it."""
    filled: Any = Filled(500)
    servicer = DecisionLogServicer(filled)
    call = Call(CallContext("loopback", "r1"), READER, 0)
    turns = 0

    async def take_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    others = asyncio.create_task(take_turns())
    response = await servicer.ListDecisions(asked(), call)
    others.cancel()

    assert len(response.decisions) == 500
    assert turns >= 20

"""Messages to values: defaults fill what is left out, and an instant survives both ways."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from authz_service.api.v1 import entities_pb2 as entities
from authz_service.api.v1 import recording_access_pb2 as pb
from authz_service.api.v1 import vocabulary_pb2 as words
from authz_service.identity.caller_rules import CallerRule
from authz_service.pdp.errors import CallerNotAllowedError, InvalidRequestError
from authz_service.pdp.model import AccessRequest, Action, Assurance, PurposeOfUse
from authz_service.server.convert import (
    check_instants,
    filled,
    instant_from_proto,
    instant_to_proto,
    request_from_proto,
    require_actor,
)
from tests.wire import fill

NOON = datetime(2020, 6, 9, 12, 0, 0, 123456, tzinfo=UTC)
TRUSTED = CallerRule("loopback", None, None, None, None, None, frozenset({"assert_assurance"}))
PLAIN = CallerRule("loopback", None, None, None, None, None, frozenset())
BOUND = CallerRule("loopback", None, frozenset({"t"}), None, None, None, frozenset())


def message(**fields: object) -> pb.CheckAccessRequest:
    """Return a question with every field set, some of them replaced."""
    made = pb.CheckAccessRequest()
    plain: dict[str, object] = {
        "subject": {"id": "ana"},
        "recording_id": "ra1",
        "action": "VIEW",
        "tenant_id": "t",
        "context": {
            "purpose_of_use": "TREAT",
            "assurance": "MULTI_FACTOR",
            "authenticated_at": "2020-06-09T12:00:00.123456789Z",
            "matter_id": "m1",
        },
    }
    fill(made, {**plain, **fields})
    return made


def test_a_question_is_read_field_by_field() -> None:
    assert request_from_proto(message(), TRUSTED) == AccessRequest(
        "ana",
        "ra1",
        Action.VIEW,
        PurposeOfUse.TREAT,
        "t",
        Assurance.MULTI_FACTOR,
        NOON,
        "m1",
    )


def test_what_is_not_stated_is_none_and_never_an_empty_text() -> None:
    asked = message(tenant_id="", context={"purpose_of_use": "TREAT"})

    read = request_from_proto(asked, TRUSTED)

    assert (read.tenant_id, read.matter_id) == (None, None)
    assert (read.assurance, read.authenticated_at) == (None, None)


def test_assurance_of_a_caller_that_is_not_trusted_with_it_is_not_read() -> None:
    read = request_from_proto(message(), PLAIN)

    assert (read.assurance, read.authenticated_at) == (None, None)


def test_a_malformed_question_is_told_so_before_who_may_ask() -> None:
    with pytest.raises(InvalidRequestError):
        request_from_proto(message(tenant_id="other", recording_id=""), BOUND)
    with pytest.raises(CallerNotAllowedError):
        request_from_proto(message(tenant_id="other"), BOUND)


def test_defaults_fill_whole_fields_and_outrank_nothing() -> None:
    item = pb.CheckAccessRequest()
    fill(item, {"subject": {"id": "bob"}, "context": {"purpose_of_use": "PATRQT"}})

    merged = filled(item, message(at_least_facts_revision=7))

    assert merged.subject.id == "bob"
    assert merged.recording_id == "ra1"
    assert merged.context == item.context
    assert (merged.action, merged.at_least_facts_revision) == (words.ACTION_VIEW, 7)
    assert item.recording_id == ""


@pytest.mark.parametrize(
    "instant",
    [
        NOON,
        datetime(1970, 1, 1, tzinfo=UTC),
        datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
        datetime(1, 1, 1, tzinfo=UTC),
        datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
    ],
)
def test_an_instant_survives_the_way_there_and_back(instant: datetime) -> None:
    assert instant_from_proto(instant_to_proto(instant), "at") == instant


def test_the_instant_that_does_not_exist_is_found_wherever_it_is() -> None:
    fact = entities.Fact()
    fill(fact, {"subject": {"roles": [{"role": "a"}, {"role": "b"}]}})
    check_instants(fact, "facts[3]")
    fact.subject.roles[1].valid_from.nanos = -1

    with pytest.raises(InvalidRequestError) as refused:
        check_instants(fact, "facts[3]")

    assert refused.value.violations[0].field == "facts[3].subject.roles[1].valid_from"


@pytest.mark.parametrize("actor", ["", "a b", "é"])
def test_an_actor_is_an_id(actor: str) -> None:
    with pytest.raises(InvalidRequestError):
        require_actor(actor)

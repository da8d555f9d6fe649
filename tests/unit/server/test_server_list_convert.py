"""ListRecordings out of its message: what is left out has a meaning, what is malformed a name."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from authz_service.api.v1 import recording_access_pb2 as pb
from authz_service.identity.caller_rules import CallerRule
from authz_service.operations.lists import ListRequest
from authz_service.pdp.errors import CallerNotAllowedError, InvalidRequestError
from authz_service.pdp.model import Action, Assurance, PurposeOfUse
from authz_service.server.list_convert import list_request_from_proto
from tests.wire import fill

NOON = datetime(2020, 6, 9, 12, 0, 0, 123456, tzinfo=UTC)
TRUSTED = CallerRule("loopback", None, None, None, None, None, frozenset({"assert_assurance"}))
PLAIN = CallerRule("loopback", None, None, None, None, None, frozenset())
BOUND = CallerRule("loopback", None, frozenset({"t"}), None, None, None, frozenset())
NO_LISTS = CallerRule("loopback", None, None, frozenset({"VIEW"}), None, None, frozenset())


def message(**fields: object) -> pb.ListRecordingsRequest:
    """Return a question with every field set, some of them replaced."""
    made = pb.ListRecordingsRequest()
    plain: dict[str, object] = {
        "subject": {"id": "ana"},
        "action": "VIEW",
        "tenant_id": "t",
        "context": {
            "purpose_of_use": "TREAT",
            "assurance": "MULTI_FACTOR",
            "authenticated_at": "2020-06-09T12:00:00.123456789Z",
            "matter_id": "m1",
        },
        "patient_id": "bea",
        "created_from": "2020-06-01T00:00:00Z",
        "created_to": "2020-06-02T00:00:00Z",
        "page_size": 7,
        "page_token": "where",
    }
    fill(made, {**plain, **fields})
    return made


def test_a_list_is_read_field_by_field() -> None:
    assert list_request_from_proto(message(), TRUSTED) == ListRequest(
        "ana",
        Action.VIEW,
        PurposeOfUse.TREAT,
        "t",
        Assurance.MULTI_FACTOR,
        NOON,
        "m1",
        "bea",
        datetime(2020, 6, 1, tzinfo=UTC),
        datetime(2020, 6, 2, tzinfo=UTC),
        7,
        "where",
    )


def test_what_is_left_out_is_the_plain_list() -> None:
    """Fifty rows of what LIST permits, of anybody's, at any time."""
    asked = pb.ListRecordingsRequest()
    fill(asked, {"subject": {"id": "ana"}, "context": {"purpose_of_use": "PATRQT"}})

    assert list_request_from_proto(asked, PLAIN) == ListRequest(
        "ana", Action.LIST, PurposeOfUse.PATRQT, page_size=50
    )


def test_the_word_on_assurance_counts_from_those_who_may_give_it() -> None:
    asked = list_request_from_proto(message(), PLAIN)

    assert (asked.assurance, asked.authenticated_at) == (None, None)


@pytest.mark.parametrize(
    ("fields", "rule", "wrong"),
    [
        pytest.param({"subject": {}}, PLAIN, ["subject.id"], id="no-subject"),
        pytest.param({"subject": {"id": "a b"}}, PLAIN, ["subject.id"], id="subject"),
        pytest.param({"tenant_id": "t "}, PLAIN, ["tenant_id"], id="tenant"),
        pytest.param({"tenant_id": ""}, BOUND, ["tenant_id"], id="no-tenant-of-a-bound-caller"),
        pytest.param({"patient_id": "*"}, PLAIN, ["patient_id"], id="patient"),
        pytest.param({"action": 99}, PLAIN, ["action"], id="action"),
        pytest.param({"page_size": -1}, PLAIN, ["page_size"], id="page-of-less-than-none"),
        pytest.param({"page_size": 501}, PLAIN, ["page_size"], id="page-too-long"),
        pytest.param(
            {"created_to": "2020-06-01T00:00:00Z"}, PLAIN, ["created_to"], id="window-of-no-length"
        ),
        pytest.param({"context": {}}, PLAIN, ["context.purpose_of_use"], id="no-purpose"),
        pytest.param(
            {"context": {"purpose_of_use": 99, "assurance": 99, "matter_id": "-"}},
            PLAIN,
            ["context.matter_id", "context.purpose_of_use", "context.assurance"],
            id="whole-context",
        ),
    ],
)
def test_every_malformed_field_is_named(
    fields: dict[str, object], rule: CallerRule, wrong: list[str]
) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        list_request_from_proto(message(**fields), rule)

    assert [violation.field for violation in refused.value.violations] == wrong


def test_instants_that_do_not_exist_are_named() -> None:
    asked = message()
    for stamp in (asked.created_from, asked.created_to, asked.context.authenticated_at):
        stamp.nanos = -1

    with pytest.raises(InvalidRequestError) as refused:
        list_request_from_proto(asked, PLAIN)

    assert [violation.field for violation in refused.value.violations] == [
        "context.authenticated_at",
        "created_from",
        "created_to",
    ]


def test_a_caller_that_may_not_ask_about_lists_gets_none() -> None:
    """An action that is left out is LIST, for the callers file as well."""
    with pytest.raises(CallerNotAllowedError, match="LIST"):
        list_request_from_proto(message(action=0), NO_LISTS)

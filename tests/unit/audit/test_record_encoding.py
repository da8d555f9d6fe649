"""The bytes of a record are fixed: auditors keep them for decades."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz_service.audit.encoding import line_encoder, records_in
from authz_service.operations.lists import ListRequest
from authz_service.operations.records import (
    CallContext,
    EmergencyRecord,
    EventRecord,
    ListRecord,
    RecordKind,
    SubjectsRecord,
)
from authz_service.operations.subjects import SubjectsRequest
from authz_service.pdp.emergency import OpeningRequest
from authz_service.pdp.entity_words import EmergencyGround
from authz_service.pdp.model import (
    STEP_UP,
    Action,
    Assurance,
    Condition,
    Decision,
    Effect,
    PurposeOfUse,
    Reason,
    Relation,
    Situation,
)
from tests.unit.audit.audit_faults import NOON, decision_record

GOLDEN_DECISION = (
    b'{"format":1,"kind":"DECISION","decision_id":"decision-1",'
    b'"evaluated_at":"2020-06-09T12:00:00.250000Z","request_id":"request-1","trace_id":null,'
    b'"caller":"loopback","callers_revision":"'
    + b"cd"
    * 32
    + b'","subject_id":"ana","tenant_id":"uk-nhs","recording_id":"ra1",'
    b'"patient_id":"ana","action":"VIEW","effect":"ALLOW","reason":"RULE_ALLOWED",'
    b'"rule":"own-recording","obligations":[],"situation":{"roles":["patient"],'
    b'"relations":["owner"],"purpose":"PATRQT","conditions":["mfa","recent_authentication"]},'
    b'"evidence":{"owner":[{"kind":"recording","id":"ra1","revision":7},'
    b'{"kind":"consultation","id":"ca1","revision":5}]},"policy_revision":"' + b"ab" * 32 + b'",'
    b'"facts_revision":9,"elapsed_microseconds":412,"software":"0.1.0"}'
)

GOLDEN_PAGE = (
    b'{"format":1,"kind":"LISTED","decision_id":"page-1",'
    b'"evaluated_at":"2020-06-09T12:00:00.250000Z","request_id":"request-1","trace_id":"ff",'
    b'"caller":"loopback","callers_revision":"cd","subject_id":"finch","tenant_id":"uk-nhs","patient_id":"ana",'
    b'"action":"LIST","situation":{"roles":null,"relations":null,"purpose":"TREAT",'
    b'"conditions":null},"created_from":"2020-06-09T12:00:00.250000Z","created_to":null,'
    b'"page_size":50,"rows":2,"considered":7,"is_last":true,"policy_revision":"ab",'
    b'"facts_revision":9,"elapsed_microseconds":412,"software":"0.1.0"}'
)
PAGE = ListRecord(
    "page-1",
    NOON,
    CallContext("loopback", "request-1", "ff", "cd"),
    ListRequest(
        "finch",
        Action.LIST,
        PurposeOfUse.TREAT,
        "uk-nhs",
        Assurance.MULTI_FACTOR,
        patient_id="ana",
        created_from=NOON,
        page_token="where-it-came-from",  # noqa: S106  # no password
    ),
    2,
    7,
    True,  # noqa: FBT003  # a field of a tuple
    "ab",
    9,
    412,
)


OPENING = EmergencyRecord(
    "decision-1",
    NOON,
    CallContext("loopback", "request-1", None, "cd"),
    "desk-1",
    OpeningRequest(
        "dr-1",
        "ana",
        PurposeOfUse.BTG,
        EmergencyGround.VITAL_INTEREST,
        "unconscious",
        "uk-nhs",
        Assurance.MULTI_FACTOR,
        NOON,
    ),
    Decision(
        Effect.ALLOW,
        Reason.RULE_ALLOWED,
        "break-glass",
        (),
        "ana",
        Situation(
            frozenset({"emergency_clinician"}),
            frozenset({Relation.EMERGENCY}),
            Action.VIEW,
            PurposeOfUse.BTG,
            frozenset({Condition.MFA, Condition.RECENT_AUTHENTICATION}),
        ),
    ),
    "em-1",
    NOON,
    "ab",
    9,
    412,
)
GOLDEN_OPENING = (
    b'{"format":1,"kind":"EMERGENCY","decision_id":"decision-1",'
    b'"evaluated_at":"2020-06-09T12:00:00.250000Z","request_id":"request-1","trace_id":null,'
    b'"caller":"loopback","callers_revision":"cd","actor":"desk-1","actor_verified":false,'
    b'"subject_id":"dr-1","tenant_id":"uk-nhs","patient_id":"ana","effect":"ALLOW",'
    b'"reason":"RULE_ALLOWED","rule":"break-glass","obligations":[],'
    b'"situation":{"roles":["emergency_clinician"],"relations":["emergency"],"purpose":"BTG",'
    b'"conditions":["mfa","recent_authentication"]},"ground":"VITAL_INTEREST",'
    b'"reason_digest":"' + sha256(b"unconscious").hexdigest().encode() + b'",'
    b'"grant_id":"em-1","valid_to":"2020-06-09T12:00:00.250000Z","policy_revision":"ab",'
    b'"facts_revision":9,"elapsed_microseconds":412,"software":"0.1.0"}'
)


def test_a_decision_has_these_bytes() -> None:
    assert line_encoder("0.1.0")([decision_record(1)]) == GOLDEN_DECISION


def test_a_row_of_a_list_is_a_decision_of_another_kind() -> None:
    row = decision_record(1)._replace(kind=RecordKind.PRESENTED)

    expected = GOLDEN_DECISION.replace(b'"DECISION"', b'"PRESENTED"')
    assert line_encoder("0.1.0")([row]) == expected


def test_a_page_of_a_list_has_these_bytes() -> None:
    """Without the token that it came by: that is the caller's, and says nothing more."""
    assert line_encoder("0.1.0")([PAGE]) == GOLDEN_PAGE


def test_an_opening_has_these_bytes() -> None:
    """The reason that was typed is a digest, and nothing else of it."""
    assert line_encoder("0.1.0")([OPENING]) == GOLDEN_OPENING
    assert b"unconscious" not in GOLDEN_OPENING


def test_a_refused_opening_names_no_grant_and_what_no_policy_saw() -> None:
    refused = OPENING._replace(
        decision=Decision(Effect.DENY, Reason.PATIENT_UNKNOWN), grant_id=None, valid_to=None
    )

    (read,) = records_in(line_encoder("0.1.0")([refused]))

    assert (read["grant_id"], read["valid_to"], read["patient_id"]) == (None, None, "ana")
    assert read["situation"] == {
        "roles": None, "relations": None, "purpose": "BTG", "conditions": None,
    }  # fmt: skip


def test_a_page_and_its_rows_are_one_line() -> None:
    row = decision_record(1)._replace(kind=RecordKind.PRESENTED)

    read = records_in(line_encoder("0.1.0")([PAGE, row]))

    assert [each["kind"] for each in read] == ["LISTED", "PRESENTED"]


def test_a_situation_remembered_is_written_the_same() -> None:
    encoded = line_encoder("0.1.0")

    assert encoded([decision_record(1)]) == encoded([decision_record(1)]) == GOLDEN_DECISION


def test_a_malformed_item_is_recorded_without_a_question() -> None:
    record = decision_record(1)._replace(
        request=None, decision=Decision(Effect.DENY, Reason.INVALID_REQUEST)
    )

    (read,) = records_in(line_encoder("0.1.0")([record]))

    assert (read["subject_id"], read["recording_id"], read["action"]) == (None, None, None)
    assert (read["situation"], read["evidence"], read["patient_id"]) == (None, {}, None)
    assert (read["effect"], read["reason"]) == ("DENY", "INVALID_REQUEST")


def test_what_bound_every_policy_keeps_the_purpose_and_owns_to_the_rest() -> None:
    record = decision_record(1)._replace(decision=Decision(Effect.DENY, Reason.CONTAINED))

    (read,) = records_in(line_encoder("0.1.0")([record]))

    assert read["situation"] == {
        "roles": None,
        "relations": None,
        "purpose": "PATRQT",
        "conditions": None,
    }


def test_an_obligation_is_written_with_its_parameters() -> None:
    record = decision_record(1)
    denied = record.decision._replace(
        effect=Effect.DENY, reason=Reason.STEP_UP_REQUIRED, obligations=(STEP_UP,)
    )

    (read,) = records_in(line_encoder("0.1.0")([record._replace(decision=denied)]))

    assert read["obligations"] == [
        {"id": "step-up", "parameters": {"assurance": "MULTI_FACTOR", "max_age_seconds": "300"}}
    ]


def test_an_event_has_these_bytes() -> None:
    event = EventRecord(
        "facts_written",
        NOON,
        CallContext("loopback", "request-1", None, "cd"),
        "eve",
        (("written", 2), ("ids", ("a", "b")), ("digest", "ff")),
    )

    assert line_encoder("0.1.0")([event]) == (
        b'{"format":1,"kind":"FACTS_WRITTEN","at":"2020-06-09T12:00:00.250000Z",'
        b'"request_id":"request-1","trace_id":null,"caller":"loopback","callers_revision":"cd","actor":"eve",'
        b'"actor_verified":false,"details":{"written":2,"ids":["a","b"],"digest":"ff"},"software":"0.1.0"}'
    )


def test_several_records_are_one_object_and_come_back_in_order() -> None:
    line = line_encoder("0.1.0")([decision_record(1), decision_record(2)])

    assert line.startswith(b'{"format":1,"kind":"BATCH","records":[' + GOLDEN_DECISION + b",")
    assert [read["decision_id"] for read in records_in(line)] == ["decision-1", "decision-2"]


def test_an_append_without_a_record_is_refused() -> None:
    with pytest.raises(ValueError, match="an append needs a record"):
        line_encoder("0.1.0")([])


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_no_text_breaks_out_of_its_line(text: str) -> None:
    record = decision_record(1)._replace(context=CallContext(text, text))

    line = line_encoder("0.1.0")([record])

    assert b"\n" not in line
    assert records_in(line)[0]["caller"] == text


@pytest.mark.parametrize("line", [b"", b"[]", b"{", b"7"])
def test_what_is_no_object_is_no_line(line: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # orjson words its own
        records_in(line)


def test_an_explained_answer_is_a_decision_that_says_what_it_is() -> None:
    """The same fields as a decision's, another kind, and the instant that was asked about."""
    record = decision_record(1)._replace(kind=RecordKind.EXPLAINED, as_of=NOON)

    written = line_encoder("0.1.0")([record])

    as_decision = GOLDEN_DECISION.replace(b'"kind":"DECISION"', b'"kind":"EXPLAINED"')
    as_of = b',"as_of":"2020-06-09T12:00:00.250000Z"}'
    assert written == as_decision.removesuffix(b"}") + as_of


def test_an_explained_page_names_its_recordings() -> None:
    """Of a page that nobody was presented, the rows are in the record of the page itself."""
    written = line_encoder("0.1.0")([PAGE._replace(explained=("rb", "ra"))])

    expected = GOLDEN_PAGE.replace(b'"LISTED"', b'"EXPLAINED"').replace(
        b'"rows":2,', b'"rows":2,"recording_ids":["rb","ra"],'
    )
    assert written == expected


def test_a_page_of_those_who_may_names_them() -> None:
    """Whom it named is what an auditor asks for; it has no subject, and no effect."""
    request = SubjectsRequest("ra1", Action.VIEW, PurposeOfUse.TREAT, "uk-nhs", page_size=2)
    record = SubjectsRecord(
        "page-1", NOON, PAGE.context, request, ("ana", "finch"), 7, is_last=False,
        policy_revision="ab", facts_revision=9, elapsed_microseconds=412,
    )  # fmt: skip

    assert line_encoder("0.1.0")([record]) == (
        b'{"format":1,"kind":"EXPLAINED","decision_id":"page-1",'
        b'"evaluated_at":"2020-06-09T12:00:00.250000Z","request_id":"request-1","trace_id":"ff",'
        b'"caller":"loopback","callers_revision":"cd","tenant_id":"uk-nhs","recording_id":"ra1",'
        b'"action":"VIEW","situation":{"roles":null,"relations":null,"purpose":"TREAT",'
        b'"conditions":null},"page_size":2,"rows":2,"subject_ids":["ana","finch"],"considered":7,'
        b'"is_last":false,"policy_revision":"ab","facts_revision":9,"elapsed_microseconds":412,'
        b'"software":"0.1.0"}'
    )

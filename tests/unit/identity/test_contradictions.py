"""Rows that are well-formed and contradict themselves are refused: what lies idle comes to life."""

from __future__ import annotations

import pytest

from authz_service.identity import contradictions
from tests.unit.identity.caller_files import EVERY_RPC, gateway, problems_of

NOTHING = {"actions": "", "purposes": ""}


@pytest.mark.parametrize(
    ("row", "message", "hint"),
    [
        pytest.param(gateway(""), "may call nothing", "UNAUTHENTICATED", id="no-rpc"),
        pytest.param(gateway(tenants=""), "CheckAccess needs tenants", "name", id="no-tenants"),
        pytest.param(gateway(actions=""), "CheckAccess needs actions", "name", id="no-actions"),
        pytest.param(gateway(purposes=""), "needs purposes", "name", id="no-purposes"),
        pytest.param(
            gateway("GetActivePolicy", purposes=""), "there are actions, and no CheckAccess",
            "unseen", id="idle-actions",
        ),
        pytest.param(
            gateway("GetActivePolicy", actions="", purposes="*"), "there are purposes", "unseen",
            id="idle-purposes",
        ),
        pytest.param(
            gateway(writes="grant as desk"), "there are kinds of facts, and no WriteFacts",
            "unseen", id="idle-kinds",
        ),
        pytest.param(
            gateway("WriteFacts", **NOTHING), "WriteFacts needs kinds of facts", "remove Write",
            id="nothing-to-write",
        ),
        pytest.param(
            gateway("DeleteFacts", **NOTHING), "DeleteFacts needs kinds", "name", id="delete"
        ),
        pytest.param(
            gateway("WriteFacts", tenants="", **NOTHING, writes="grant as desk"),
            "WriteFacts needs tenants", "name tenants", id="writes-for-no-tenant",
        ),
        pytest.param(
            gateway("ReadFacts", tenants="", **NOTHING), "needs tenants", "name", id="reads-nobodys"
        ),
        pytest.param(
            gateway("GetActivePolicy", **NOTHING, may="explain"), "there is explain",
            "remove it", id="idle-explain",
        ),
        pytest.param(
            gateway("GetActivePolicy", **NOTHING, may="assert_assurance"), "assert_assurance",
            "remove it", id="idle-assurance",
        ),
        pytest.param(gateway(may="read_log"), "no ListDecisions", "remove it", id="idle-log"),
        pytest.param(gateway(may="resolve"), "no ResolveConflict", "remove it", id="idle-resolve"),
        pytest.param(gateway(may="contain"), "no containment", "remove it", id="idle-contain"),
        pytest.param(gateway(may="review"), "no grant or delegation", "remove", id="idle-review"),
        pytest.param(
            gateway("ListDecisions", **NOTHING), "ListDecisions needs read_log", "add read_log",
            id="log-without-the-power",
        ),
        pytest.param(
            gateway("ResolveConflict", **NOTHING), "ResolveConflict needs resolve", "add resolve",
            id="resolving-without-the-power",
        ),
        pytest.param(
            gateway("WriteFacts", **NOTHING, writes="containment as operations"),
            "needs contain", "add contain", id="containing-without-the-power",
        ),
        pytest.param(
            gateway("ListDecisions", "uk", **NOTHING, may="read_log"), "about every tenant",
            "write *", id="log-of-one-tenant",
        ),
        pytest.param(
            gateway("*", "uk", may="read_log"), "read_log is about every tenant", "write *",
            id="log-of-one-tenant-by-star",
        ),
        pytest.param(
            gateway("ReloadPolicy", "uk", **NOTHING), "ReloadPolicy is about every tenant",
            "write *", id="policy-of-one-tenant",
        ),
    ],
)  # fmt: skip
def test_a_contradiction_is_refused(row: str, message: str, hint: str) -> None:
    (problem,) = problems_of(row)

    assert message in problem.message
    assert hint in problem.hint


@pytest.mark.parametrize(
    "row",
    [
        pytest.param(gateway(), id="asks"),
        pytest.param(gateway("ListRecordings|ReadFacts", may="explain"), id="lists"),
        pytest.param(gateway("GetActivePolicy", "", **NOTHING), id="watches"),
        pytest.param(gateway("ListDecisions", **NOTHING, may="read_log"), id="audits"),
        pytest.param(gateway("ResolveConflict", "uk", **NOTHING, may="resolve"), id="resolves"),
        pytest.param(
            gateway("WriteFacts", **NOTHING, writes="grant as desk", may="review"), id="reviews"
        ),
        pytest.param(
            gateway("WriteFacts", **NOTHING, writes="containment as desk", may="contain"),
            id="contains",
        ),
        pytest.param(gateway("*", **NOTHING), id="everything-but-to-ask"),
        pytest.param(gateway("ReloadPolicy", **NOTHING), id="reloads"),
    ],
)
def test_a_row_that_holds_together_is_sound(row: str) -> None:
    assert problems_of(row) == ()


@pytest.mark.parametrize(
    ("writes", "refused"),
    [
        pytest.param("recording as a|consultation as b", True, id="two"),
        pytest.param("attendance as a|recording as a|consultation as b", True, id="three"),
        pytest.param("attendance as a|recording as a|consultation as a", False, id="one-source"),
        pytest.param("attendance as a|subject as b|grant as c", False, id="one-of-the-three"),
    ],
)
def test_no_caller_is_two_of_the_three_that_have_to_agree(writes: str, *, refused: bool) -> None:
    """Who could write owner, booking and attendance as three systems could show any recording.

    As one source they corroborate nothing, so a service that deletes all three may be one caller.
    """
    problems = problems_of(gateway("WriteFacts|DeleteFacts", **NOTHING, writes=writes))

    assert ["one caller would write" in problem.message for problem in problems] == [True] * refused


def test_what_is_said_of_rpcs_is_said_of_rpcs_that_there_are() -> None:
    named = {
        *contradictions.ASKING,
        *contradictions.CHANGING,
        *contradictions.READING_LOG,
        *contradictions.RESOLVING,
        *contradictions._OF_SOME_TENANT,
        *contradictions._OF_EVERY_TENANT,
    }

    assert named < EVERY_RPC
    assert EVERY_RPC - named == {"GetActivePolicy"}


def test_loopback_may_have_any_row_for_it_is_for_trials() -> None:
    assert problems_of("loopback,,,*,*,recording as a|attendance as b,review\n") == ()

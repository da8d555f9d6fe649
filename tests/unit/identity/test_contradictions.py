"""Rows that are well-formed and doubtful are warned of: what lies idle comes to life some day."""

from __future__ import annotations

import pytest

from authz_service.identity import contradictions
from tests.unit.identity.caller_files import (
    EVERY_RPC,
    GATEWAY,
    LOOPBACK,
    callers_of,
    gateway,
    problems_of,
    warnings_of,
)

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
        pytest.param(
            gateway(may="contain"), "there is contain, and no Contain", "remove it",
            id="idle-contain",
        ),
        pytest.param(
            gateway(may="review"), "there is review, and no WriteFacts", "remove it",
            id="idle-review",
        ),
        pytest.param(
            gateway("WriteFacts", **NOTHING, writes="grant as desk|containment as desk"),
            "containment needs contain", "add contain", id="containments-without-the-power",
        ),
        pytest.param(
            gateway("Contain", **NOTHING), "Contain needs contain", "add contain",
            id="brake-without-the-power",
        ),
        pytest.param(gateway(may="read_log"), "no ListDecisions", "remove it", id="idle-log"),
        pytest.param(
            gateway("ListDecisions", **NOTHING), "ListDecisions needs read_log", "add read_log",
            id="log-without-the-power",
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
        pytest.param(
            gateway().removesuffix("\n"), "ends within a line", "half written?", id="no-last-end"
        ),
    ],
)  # fmt: skip
def test_a_doubtful_row_is_warned_of_and_in_force(row: str, message: str, hint: str) -> None:
    """Who copies a row can start; and nothing keeps the removal of another caller from force."""
    callers = callers_of(LOOPBACK + row)

    (warning,) = callers.warnings
    assert (warning.kind, warning.file, warning.line) == ("doubtful", "callers.csv", 3)
    assert warning.column > 0
    assert message in warning.message
    assert hint in warning.hint
    assert callers.rules.keys() == {"loopback", GATEWAY}


@pytest.mark.parametrize(
    "row",
    [
        pytest.param(gateway(), id="asks"),
        pytest.param(gateway("ListRecordings|ReadFacts", may="explain"), id="lists"),
        pytest.param(gateway("GetActivePolicy", "", **NOTHING), id="watches"),
        pytest.param(gateway("ListDecisions", **NOTHING, may="read_log"), id="audits"),
        pytest.param(gateway("ResolveConflict", "uk", **NOTHING), id="resolves"),
        pytest.param(
            gateway("WriteFacts", **NOTHING, writes="containment as desk", may="contain"),
            id="contains",
        ),
        pytest.param(
            gateway("WriteFacts", **NOTHING, writes="grant as desk", may="review"), id="reviews"
        ),
        pytest.param(gateway(may="omit_token"), id="what-gives-nothing-yet"),
        pytest.param(gateway("*", "uk", may="*"), id="every-power-of-one-tenant"),
        pytest.param(gateway("*", **NOTHING, writes="grant as desk"), id="every-rpc"),
        pytest.param(gateway("*", **NOTHING), id="everything-but-to-ask"),
        pytest.param(gateway("ReloadPolicy", **NOTHING), id="reloads"),
    ],
)
def test_a_row_that_holds_together_is_sound(row: str) -> None:
    assert warnings_of(row) == ()


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


@pytest.mark.parametrize(
    ("writes", "said"),
    [
        pytest.param("*", [(0, "* would let")], id="star"),
        pytest.param("recording", [(0, "recording has no source")], id="one"),
        pytest.param("grant as desk|consent", [(14, "consent has no source")], id="one-of-two"),
        pytest.param(
            "recording|consultation | attendance",
            [(0, "recording has"), (10, "consultation has"), (25, "attendance has")],
            id="all-three",
        ),
        pytest.param(
            "attendance as a|recording|consultation as b",
            [(0, "one caller would write"), (16, "recording has no source")],
            id="beside-two-named",
        ),
    ],
)
@pytest.mark.parametrize("rpcs", ["WriteFacts", "DeleteFacts", "*", "CheckAccess"])
def test_no_caller_with_a_certificate_states_its_sources_itself(
    rpcs: str, writes: str, said: list[tuple[int, str]]
) -> None:
    """Who may is all three witnesses; where it cannot write yet, it could with the next RPC."""
    row = gateway(rpcs, writes=writes)
    problems = problems_of(row)

    start = row.index("PATRQT,") + len("PATRQT,") + 1
    found = [(problem.column - start, problem.message) for problem in problems]
    assert len(found) == len(said)
    for (column, message), (wanted, begins) in zip(found, said, strict=True):
        assert (column, message[: len(begins)]) == (wanted, begins)
    assert all("source" in problem.hint or "certificate" in problem.hint for problem in problems)


def test_what_is_said_of_rpcs_is_said_of_rpcs_that_there_are() -> None:
    named = {
        *contradictions.ASKING,
        *contradictions.CHANGING,
        *contradictions.READING_LOG,
        *contradictions.RESOLVING,
        *contradictions.REVIEWING,
        *contradictions._OF_SOME_TENANT,
        *contradictions._OF_EVERY_TENANT,
    }

    assert named < EVERY_RPC
    assert EVERY_RPC - named == {"GetActivePolicy"}


def test_loopback_may_have_any_row_for_it_is_for_trials() -> None:
    assert warnings_of("loopback,,,*,*,recording as a|attendance as b|grant,read_log\n") == ()


def test_a_file_that_is_refused_is_told_its_defects_and_no_doubts() -> None:
    problems = problems_of(gateway(may="read_log") + gateway("CheckAcess"))

    assert {problem.kind for problem in problems} == {"invalid"}


def test_every_doubt_is_told_in_the_order_of_the_file() -> None:
    rows = gateway("GetActivePolicy", may="explain") + gateway("").replace("gateway", "booking")

    found = [(warning.line, warning.column) for warning in warnings_of(rows)]

    assert found == [(2, 51), (2, 56), (2, 64), (3, 33)]

"""The example for a real estate: what each of its systems may, and above all what none may."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from authz_service.identity.caller_rules import CallerRule
from authz_service.identity.callers_file import read_callers
from authz_service.pdp.entity_words import FactKind
from authz_service.pdp.errors import CallerNotAllowedError, CallerRefusal
from tests.unit.identity.caller_files import EVERY_RPC

ESTATE = Path(__file__).resolve().parents[3] / "examples" / "callers.estate.csv"
CALLERS = read_callers(ESTATE, EVERY_RPC, plaintext=False)
RULES = {caller.rpartition("/")[2]: rule for caller, rule in CALLERS.rules.items()}
WITNESSES = {FactKind.RECORDING, FactKind.CONSULTATION, FactKind.ATTENDANCE}


def refusal_of(ask: Callable[[], None]) -> CallerRefusal | None:
    """Return for what a caller is refused; None where it is not."""
    try:
        ask()
    except CallerNotAllowedError as refused:
        return refused.refusal
    return None


def holding(power: str) -> set[str]:
    """Return the systems with that power."""
    return {name for name, rule in RULES.items() if power in rule.may}


def calling(rpc: str) -> set[str]:
    """Return the systems that may use that RPC."""
    return {name for name, rule in RULES.items() if rule.rpcs is None or rpc in rule.rpcs}


def test_nothing_about_the_estate_is_doubtful() -> None:
    assert CALLERS.warnings == ()


def test_the_estate_has_its_seven_systems_and_no_trials() -> None:
    assert set(RULES) == {
        "media-gateway",
        "replay-api",
        "booking",
        "recording-pipeline",
        "media-server",
        "console",
        "auditors",
    }


@pytest.mark.parametrize(
    ("system", "kind", "source"),
    [
        pytest.param("booking", FactKind.CONSULTATION, "booking", id="booking"),
        pytest.param("recording-pipeline", FactKind.RECORDING, "recording-pipeline", id="pipeline"),
        pytest.param("media-server", FactKind.ATTENDANCE, "media-server", id="media-server"),
    ],
)
def test_each_witness_says_its_own_and_in_its_own_name(
    system: str, kind: FactKind, source: str
) -> None:
    rule = RULES[system]

    assert rule.writes == {kind: source}
    assert refusal_of(lambda: rule.require_write(kind, source)) is None
    assert refusal_of(lambda: rule.require_write(kind, "console")) is CallerRefusal.SOURCE
    refusals = {refusal_of(partial(rule.require_write, other)) for other in WITNESSES - {kind}}
    assert refusals == {CallerRefusal.KIND}


def test_no_system_is_two_of_the_three_witnesses() -> None:
    """The booking system cannot write attendance, whatever it was made to say."""
    written = {name: WITNESSES & set(rule.writes or {}) for name, rule in RULES.items()}

    assert max(len(kinds) for kinds in written.values()) == 1
    assert set().union(*written.values()) == WITNESSES


def test_who_resolves_a_conflict_cannot_make_one() -> None:
    assert calling("ResolveConflict") == {"console"}
    assert not WITNESSES & set(RULES["console"].writes or {})


def test_what_faces_people_is_told_no_reasons() -> None:
    assert holding("explain") == {"console"}
    assert not RULES["media-gateway"].may_explain
    assert not RULES["replay-api"].may_explain


def test_only_the_auditors_tool_reads_the_log_and_it_does_nothing_else() -> None:
    assert holding("read_log") == calling("GetDecision") == calling("ListDecisions") == {"auditors"}
    auditors = RULES["auditors"]
    auditors.require_log()
    assert auditors.rpcs == frozenset({"GetDecision", "ListDecisions", "GetActivePolicy"})
    assert (auditors.writes, auditors.actions) == ({}, frozenset())


def test_what_faces_people_changes_nothing() -> None:
    for name in ("media-gateway", "replay-api"):
        assert RULES[name].writes == {}
        assert {name} & (calling("WriteFacts") | calling("DeleteFacts")) == set()


def test_the_gateway_asks_for_what_it_plays_and_for_nothing_else() -> None:
    gateway = RULES["media-gateway"]

    gateway.require("north-practice", "VIEW", "PATRQT")
    assert (
        refusal_of(lambda: gateway.require("north-practice", "LIST", "PATRQT"))
        is CallerRefusal.ACTION
    )
    assert (
        refusal_of(lambda: gateway.require("elsewhere", "VIEW", "PATRQT")) is CallerRefusal.TENANT
    )
    assert (
        refusal_of(lambda: gateway.require("north-practice", "VIEW", "HMARKT"))
        is CallerRefusal.PURPOSE
    )
    assert calling("ListRecordings") == {"replay-api"}


def test_nothing_may_be_asked_for_marketing_but_to_explain_that_it_is_denied() -> None:
    asking = {name: rule for name, rule in RULES.items() if asks_for(rule, "HMARKT")}

    assert set(asking) == {"console"}


def asks_for(rule: CallerRule, purpose: str) -> bool:
    """Whether a system may ask for that purpose."""
    return rule.purposes is None or purpose in rule.purposes


def test_only_the_console_stops_reviews_and_reloads() -> None:
    assert holding("contain") == holding("review") == calling("ReloadPolicy") == {"console"}


def test_no_system_has_everything_by_a_star_nor_powers_that_are_for_nothing_yet() -> None:
    assert all(rule.rpcs is not None for rule in RULES.values())
    assert holding("omit_token") == set()

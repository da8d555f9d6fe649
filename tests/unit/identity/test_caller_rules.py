"""What one caller may: each limit refuses for itself, and says no more than which it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from authz_service.identity.caller_rules import MAY, CallerRule
from authz_service.pdp.errors import CallerNotAllowedError, CallerRefusal

EVERYTHING = CallerRule("loopback", None, None, None, None, None, MAY)
NARROW = CallerRule(
    "loopback",
    frozenset({"CheckAccess"}),
    frozenset({"uk"}),
    frozenset({"VIEW"}),
    frozenset({"TREAT"}),
    {"consultation": "booking", "subject": None},
    frozenset({"explain"}),
)

Ask = Callable[[CallerRule], Any]
LIMITS: list[tuple[CallerRefusal, Ask]] = [
    (CallerRefusal.RPC, lambda rule: rule.require_rpc("WriteFacts")),
    (CallerRefusal.TENANT, lambda rule: rule.require("ca", "VIEW", "TREAT")),
    (CallerRefusal.TENANT, lambda rule: rule.require(None, "VIEW", "TREAT")),
    (CallerRefusal.TENANT, lambda rule: rule.require_every_tenant("reload the policy")),
    (CallerRefusal.ACTION, lambda rule: rule.require("uk", "EXPORT", "TREAT")),
    (CallerRefusal.PURPOSE, lambda rule: rule.require("uk", "VIEW", "HLEGAL")),
    (CallerRefusal.KIND, lambda rule: rule.require_write("attendance")),
    (CallerRefusal.SOURCE, lambda rule: rule.require_write("consultation", "media-server")),
    (CallerRefusal.POWER, lambda rule: rule.require_power("read_log", "read the log")),
    (CallerRefusal.POWER, lambda rule: rule.require_log()),
]


@pytest.mark.parametrize(("refusal", "ask"), LIMITS)
def test_a_limit_refuses_and_says_which_it_is(refusal: CallerRefusal, ask: Ask) -> None:
    """What the file allows is for those who may read the file."""
    with pytest.raises(CallerNotAllowedError) as error:
        ask(NARROW)

    assert error.value.refusal is refusal
    assert str(error.value).endswith(f"; the callers file decides ({refusal.value})")
    for held in ("uk", "booking", "VIEW,", "TREAT", "explain"):
        assert held not in str(error.value)


@pytest.mark.parametrize(("refusal", "ask"), LIMITS)
def test_who_may_everything_is_refused_nothing(refusal: CallerRefusal, ask: Ask) -> None:
    assert refusal in CallerRefusal
    ask(EVERYTHING)


@pytest.mark.parametrize("power", sorted(MAY))
def test_a_power_is_had_by_its_name_and_by_no_other(power: str) -> None:
    one, others = replace(NARROW, may=frozenset({power})), replace(NARROW, may=MAY - {power})

    one.require_power(power, "do it")
    with pytest.raises(CallerNotAllowedError, match="may not do it"):
        others.require_power(power, "do it")


@pytest.mark.parametrize(
    ("rule", "kind", "source"),
    [
        pytest.param(NARROW, "consultation", "booking", id="bound"),
        pytest.param(NARROW, "subject", None, id="any-source"),
        pytest.param(NARROW, "attendance", None, id="not-written"),
        pytest.param(EVERYTHING, "consultation", None, id="everything"),
    ],
)
def test_the_source_of_a_fact_is_the_one_that_the_row_names(
    rule: CallerRule, kind: str, source: str | None
) -> None:
    assert rule.source_of(kind) == source


def test_the_source_that_the_row_names_may_be_stated_or_left_out() -> None:
    NARROW.require_write("consultation")
    NARROW.require_write("consultation", "booking")
    NARROW.require_write("subject", "anybody")

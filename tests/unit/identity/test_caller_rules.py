"""What a row lets its caller do."""

from __future__ import annotations

import pytest

from authz_service.pdp.errors import CallerNotAllowedError
from tests.unit.identity.caller_files import GATEWAY, rule_in


def row(rpcs: str = "*", tenants: str = "*", actions: str = "*", purposes: str = "*") -> str:
    """Return the row of a service that asks."""
    return f"{GATEWAY},{rpcs},{tenants},{actions},{purposes},,\n"


@pytest.mark.parametrize(
    ("rows", "question"),
    [
        pytest.param(row(tenants="uk"), ("ca", "VIEW", "TREAT"), id="tenant"),
        pytest.param(row(tenants="uk"), (None, "VIEW", "TREAT"), id="no-tenant"),
        pytest.param(row(actions="LIST"), ("uk", "VIEW", "TREAT"), id="action"),
        pytest.param(row(purposes="PATRQT"), ("uk", "VIEW", "TREAT"), id="purpose"),
    ],
)
def test_a_question_outside_the_row_is_refused(
    rows: str, question: tuple[str | None, str, str]
) -> None:
    with pytest.raises(CallerNotAllowedError):
        rule_in(rows).require(*question)


def test_a_question_inside_the_row_is_not() -> None:
    rule = rule_in(row("CheckAccess", "uk", "VIEW", "TREAT"))

    rule.require("uk", "VIEW", "TREAT")
    rule.require_rpc("CheckAccess")
    with pytest.raises(CallerNotAllowedError, match="may not use WriteFacts"):
        rule.require_rpc("WriteFacts")


@pytest.mark.parametrize(
    ("tenants", "may", "allowed"),
    [
        pytest.param("*", "read_log", True, id="may"),
        pytest.param("*", "explain|contain", False, id="other-powers"),
        pytest.param("*", "", False, id="none"),
        pytest.param("uk", "read_log", False, id="bound-to-a-tenant"),
    ],
)
def test_the_log_is_shown_to_who_may_read_it_and_is_bound_to_no_tenant(
    tenants: str, may: str, *, allowed: bool
) -> None:
    """A log is not divided by tenant: who may see one tenant's decisions only may not see it."""
    caller = rule_in(f"loopback,*,{tenants},*,*,*,{may}\n")

    if allowed:
        caller.require_log()
    else:
        with pytest.raises(CallerNotAllowedError, match="read the decision log"):
            caller.require_log()

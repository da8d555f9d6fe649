"""What `authz status` says of the decision store, in words."""

from __future__ import annotations

from typing import Any

import pytest

from authz_service.cli.status_shipping import shipping_fields

WELL: dict[str, Any] = {
    "off": False,
    "usable": True,
    "why": "",
    "alarms": {},
    "behind_lines": 0,
    "behind_seconds": 0.0,
}
AWAY = "the decision store is not usable: it does not answer"


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        pytest.param(None, [], id="an-older-service"),
        pytest.param(
            {"off": True}, [("decision store", "none; nothing is shipped")], id="no-store"
        ),
        pytest.param(WELL, [("decision store", "shipped to, all is there")], id="all-there"),
        pytest.param(
            {**WELL, "behind_lines": 1, "behind_seconds": 0.14},
            [("decision store", "shipped to, 1 line behind, the oldest for 0.1 s")],
            id="behind",
        ),
        pytest.param(
            {**WELL, "usable": False, "why": AWAY, "behind_lines": 812, "behind_seconds": 61.0},
            [
                ("decision store", "NOT shipped to, 812 lines behind, the oldest for 61.0 s"),
                ("", AWAY),
            ],
            id="away",
        ),
        pytest.param(
            {**WELL, "usable": False, "why": AWAY, "behind_lines": None, "behind_seconds": None},
            [("decision store", "NOT shipped to, how far behind is not known"), ("", AWAY)],
            id="never-reached",
        ),
        pytest.param(
            {
                **WELL,
                "usable": False,
                "why": "it has 9",
                "alarms": {"ahead": "it has 9"},
            },
            [("decision store", "NOT shipped to, all is there"), ("ALARM ahead", "it has 9")],
            id="alarm",
        ),
    ],
)
def test_the_state_is_told_as_it_is(
    said: dict[str, Any] | None, shown: list[tuple[str, str]]
) -> None:
    assert shipping_fields(said) == shown

"""What several workers say of the decision store, told as one."""

from __future__ import annotations

from typing import Any

import pytest

from authz_service.cli.status_shipping import shipping_fields, shipping_together

LEVEL = {"off": False, "usable": True, "why": "", "behind_lines": 0, "behind_seconds": 0.0}
BEHIND = {
    "off": False,
    "usable": False,
    "why": "nothing answers",
    "behind_lines": 7,
    "behind_seconds": 2.5,
    "alarms": {"gap": "lines 4 to 9 are missing"},
}


@pytest.mark.parametrize(
    ("readings", "usable", "lines", "seconds"),
    [
        pytest.param({1: LEVEL, 2: LEVEL}, True, 0, 0.0, id="all-is-there"),
        pytest.param({1: LEVEL, 2: BEHIND}, False, 7, 2.5, id="one-is-behind"),
        pytest.param({1: BEHIND, 2: BEHIND}, False, 14, 2.5, id="both-are"),
        pytest.param({1: LEVEL, 2: None}, None, None, None, id="one-does-not-say"),
        pytest.param({1: BEHIND, 2: None}, False, None, None, id="and-the-other-is-behind"),
    ],
)
def test_workers_are_as_far_behind_as_they_are_together(
    readings: dict[int, dict[str, Any] | None],
    usable: bool | None,  # noqa: FBT001  # a table of claims
    lines: int | None,
    seconds: float | None,
) -> None:
    together = shipping_together(readings) or {}

    told = (together["usable"], together["behind_lines"], together["behind_seconds"])
    assert told == (usable, lines, seconds)


def test_what_is_not_known_is_not_said_to_fail() -> None:
    (field, *_) = shipping_fields(shipping_together({1: LEVEL, 2: None}))

    assert field == (
        "decision store",
        "not known whether shipped to, how far behind is not known",
    )


def test_an_alarm_names_its_worker() -> None:
    fields = shipping_fields(shipping_together({1: LEVEL, 2: BEHIND}))

    assert ("ALARM gap (worker 2)", "lines 4 to 9 are missing") in fields


def test_no_store_anywhere_is_no_store() -> None:
    off = {"off": True}

    assert shipping_together({1: off, 2: off}) == {"off": True}
    assert shipping_together({1: None}) is None

"""What happens often is said at once, then once a minute with how often it happened."""

from __future__ import annotations

from authz_service.telemetry.seldom import Seldom


class Seconds:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_the_first_is_said_at_once_and_the_next_after_a_minute_with_those_between() -> None:
    seconds = Seconds()
    seldom = Seldom(seconds)

    said = [seldom.due("full") for _ in range(4)]
    seconds.now += 59.9
    said.append(seldom.due("full"))
    seconds.now += 0.1
    said.append(seldom.due("full"))

    assert said == [0, None, None, None, None, 4]


def test_one_kind_does_not_keep_another_from_being_said() -> None:
    seldom = Seldom(Seconds())

    assert [seldom.due(kind) for kind in ("full", "dropped", "full")] == [0, 0, None]


def test_kinds_without_end_share_one_minute() -> None:
    seldom = Seldom(Seconds())
    for number in range(1000):
        seldom.due(str(number))

    assert [seldom.due(f"more {number}") for number in range(3)] == [0, None, None]


def test_what_was_left_unsaid_is_known_at_the_end() -> None:
    seldom = Seldom(Seconds())
    for _ in range(3):
        seldom.due("full")

    assert (seldom.left("full"), seldom.left("dropped")) == (2, 0)

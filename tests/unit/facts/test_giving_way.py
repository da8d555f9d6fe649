"""Ordinary writes give way: before they begin at once, after they have begun in a while."""

from __future__ import annotations

import threading
from time import monotonic, sleep

import pytest

from authz_service.facts.giving_way import PATIENCE_SECONDS, GivingWay
from authz_service.pdp.errors import FactsUnavailableError


def test_a_write_does_not_begin_while_the_brake_is_at_it() -> None:
    way, began = GivingWay(), threading.Event()

    def write() -> None:
        way.give_way(10)
        began.set()

    with way.urgently():
        writer = threading.Thread(target=write)
        writer.start()
        assert not began.wait(0.05)
    writer.join(10)

    assert began.is_set()


def test_a_write_does_not_wait_for_ever() -> None:
    way, begun = GivingWay(), monotonic()

    with way.urgently():
        way.give_way(0.01)

    assert monotonic() - begun < 5


def test_a_write_that_has_begun_is_ended_after_a_while_and_not_before() -> None:
    way = GivingWay()
    way.require_way()

    with way.urgently():
        way.require_way()
        sleep(PATIENCE_SECONDS * 1.2)
        with way.urgently(), pytest.raises(FactsUnavailableError, match="send it again"):
            way.require_way()
        with pytest.raises(FactsUnavailableError):
            way.require_way()

    way.require_way()

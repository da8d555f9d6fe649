"""The brake has places of its own: no other call takes them, and it takes no other's."""

from __future__ import annotations

import asyncio

import pytest

from authz_service.identity.caller_rules import LOOPBACK
from authz_service.pdp.errors import LimitExceededError
from authz_service.server.in_flight import CallLimits, CallsInFlight

LIMITS = CallLimits(calls=4, calls_of_one=3, calls_assured=0, brakes_of_one=2)


async def entered(calls: CallsInFlight, caller: str, *, is_brake: bool = False) -> asyncio.Event:
    """Have a call enter from a task of its own; return what ends it.

    Raises:
        LimitExceededError: There is no place for it.
    """
    ended, is_in = asyncio.Event(), asyncio.get_running_loop().create_future()

    async def call() -> None:
        try:
            calls.enter(caller, is_bound=True, is_brake=is_brake)
        except LimitExceededError as error:
            is_in.set_exception(error)
            return
        is_in.set_result(None)
        await ended.wait()

    task = asyncio.ensure_future(call())
    ended.task = task  # type: ignore[attr-defined]  # kept as long as the event is
    await is_in
    return ended


@pytest.mark.parametrize("caller", ["console", LOOPBACK])
async def test_a_caller_that_has_no_place_left_still_brakes(caller: str) -> None:
    calls = CallsInFlight(LIMITS)
    most = LIMITS.calls if caller == LOOPBACK else LIMITS.calls_of_one
    held = [await entered(calls, caller) for _ in range(most)]
    with pytest.raises(LimitExceededError):
        await entered(calls, caller)

    held += [await entered(calls, caller, is_brake=True) for _ in range(2)]
    with pytest.raises(LimitExceededError):
        await entered(calls, caller, is_brake=True)
    held.append(await entered(calls, "another", is_brake=True))

    for each in held:
        each.set()


async def test_brakes_take_no_places_of_other_calls_and_give_theirs_back() -> None:
    calls = CallsInFlight(LIMITS._replace(calls=100))
    brakes = [await entered(calls, "console", is_brake=True) for _ in range(2)]
    others = [await entered(calls, "console") for _ in range(3)]

    brakes.pop().set()
    await asyncio.sleep(0.01)
    brakes.append(await entered(calls, "console", is_brake=True))

    assert calls.count == 5
    for each in (*brakes, *others):
        each.set()
    await asyncio.sleep(0.01)
    assert calls.count == 0

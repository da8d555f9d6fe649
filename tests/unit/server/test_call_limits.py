"""How many calls there may be, whose, and for how long: over a real port, with small limits."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest
from structlog.testing import capture_logs

from authz_service.api.v1 import policy_pb2 as pb
from authz_service.identity.caller_rules import LOOPBACK, CallerRule
from authz_service.operations.records import CallContext
from authz_service.pdp.errors import CallerRefusal, CallLimit, StateError
from authz_service.server import turns
from authz_service.server.admission import Admitted, Gate
from authz_service.server.call import Call
from authz_service.server.in_flight import CallLimits
from authz_service.server.statuses import StatusLayer
from tests.wire import RpcFailure, failure_of

PATH = "/authz_service.api.v1.PolicyService/GetActivePolicy"


@dataclass
class Heard:
    """Hears of every call."""

    handled: list[str] = field(default_factory=list)
    limited: list[str] = field(default_factory=list)

    def rpc(self, service: str, method: str) -> Heard:
        return self

    def arrived(self) -> None:
        pass

    def answered(self, code: str, seconds: float) -> None:
        self.handled.append(code)

    def call_limited(self, limit: CallLimit) -> None:
        self.limited.append(limit.value)

    def refused(self, refusal: CallerRefusal, context: CallContext, rpc: str) -> None:
        raise AssertionError("nobody is refused here")


class ByName:
    """Whoever calls says who it is."""

    def admit(self, context: Any) -> Admitted:
        caller = dict(context.invocation_metadata()).get("who", LOOPBACK)
        return Admitted(CallerRule(caller, None, None, None, None, None, frozenset()), "c0ffee")


class Holder:
    """Holds what can have no weak reference."""

    def __init__(self, request: Any) -> None:
        self.request = request


class Desk:
    """Answers what it is asked to answer, once it is let.

    Attributes:
        begun: Of whom calls were begun, in order.
        let: Set when calls may end.
        refused: What held the requests of those that were refused.
    """

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.let = asyncio.Event()
        self.refused: list[weakref.ref[Holder]] = []

    async def answer(self, request: Any, call: Call) -> pb.GetActivePolicyResponse:
        self.begun.append(call.context.caller)
        if call.context.caller == "refused":
            holder = Holder(request)
            self.refused.append(weakref.ref(holder))
            raise StateError("it", "is so")
        await self.let.wait()
        return pb.GetActivePolicyResponse(rules=3)


@dataclass
class Served:
    """A served desk.

    Attributes:
        channel: Where to call it.
        layer: What is around it.
        desk: Who answers.
        heard: Who hears of calls.
    """

    channel: grpc.aio.Channel
    layer: StatusLayer
    desk: Desk
    heard: Heard

    def call(self, who: str, content: bytes = b"", timeout: float | None = 10) -> Any:
        """Begin a call."""
        method: Any = self.channel.unary_unary(PATH)
        return method(content, metadata=(("who", who),), timeout=timeout)

    def half_call(self, who: str, timeout: float | None = 10) -> Any:
        """Begin a call, and never say what is asked."""
        method: Any = self.channel.stream_unary(PATH)
        return method(metadata=(("who", who),), timeout=timeout)

    async def begun(self, count: int) -> None:
        """Wait until so many calls are being answered."""
        await until(lambda: len(self.desk.begun) >= count)

    async def in_hand(self, count: int) -> None:
        """Wait until so many calls have a place."""
        await until(lambda: self.layer.in_flight == count)


async def until(holds: Callable[[], bool]) -> None:
    """Wait until it holds, for five seconds at most."""
    for _ in range(1000):
        if holds():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it never came to hold")


@asynccontextmanager
async def served(limits: CallLimits) -> AsyncIterator[Served]:
    """Serve one method within *limits*."""
    heard, desk = Heard(), Desk()
    layer = StatusLayer(Gate(ByName(), heard), heard, lambda: "made", limits)
    method = grpc.unary_unary_rpc_method_handler(
        desk.answer,
        pb.GetActivePolicyRequest.FromString,
        pb.GetActivePolicyResponse.SerializeToString,
    )
    layer.add_registered_method_handlers(
        "authz_service.api.v1.PolicyService", {"GetActivePolicy": method}
    )
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((layer,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield Served(channel, layer, desk, heard)
    await server.stop(0)


async def failure(call: Any) -> RpcFailure:
    """Return how a call fails."""
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await call
    return failure_of(error.value)


async def test_a_caller_with_too_many_calls_is_refused_and_others_are_not() -> None:
    async with served(CallLimits(calls_of_one=3)) as service:
        flood = [service.call("greedy") for _ in range(3)]
        await service.begun(3)
        refused = await failure(service.call("greedy"))
        other = service.call("modest")
        await service.begun(4)
        service.desk.let.set()
        answers = [await each for each in (*flood, other)]
        await service.in_hand(0)
        again = await service.call("greedy")

    assert (refused.code, refused.reason) == ("RESOURCE_EXHAUSTED", "LIMIT_EXCEEDED")
    assert "this caller" in refused.message
    assert all(pb.GetActivePolicyResponse.FromString(each).rules == 3 for each in (*answers, again))
    assert service.heard.limited == ["caller"]
    assert service.heard.handled.count("OK") == 5


async def test_each_caller_is_assured_of_some_calls_however_busy_the_service_is() -> None:
    async with served(CallLimits(calls=4, calls_of_one=4, calls_assured=2)) as service:
        flood = [service.call("greedy") for _ in range(4)]
        await service.begun(4)
        assured = [service.call("modest") for _ in range(2)]
        await service.begun(6)
        refused = await failure(service.call("modest"))
        service.desk.let.set()
        await asyncio.gather(*flood, *assured)

    assert (refused.code, refused.reason) == ("RESOURCE_EXHAUSTED", "LIMIT_EXCEEDED")
    assert service.heard.limited == ["service"]


async def test_on_loopback_everybody_is_one_caller_and_bound_by_the_whole_only() -> None:
    async with served(CallLimits(calls=4, calls_of_one=2, calls_assured=1)) as service:
        calls = [service.call(LOOPBACK) for _ in range(4)]
        await service.begun(4)
        await failure(service.call(LOOPBACK))
        service.desk.let.set()
        await asyncio.gather(*calls)

    assert service.heard.limited == ["service"]


async def test_a_caller_that_goes_away_gives_its_place_back() -> None:
    async with served(CallLimits(calls_of_one=1)) as service:
        given_up = service.call("one")
        await service.begun(1)
        given_up.cancel()
        await service.in_hand(0)
        service.desk.let.set()
        await service.call("one")

    assert service.heard.handled == ["CANCELLED", "OK"]


async def test_a_request_that_does_not_come_ends_in_the_service_s_own_time() -> None:
    """Whatever deadline its caller has named; a request that never comes would wait for ever."""
    async with served(CallLimits(arrival_seconds=0.3)) as service:
        bound = await failure(service.half_call("slow", timeout=60))
        unbound = await failure(service.half_call("slow", timeout=None))
        await service.in_hand(0)

    for each in (bound, unbound):
        assert (each.code, each.reason) == ("DEADLINE_EXCEEDED", "DEADLINE")
        assert each.message == "the request was not here in time"
    assert service.heard.limited == ["arrival", "arrival"]


async def test_of_too_many_slow_requests_the_oldest_make_room() -> None:
    async with served(CallLimits(slow_requests=2, arrival_seconds=2)) as service:
        oldest = service.half_call("slow")
        await service.in_hand(1)
        younger = [service.half_call("slow") for _ in range(2)]
        first = await failure(oldest)
        last = [await failure(each) for each in younger]

    assert (first.code, first.reason) == ("RESOURCE_EXHAUSTED", "LIMIT_EXCEEDED")
    assert [each.code for each in last] == ["DEADLINE_EXCEEDED"] * 2
    assert service.heard.limited == ["slow", "arrival", "arrival"]


async def test_a_drain_does_not_wait_for_a_request_that_does_not_come() -> None:
    async with served(CallLimits()) as service:
        slow = service.half_call("slow")
        await service.in_hand(1)
        await asyncio.wait_for(service.layer.drain(), timeout=2)
        cut = await failure(slow)

    assert cut.code == "RESOURCE_EXHAUSTED"


async def test_a_call_without_a_request_is_malformed() -> None:
    async with served(CallLimits()) as service:
        call = service.half_call("odd")
        await call.done_writing()
        empty = await failure(call)

    assert (empty.code, empty.reason, empty.fields) == (
        "INVALID_ARGUMENT",
        "INVALID_REQUEST",
        ("request",),
    )


async def test_a_request_that_is_refused_is_not_kept() -> None:
    """Not even until the collector comes by; it would be four megabytes each time."""
    async with served(CallLimits()) as service:
        gc.disable()
        try:
            for _ in range(5):
                await failure(service.call("refused"))
            await service.in_hand(0)
            kept = [each for each in service.desk.refused if each() is not None]
        finally:
            gc.enable()

    assert len(service.desk.refused) == 5
    assert kept == []


async def test_a_flood_of_refusals_is_one_line_in_the_log_and_all_are_counted() -> None:
    with capture_logs() as logs:
        async with served(CallLimits(calls_of_one=1)) as service:
            held = service.call("greedy")
            await service.begun(1)
            for _ in range(50):
                await failure(service.call("greedy"))
            service.desk.let.set()
            await held

    assert service.heard.limited == ["caller"] * 50
    (line,) = [each for each in logs if each["event"] == "call_limited"]
    assert (line["limit"], line["caller"], line["log_level"]) == ("caller", "greedy", "warning")


async def test_large_requests_of_one_caller_wait_for_their_turn_and_small_ones_do_not() -> None:
    large = b"\x7a\x80\x80\x02" + b"x" * 32768  # a field that nobody knows
    async with served(CallLimits()) as service:
        calls = [service.call("greedy", large)]
        await service.begun(1)
        calls += [service.call("greedy", large) for _ in range(4)]
        small = service.call("greedy")
        other = service.call("modest", large)
        await service.begun(3)
        await service.in_hand(7)
        await asyncio.sleep(0.05)
        begun = sorted(service.desk.begun)
        given_up = calls.pop()
        given_up.cancel()
        await service.in_hand(6)
        service.desk.let.set()
        await asyncio.gather(*calls, small, other)
        await service.in_hand(0)

    assert turns.AT_WORK_BYTES == 65536
    assert begun == ["greedy", "greedy", "modest"]
    assert sorted(service.desk.begun) == ["greedy"] * 5 + ["modest"]
    assert service.heard.limited == []


async def test_too_much_that_waits_for_its_turn_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert (turns.HELD_BYTES_OF_ONE, turns.HELD_BYTES) == (16 << 20, 64 << 20)
    monkeypatch.setattr(turns, "HELD_BYTES_OF_ONE", 70_000)
    large = b"\x7a\x80\x80\x02" + b"x" * 32768
    async with served(CallLimits()) as service:
        calls = [service.call("greedy", large) for _ in range(2)]
        await service.begun(1)
        await service.in_hand(2)
        refused = await failure(service.call("greedy", large))
        service.desk.let.set()
        await asyncio.gather(*calls)
        again = await service.call("greedy", large)

    assert (refused.code, refused.reason) == ("RESOURCE_EXHAUSTED", "LIMIT_EXCEEDED")
    assert service.heard.limited == ["waiting"]
    assert again


async def test_each_caller_is_assured_of_one_large_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "HELD_BYTES", 40_000)
    large = b"\x7a\x80\x80\x02" + b"x" * 32768
    async with served(CallLimits()) as service:
        calls = [service.call("greedy", large)]
        await service.begun(1)
        refused = await failure(service.call("greedy", large))
        calls.append(service.call("modest", large))
        await service.begun(2)
        service.desk.let.set()
        await asyncio.gather(*calls)

    assert refused.reason == "LIMIT_EXCEEDED"
    assert service.heard.limited == ["waiting"]

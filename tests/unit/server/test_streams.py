"""Calls that are answered by many messages, through the one layer and over a real port."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest

from authz_service.api.v1 import facts_pb2 as pb
from authz_service.identity.caller_rules import LOOPBACK, CallerRule
from authz_service.operations.records import CallContext
from authz_service.pdp.errors import CallerRefusal, CallLimit, HistoryGoneError
from authz_service.server import streams
from authz_service.server.admission import Admitted, Gate
from authz_service.server.call import Call
from authz_service.server.in_flight import CallLimits
from authz_service.server.statuses import StatusLayer
from tests.wire import RpcFailure, failure_of

PATH = "/authz_service.api.v1.FactsService/WatchFacts"
LARGE = pb.WatchFactsResponse(actor="x" * 200_000)


@dataclass
class Heard:
    """Hears of every call."""

    handled: list[str] = field(default_factory=list)
    limited: list[str] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)

    def rpc(self, service: str, method: str) -> Heard:
        return self

    def arrived(self) -> None:
        pass

    def answered(self, code: str, seconds: float) -> None:
        self.handled.append(code)

    def call_limited(self, limit: CallLimit) -> None:
        self.limited.append(limit.value)

    def refused(self, refusal: CallerRefusal, context: CallContext, rpc: str) -> None:
        self.refusals.append(refusal.value)


class ByName:
    """Whoever calls says who it is; `rpcs` may be replaced."""

    rpcs: frozenset[str] | None = None

    def admit(self, context: Any) -> Admitted:
        caller = dict(context.invocation_metadata()).get("who", LOOPBACK)
        return Admitted(CallerRule(caller, self.rpcs, None, None, None, None, frozenset()), "c0f")


class Desk:
    """Tells one message after the other, as many as it is let, and then what it is told to.

    Attributes:
        made: How many messages were made.
        closed: How many calls were cleaned up after.
    """

    def __init__(self, message: pb.WatchFactsResponse, most: int) -> None:
        self.made = 0
        self.closed = 0
        self.error: Exception | None = None
        self._message = message
        self._most = most

    async def tell(
        self, _request: pb.WatchFactsRequest, _call: Call
    ) -> AsyncGenerator[pb.WatchFactsResponse, None]:
        try:
            for _ in range(self._most):
                self.made += 1
                yield self._message
            if self.error is not None:
                raise self.error
            await asyncio.Event().wait()
        finally:
            self.closed += 1


@dataclass
class Served:
    """A served desk, and what is around it."""

    channel: grpc.aio.Channel
    server: grpc.aio.Server
    layer: StatusLayer
    desk: Desk
    heard: Heard
    admission: ByName

    def call(self, who: str = LOOPBACK) -> Any:
        """Begin a call."""
        method: Any = self.channel.unary_stream(
            PATH, response_deserializer=pb.WatchFactsResponse.FromString
        )
        return method(b"", metadata=(("who", who),))


@asynccontextmanager
async def served(
    limits: CallLimits = CallLimits(),  # noqa: B008  # a constant
    message: pb.WatchFactsResponse | None = None,
    most: int = 1,
) -> AsyncIterator[Served]:
    """Serve one method within *limits*."""
    heard, desk, admission = Heard(), Desk(message or pb.WatchFactsResponse(), most), ByName()
    layer = StatusLayer(Gate(admission, heard), heard, lambda: "made", limits)
    method = grpc.unary_stream_rpc_method_handler(
        desk.tell, pb.WatchFactsRequest.FromString, pb.WatchFactsResponse.SerializeToString
    )
    layer.add_registered_method_handlers(
        "authz_service.api.v1.FactsService", {"WatchFacts": method}
    )
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((layer,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield Served(channel, server, layer, desk, heard, admission)
    finally:
        await server.stop(0)


async def until(holds: Callable[[], bool]) -> None:
    """Wait until it holds, for five seconds at most."""
    for _ in range(1000):
        if holds():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it never came to hold")


async def ended(call: Any) -> RpcFailure:
    """Take messages to the end; return how the call failed."""
    try:
        while await call.read() is not grpc.aio.EOF:
            pass
    except grpc.aio.AioRpcError as error:
        return failure_of(error)
    raise AssertionError("the call ended as if nothing had been wrong")


async def test_an_error_after_messages_is_the_status_of_its_kind() -> None:
    async with served(most=3) as service:
        service.desk.error = HistoryGoneError("it was long ago")
        failure = await ended(service.call())
        await until(lambda: service.heard.handled == ["FAILED_PRECONDITION"])

    assert (failure.code, failure.reason) == ("FAILED_PRECONDITION", "HISTORY_GONE")
    assert failure.request_id == "made"
    assert service.desk.made == 3
    assert service.layer.in_flight == 0


async def test_a_call_outlasts_what_other_calls_may_take() -> None:
    async with served(CallLimits(default_seconds=0.1, longest_seconds=0.1)) as service:
        call = service.call()
        await call.read()
        await asyncio.sleep(0.7)
        still_open = service.layer.in_flight
        call.cancel()
        await until(lambda: service.layer.in_flight == 0)

    assert still_open == 1
    assert service.desk.closed == 1
    assert service.heard.handled == ["CANCELLED"]


async def test_who_takes_nothing_has_nothing_made_for_it() -> None:
    """A few messages fill what gRPC holds; no other is made until one is taken."""
    async with served(message=LARGE, most=1000) as service:
        call = service.call()
        await until(lambda: service.desk.made > 0)
        await asyncio.sleep(0.5)
        made = service.desk.made
        for _ in range(made):
            await call.read()
        await until(lambda: service.desk.made > made)
        call.cancel()

    assert made < 50


@pytest.mark.parametrize("most", [pytest.param(1, id="reading"), pytest.param(1000, id="stuck")])
async def test_a_drain_ends_all_and_waits_for_nobody_who_takes_nothing(most: int) -> None:
    async with served(message=LARGE, most=most) as service:
        call = service.call()
        await until(lambda: service.desk.made > 0)
        await asyncio.sleep(0.3)
        await asyncio.wait_for(service.layer.drain(), timeout=3)
        late = await ended(service.call("late"))
        if most == 1:
            failure = await ended(call)
            assert (failure.code, failure.reason) == ("UNAVAILABLE", "DRAINING")
        await asyncio.wait_for(service.server.stop(0.1), timeout=3)

    assert late.reason == "DRAINING"


async def test_a_call_that_has_lasted_long_enough_ends_in_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(streams, "LOOK_SECONDS", 0.05)
    async with served(CallLimits(stream_seconds=0.2)) as service:
        failure = await ended(service.call())

    assert (failure.code, failure.reason, failure.retry_seconds) == ("UNAVAILABLE", "DRAINING", 1)
    assert service.heard.limited == []


@pytest.mark.parametrize(
    ("rpcs", "reason", "refusals"),
    [
        pytest.param(frozenset(), "CALLER_NOT_ALLOWED", ["rpc"], id="no-longer"),
        pytest.param(frozenset({"WatchFacts"}), "DRAINING", [], id="otherwise"),
    ],
)
async def test_a_row_that_was_changed_ends_the_calls_by_it(
    monkeypatch: pytest.MonkeyPatch, rpcs: frozenset[str], reason: str, refusals: list[str]
) -> None:
    monkeypatch.setattr(streams, "LOOK_SECONDS", 0.05)
    async with served() as service:
        call = service.call()
        await call.read()
        service.admission.rpcs = rpcs
        failure = await ended(call)

    assert failure.reason == reason
    assert service.heard.refusals == refusals


@pytest.mark.parametrize(
    ("callers", "refused"),
    [
        pytest.param(["one", "one", "one"], "one", id="of-one"),
        pytest.param(["one", "two", "three", "four"], "four", id="of-all"),
        pytest.param([LOOPBACK] * 4, LOOPBACK, id="on-loopback"),
    ],
)
async def test_there_are_only_so_many(callers: list[str], refused: str) -> None:
    async with served(CallLimits(streams=3, streams_of_one=2)) as service:
        calls = [service.call(who) for who in callers[:-1]]
        for each in calls:
            await each.read()
        failure = await ended(service.call(refused))
        calls[0].cancel()
        await until(lambda: service.layer.in_flight == len(calls) - 1)
        again = service.call(refused)
        first = await again.read()
        again.cancel()

    assert (failure.code, failure.reason) == ("RESOURCE_EXHAUSTED", "LIMIT_EXCEEDED")
    assert service.heard.limited == ["streams"]
    assert first is not grpc.aio.EOF

"""Health asks who calls, and is bound by number and time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2 as pb
from grpc_health.v1 import health_pb2_grpc as grpc_api

from authz_service.identity.caller_rules import CallerRule
from authz_service.identity.callers import ActiveCallers, Callers
from authz_service.operations.records import CallContext
from authz_service.pdp.errors import CallerRefusal
from authz_service.server import standard_services
from authz_service.server.admission import Gate, LoopbackAdmission
from authz_service.server.health import Health
from authz_service.server.standard_services import MOST_CALLS, StandardServices

CHECK, WATCH = "/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch"
NOTHING = b""
RULE = CallerRule("loopback", frozenset(), None, None, None, None, frozenset())
KNOWN = Callers("c0ffee", {"loopback": RULE})
NOBODY = Callers("c0ffee", {})


@dataclass
class Heard:
    """Hears of refusals."""

    refused_rpcs: list[str] = field(default_factory=list)

    def refused(self, refusal: CallerRefusal, context: CallContext, rpc: str) -> None:
        self.refused_rpcs.append(f"{refusal.value} {rpc}")


@asynccontextmanager
async def served(
    most_calls: int = MOST_CALLS, callers: Callers = KNOWN, heard: Heard | None = None
) -> AsyncIterator[Any]:
    """Serve health to *callers*; lend a channel."""
    gate = Gate(LoopbackAdmission(ActiveCallers(callers)), heard or Heard())
    layer: Any = StandardServices(gate, lambda: "made", most_calls)
    grpc_api.add_HealthServicer_to_server(Health(("one",)).servicer, layer)
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((layer,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield channel
    await server.stop(0)


async def failing(call: Any) -> tuple[str, str]:
    """Return how a call fails."""
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await call
    return error.value.code().name, error.value.details() or ""


async def test_health_is_told_and_watched() -> None:
    async with served() as channel:
        stub: Any = grpc_api.HealthStub(channel)
        told = await stub.Check(pb.HealthCheckRequest(service="one"), timeout=5)
        watched = await stub.Watch(pb.HealthCheckRequest(service="none"), timeout=5).read()
        unknown = await failing(stub.Check(pb.HealthCheckRequest(service="none"), timeout=5))

    assert told.status == pb.HealthCheckResponse.NOT_SERVING
    assert watched.status == pb.HealthCheckResponse.SERVICE_UNKNOWN
    assert unknown[0] == "NOT_FOUND"


async def test_watches_are_bound_by_number_and_one_that_ends_makes_room() -> None:
    async with served(most_calls=2) as channel:
        watch = channel.unary_stream(WATCH)
        watches = [watch(NOTHING, timeout=20) for _ in range(2)]
        for each in watches:
            await each.read()
        check = channel.unary_unary(CHECK)
        refused = await failing(check(NOTHING, timeout=5))
        watches[0].cancel()
        answered = await answered_at_last(check)

    assert MOST_CALLS == 1000
    assert refused == ("RESOURCE_EXHAUSTED", "too many calls of this service are in hand")
    assert answered


async def answered_at_last(check: Any) -> bool:
    """Ask until there is room; whether there ever is."""
    for _ in range(200):
        try:
            return bool(await check(NOTHING, timeout=5))
        except grpc.aio.AioRpcError:
            await asyncio.sleep(0.01)
    return False


async def test_a_request_that_does_not_come_or_is_no_message_ends_the_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert standard_services.ARRIVAL_SECONDS == 5.0
    monkeypatch.setattr(standard_services, "ARRIVAL_SECONDS", 0.1)
    async with served() as channel:
        slow = await failing(channel.stream_unary(CHECK)(timeout=20))
        empty = channel.stream_unary(CHECK)(timeout=20)
        await empty.done_writing()
        nothing = await failing(empty)
        nonsense = await failing(channel.unary_unary(CHECK)(b"\xff\xff", timeout=5))

    assert slow == ("DEADLINE_EXCEEDED", "the request was not here in time")
    assert nothing == nonsense == ("INVALID_ARGUMENT", "it is not a message of this RPC")


async def test_who_has_no_row_is_told_of_no_health() -> None:
    heard = Heard()
    async with served(callers=NOBODY, heard=heard) as channel:
        code, why = await failing(channel.unary_unary(CHECK)(NOTHING))

    assert code == "UNAUTHENTICATED"
    assert "no row" in why
    assert heard.refused_rpcs == ["unknown Health/Check"]

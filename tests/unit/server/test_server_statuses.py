"""The one layer around every call, over a real port and with servicers that misbehave."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest
from structlog.testing import capture_logs

from authz_service.api.v1 import policy_pb2 as pb
from authz_service.api.v1 import policy_pb2_grpc as grpc_api
from authz_service.identity.caller_rules import CallerRule
from authz_service.identity.callers import ActiveCallers, Callers
from authz_service.operations.records import CallContext
from authz_service.pdp import errors
from authz_service.server.admission import Gate, LoopbackAdmission
from authz_service.server.call import Call
from authz_service.server.in_flight import CallLimits
from authz_service.server.statuses import StatusLayer
from tests.wire import RpcFailure, failure_of

RULE = CallerRule("loopback", None, None, None, None, None, frozenset())
ADMISSION = LoopbackAdmission(ActiveCallers(Callers("c0ffee", {"loopback": RULE})))
LIMITS = CallLimits()
Behaviour = Callable[[Call], Awaitable[pb.GetActivePolicyResponse]]


@dataclass
class Counted:
    """Hears of every call."""

    started: int = 0
    handled: list[str] = field(default_factory=list)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    refusals: list[str] = field(default_factory=list)
    callers: list[str] = field(default_factory=list)
    limited: list[str] = field(default_factory=list)

    def rpc(self, service: str, method: str) -> Counted:
        return self

    def arrived(self) -> None:
        self.started += 1

    def answered(self, code: str, seconds: float) -> None:
        self.handled.append(code)
        self.ended.set()

    def call_limited(self, limit: errors.CallLimit) -> None:
        self.limited.append(limit.value)

    def refused(self, refusal: errors.CallerRefusal, context: CallContext, rpc: str) -> None:
        self.refusals.append(refusal.value)
        self.callers.append(context.caller)


class Servicer:
    """Does what the test says."""

    def __init__(self, behaviour: Behaviour) -> None:
        self._behaviour = behaviour

    async def GetActivePolicy(  # noqa: N802  # as the layer calls it
        self, request: pb.GetActivePolicyRequest, context: Call
    ) -> pb.GetActivePolicyResponse:
        return await self._behaviour(context)

    async def ReloadPolicy(  # noqa: N802  # as the layer calls it
        self, request: pb.ReloadPolicyRequest, context: Call
    ) -> pb.ReloadPolicyResponse:
        return pb.ReloadPolicyResponse()


@asynccontextmanager
async def served(
    behaviour: Behaviour,
    counted: Counted,
    layers: list[StatusLayer] | None = None,
    limits: CallLimits = LIMITS,
) -> AsyncIterator[Any]:
    """Serve one method; lend a stub, and the layer to who asks for it."""
    layer: Any = StatusLayer(Gate(ADMISSION, counted), counted, lambda: "made", limits)
    if layers is not None:
        layers.append(layer)
    servicer: Any = Servicer(behaviour)
    grpc_api.add_PolicyServiceServicer_to_server(servicer, layer)
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((layer,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield grpc_api.PolicyServiceStub(channel)
    await server.stop(0)


async def failed(
    behaviour: Behaviour,
    counted: Counted,
    deadline_seconds: float | None = 5,
    limits: CallLimits = LIMITS,
) -> RpcFailure:
    """Call; return the failure."""
    async with served(behaviour, counted, limits=limits) as stub:
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await stub.GetActivePolicy(pb.GetActivePolicyRequest(), timeout=deadline_seconds)
        await asyncio.wait_for(counted.ended.wait(), timeout=5)
        return failure_of(error.value)


def raising(error: Exception) -> Behaviour:
    """Return what raises *error*."""

    async def behave(_call: Call) -> pb.GetActivePolicyResponse:
        raise error

    return behave


async def for_ever(_call: Call) -> pb.GetActivePolicyResponse:
    """Wait for what never comes."""
    await asyncio.Event().wait()
    raise AssertionError


@pytest.mark.parametrize(
    ("error", "code", "reason", "retry"),
    [
        (
            errors.InvalidRequestError(errors.Violation("a.b", "is missing")),
            "INVALID_ARGUMENT",
            "INVALID_REQUEST",
            None,
        ),
        (
            errors.CallerNotAllowedError("ask", errors.CallerRefusal.ACTION),
            "PERMISSION_DENIED",
            "CALLER_NOT_ALLOWED",
            None,
        ),
        (
            errors.CallerUnauthenticatedError("who?", errors.CallerRefusal.UNKNOWN),
            "UNAUTHENTICATED",
            "CALLER_UNAUTHENTICATED",
            None,
        ),
        (errors.NotFoundError("it"), "NOT_FOUND", "NOT_FOUND", None),
        (errors.RevisionAheadError(9, 8), "FAILED_PRECONDITION", "REVISION_AHEAD", None),
        (errors.StateError("it", "is so"), "FAILED_PRECONDITION", "STATE", None),
        (
            errors.LimitExceededError(errors.CallLimit.CALLER),
            "RESOURCE_EXHAUSTED",
            "LIMIT_EXCEEDED",
            None,
        ),
        (errors.PolicyNotReadyError("none"), "UNAVAILABLE", "POLICY_NOT_READY", 1),
        (errors.FactsUnavailableError("gone"), "UNAVAILABLE", "FACTS_UNAVAILABLE", 1),
        (errors.JournalUnavailableError("full"), "UNAVAILABLE", "JOURNAL_UNAVAILABLE", 1),
        (errors.DecisionsUnavailableError("slow"), "UNAVAILABLE", "DECISIONS_UNAVAILABLE", 1),
        (errors.DecisionsNotKeptError(), "FAILED_PRECONDITION", "DECISIONS_NOT_KEPT", None),
    ],
)
async def test_an_error_becomes_the_status_of_the_contract(
    error: Exception, code: str, reason: str, retry: int | None
) -> None:
    counted = Counted()

    failure = await failed(raising(error), counted)

    assert (failure.code, failure.reason, failure.retry_seconds) == (code, reason, retry)
    assert failure.message == str(error)
    assert (failure.domain, failure.request_id) == ("authz_service.api.v1", "made")
    assert failure.fields == (("a.b",) if reason == "INVALID_REQUEST" else ())
    assert counted.handled == [code]


@pytest.mark.parametrize(
    ("caller", "noted"),
    [
        pytest.param("spiffe://example.org/booking", "spiffe://example.org/booking", id="known"),
        pytest.param("", "", id="none"),
        pytest.param("spiffe://example.org/a\n2020 forged=1", "", id="newline"),
        pytest.param("spiffe://example.org/\x1b[2J", "", id="terminal"),
        pytest.param("spiffe://example.org/" + "a" * 2048, "", id="long"),
        pytest.param("spiffe://example.org/caf\u00e9", "", id="no-ascii"),
    ],
)
async def test_a_caller_that_nobody_knows_is_named_only_where_it_can_be_a_caller(
    caller: str, noted: str
) -> None:
    """What a stranger sends in place of an id goes into no line and no record."""
    counted = Counted()
    unknown = errors.CallerUnauthenticatedError("no row", errors.CallerRefusal.UNKNOWN, caller)

    failure = await failed(raising(unknown), counted)

    assert (failure.code, counted.refusals, counted.callers) == (
        "UNAUTHENTICATED",
        ["unknown"],
        [noted],
    )
    assert failure.message == "no row"


async def test_a_bug_says_nothing_of_itself_and_is_logged() -> None:
    with capture_logs() as logs:
        failure = await failed(raising(KeyError("patient p-mara, born 1984-05-02")), Counted())

    assert (failure.code, failure.reason) == ("INTERNAL", "INTERNAL")
    assert failure.message == "internal error"
    (line,) = logs
    assert (line["event"], line["log_level"], line["error_type"]) == (
        "rpc_failed",
        "error",
        "KeyError",
    )


async def test_a_call_without_a_deadline_gets_one() -> None:
    assert LIMITS.default_seconds == 5.0
    counted = Counted()

    failure = await failed(
        for_ever, counted, deadline_seconds=None, limits=LIMITS._replace(default_seconds=0.05)
    )

    assert (failure.code, failure.reason) == ("DEADLINE_EXCEEDED", "DEADLINE")
    assert (counted.handled, counted.limited) == (["DEADLINE_EXCEEDED"], [])


async def test_a_call_with_an_absurd_deadline_ends_in_the_service_s_own_time() -> None:
    assert LIMITS.longest_seconds == 30.0
    counted = Counted()

    failure = await failed(
        for_ever, counted, deadline_seconds=1e9, limits=LIMITS._replace(longest_seconds=0.05)
    )

    assert (failure.code, failure.reason) == ("DEADLINE_EXCEEDED", "DEADLINE")
    assert (counted.handled, counted.limited) == (["DEADLINE_EXCEEDED"], ["duration"])


async def test_a_call_that_is_cancelled_is_counted_as_such() -> None:
    counted, arrived = Counted(), asyncio.Event()

    async def behave(call: Call) -> pb.GetActivePolicyResponse:
        arrived.set()
        return await for_ever(call)

    async with served(behave, counted) as stub:
        call = stub.GetActivePolicy(pb.GetActivePolicyRequest(), timeout=30)
        await arrived.wait()
        call.cancel()
        await asyncio.wait_for(counted.ended.wait(), timeout=5)

    assert counted.started == 1
    assert counted.handled == ["CANCELLED"]


async def test_a_servicer_knows_who_asks_and_under_which_ids() -> None:
    calls: list[Call] = []

    async def behave(call: Call) -> pb.GetActivePolicyResponse:
        calls.append(call)
        return pb.GetActivePolicyResponse(rules=3)

    async with served(behave, Counted()) as stub:
        metadata = (("x-request-id", "r.1"), ("traceparent", f"00-{'ab' * 16}-{'cd' * 8}-01"))
        response = await stub.GetActivePolicy(pb.GetActivePolicyRequest(), metadata=metadata)

    assert response.rules == 3
    assert calls[0].context == ("loopback", "r.1", "ab" * 16, "c0ffee")
    assert calls[0].rule is RULE


async def test_a_drain_waits_for_the_calls_in_flight_and_refuses_others() -> None:
    arrived, released = asyncio.Event(), asyncio.Event()

    async def behave(_call: Call) -> pb.GetActivePolicyResponse:
        arrived.set()
        await released.wait()
        return pb.GetActivePolicyResponse(rules=3)

    layers: list[StatusLayer] = []
    async with served(behave, Counted(), layers) as stub:
        call = stub.GetActivePolicy(pb.GetActivePolicyRequest(), timeout=10)
        await arrived.wait()
        drained = asyncio.create_task(layers[0].drain())
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.GetActivePolicy(pb.GetActivePolicyRequest(), timeout=10)
        assert not drained.done()
        released.set()
        answer = await call
        await asyncio.wait_for(drained, timeout=5)

    failure = failure_of(refused.value)
    assert (failure.code, failure.reason, failure.retry_seconds) == ("UNAVAILABLE", "DRAINING", 1)
    assert answer.rules == 3


async def test_a_drain_of_an_idle_service_waits_for_nothing() -> None:
    await asyncio.wait_for(
        StatusLayer(Gate(ADMISSION, Counted()), Counted(), lambda: "made").drain(), timeout=1
    )

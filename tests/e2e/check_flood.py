"""Checks, and writes if so asked, without a pause from a process of its own, until its input ends.

Prints one JSON object at the end: for each address when each check was answered with ALLOW, on the
machine's monotonic clock, how many were answered otherwise, and how many facts were written.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import grpc

from authz_service.api.v1 import facts_pb2_grpc, vocabulary_pb2
from authz_service.api.v1 import recording_access_pb2_grpc as grpc_api
from tests.e2e.client import question, write_request
from tests.e2e.clinic import patient

_FACTS_A_WRITE = 1000
_WRITES_IN_FLIGHT = 4
_PATIENCE_SECONDS = 10


@dataclass
class Told:
    """What one address answered."""

    allowed_at: list[float] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)
    written: int = 0


async def ask(stub: Any, told: Told, ended: asyncio.Event) -> None:
    """Check again and again."""
    request = question("mara", "rec-mara")
    while not ended.is_set():
        try:
            response = await stub.CheckAccess(request, timeout=_PATIENCE_SECONDS)
        except grpc.RpcError as error:
            told.others[str(error.code())] += 1
            continue
        if response.effect == vocabulary_pb2.EFFECT_ALLOW:
            told.allowed_at.append(time.monotonic())
        else:
            told.others[vocabulary_pb2.Reason.Name(response.reason)] += 1


async def write(stub: Any, told: Told, ended: asyncio.Event, writer: int) -> None:
    """Write a thousand facts again and again."""
    names = [f"p{writer}-{number}" for number in range(_FACTS_A_WRITE)]
    for second in range(3600):
        seen_at = f"2020-01-01T00:{second // 60:02}:{second % 60:02}Z"
        facts = [{**patient(name), "observed_at": seen_at} for name in names]
        if ended.is_set():
            return
        with suppress(grpc.RpcError):
            await stub.WriteFacts(write_request(facts), timeout=_PATIENCE_SECONDS)
            told.written += _FACTS_A_WRITE


async def flood(addresses: list[str], in_flight: int, *, writes: bool) -> dict[str, Any]:
    """Ask all addresses until the input ends; return what they answered."""
    ended, answers = asyncio.Event(), {address: Told() for address in addresses}
    channels = [grpc.aio.insecure_channel(address) for address in addresses]
    for_each = in_flight // len(addresses)
    tasks = []
    for number, (told, channel) in enumerate(zip(answers.values(), channels, strict=True)):
        access, facts = grpc_api.RecordingAccessServiceStub(channel), None
        tasks += [asyncio.ensure_future(ask(access, told, ended)) for _ in range(for_each)]
        if writes:
            facts = facts_pb2_grpc.FactsServiceStub(channel)
            many = range(number * _WRITES_IN_FLIGHT, (number + 1) * _WRITES_IN_FLIGHT)
            tasks += [asyncio.ensure_future(write(facts, told, ended, one)) for one in many]
    await asyncio.to_thread(sys.stdin.read)
    ended.set()
    await asyncio.gather(*tasks)
    for channel in channels:
        await channel.close()
    return {
        address: {"allowed_at": told.allowed_at, "others": told.others, "written": told.written}
        for address, told in answers.items()
    }


if __name__ == "__main__":
    _, in_flight, writes, *addresses = sys.argv
    told = asyncio.run(flood(addresses, int(in_flight), writes=writes == "with-writes"))
    sys.stdout.write(json.dumps(told))

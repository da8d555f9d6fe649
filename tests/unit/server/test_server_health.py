"""Health: serving when all parts are usable, told to who watches, and over with the drain."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from grpc_health.v1 import health_pb2 as pb
from structlog.testing import capture_logs

from authz_service.server.health import PARTS, Health

SERVICE = "authz_service.api.v1.RecordingAccessService"
SERVING, NOT_SERVING = pb.HealthCheckResponse.SERVING, pb.HealthCheckResponse.NOT_SERVING
UNKNOWN = pb.HealthCheckResponse.SERVICE_UNKNOWN


@dataclass
class Watcher:
    """Stands where gRPC's context does; keeps what is written."""

    told: list[Any] = field(default_factory=list)
    written: asyncio.Event = field(default_factory=asyncio.Event)

    async def write(self, response: pb.HealthCheckResponse) -> None:
        self.told.append(response.status)
        self.written.set()

    async def next(self) -> Any:
        """Wait for the next status."""
        await asyncio.wait_for(self.written.wait(), timeout=5)
        self.written.clear()
        return self.told[-1]


def watching(health: Health, watcher: Watcher, service: str = "") -> asyncio.Task[None]:
    """Watch a service."""
    request = pb.HealthCheckRequest(service=service)
    return asyncio.create_task(health.servicer.Watch(request, watcher))


async def checked(health: Health, service: str = "") -> Any:
    """Ask once."""
    request = pb.HealthCheckRequest(service=service)
    return (await health.servicer.Check(request, Watcher())).status


async def test_it_serves_once_every_part_is_usable_and_not_before() -> None:
    health = Health([SERVICE])

    seen = [await checked(health)]
    for part in PARTS:
        await health.report(part, "")
        seen.append(await checked(health, SERVICE))

    assert seen == [NOT_SERVING] * 4 + [SERVING]
    assert health.reasons == {}


async def test_who_watches_is_told_of_every_change_once() -> None:
    health, watcher = Health([SERVICE]), Watcher()
    watch = watching(health, watcher, SERVICE)
    assert await watcher.next() == NOT_SERVING

    for part in PARTS:
        await health.report(part, "")
    assert await watcher.next() == SERVING
    await health.report("journal", "it cannot write")
    assert await watcher.next() == NOT_SERVING
    assert health.reasons == {"journal": "it cannot write"}
    await health.report("registry", "gone")
    await health.report("journal", "")
    assert health.reasons == {"registry": "gone"}
    await health.report("registry", "")
    assert await watcher.next() == SERVING

    assert watcher.told == [NOT_SERVING, SERVING, NOT_SERVING, SERVING]
    watch.cancel()


async def test_a_drain_is_told_and_ends_every_watch() -> None:
    health = Health([SERVICE])
    for part in PARTS:
        await health.report(part, "")
    watchers = [Watcher() for _ in range(3)]
    services = ["", SERVICE, "unknown"]
    watches = [watching(health, w, s) for w, s in zip(watchers, services, strict=True)]
    for watcher in watchers:
        await watcher.next()

    await health.drain()
    await asyncio.wait_for(asyncio.gather(*watches), timeout=5)

    assert [watcher.told for watcher in watchers] == [
        [SERVING, NOT_SERVING],
        [SERVING, NOT_SERVING],
        [UNKNOWN],
    ]
    assert health.reasons == {"server": "draining"}


async def test_a_drain_of_what_never_served_ends_the_watches_too() -> None:
    health, watcher = Health([]), Watcher()
    watch = watching(health, watcher)
    await watcher.next()

    await health.drain()
    await asyncio.wait_for(watch, timeout=5)

    assert watcher.told == [NOT_SERVING]


async def test_nothing_serves_again_after_a_drain() -> None:
    health = Health([])
    await health.drain()

    for part in PARTS:
        await health.report(part, "")

    assert await checked(health) == NOT_SERVING


async def test_what_is_followed_is_told_as_it_changes() -> None:
    health, watcher, serving = Health([]), Watcher(), [False]
    watch = watching(health, watcher)
    following = asyncio.create_task(health.servicer.follow(lambda: serving[0]))
    seen = [await watcher.next()]

    for now in (True, False):
        serving[0] = now
        seen.append(await watcher.next())
    following.cancel()
    watch.cancel()

    assert seen == [NOT_SERVING, SERVING, NOT_SERVING]


async def test_reasons_that_take_turns_are_logged_once_until_it_serves_again() -> None:
    """A server that is silent in two ways by turns does not fill the log."""
    health = Health(("a.Service",))
    with capture_logs() as events:
        for _ in range(3):
            for why in ("", "silent", "slow", "silent", "slow"):
                await health.report("registry", why)

    assert [event["why"] for event in events] == ["usable", "silent", "slow"] * 3

"""Health: SERVING only while policy, registry, journal and port are usable, and not draining."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

import grpc
import structlog
from grpc_health.v1 import health_pb2 as pb
from grpc_health.v1 import health_pb2_grpc as grpc_api

log = structlog.get_logger(__name__)

PARTS = ("policy", "registry", "journal", "server")
"""What has to be usable for any question to be answered; the last of them is the port."""


_LOOK_SECONDS = 0.2


class HealthServicer(grpc_api.HealthServicer):  # type: ignore[misc]  # it comes without types
    """Serves `grpc.health.v1`: one status for all services. For one event loop.

    A watch ends with the drain, once it has told of it: the library's own would go on, and hold
    the drain up until its last second.
    """

    def __init__(self, services: Iterable[str]) -> None:
        """Begin as NOT_SERVING; the empty name stands for the whole server."""
        self._services = frozenset(("", *services))
        self._status = pb.HealthCheckResponse.NOT_SERVING
        self._is_last = False
        self._is_serving: Callable[[], bool] | None = None
        self._changed = asyncio.Condition()

    async def follow(self, is_serving: Callable[[], bool]) -> None:
        """Say whether *is_serving*, to who watches within a fraction of a second; never ends."""
        self._is_serving = is_serving
        while True:
            status = self._now()
            if status != self._status:
                await self.set(status, is_last=False)
            await asyncio.sleep(_LOOK_SECONDS)

    async def set(self, status: Any, *, is_last: bool) -> None:
        """Tell *status* to who asks and who watches; nothing follows the last one."""
        async with self._changed:
            self._status, self._is_last = status, is_last
            self._changed.notify_all()

    async def Check(  # noqa: N802  # the RPC's name
        self, request: pb.HealthCheckRequest, context: Any
    ) -> pb.HealthCheckResponse:
        """Answer once."""
        if request.service not in self._services:
            await context.abort(grpc.StatusCode.NOT_FOUND, "there is no such service")
        return pb.HealthCheckResponse(status=self._now())

    async def Watch(  # noqa: N802  # the RPC's name
        self, request: pb.HealthCheckRequest, context: Any
    ) -> None:
        """Answer now and at each change."""
        told = None
        while True:
            status = self._status_of(request.service)
            if status != told:
                await context.write(pb.HealthCheckResponse(status=status))
                told = status
            elif self._is_last:
                return
            else:
                await self._change_from(told, request.service)

    def _now(self) -> Any:
        """Return whether it serves."""
        if self._is_serving is None:
            return self._status
        response = pb.HealthCheckResponse
        return response.SERVING if self._is_serving() else response.NOT_SERVING

    def _status_of(self, service: str) -> Any:
        """Return what there is to say of *service*."""
        unknown = pb.HealthCheckResponse.SERVICE_UNKNOWN
        return self._status if service in self._services else unknown

    async def _change_from(self, told: Any, service: str) -> None:
        """Return when there is something else to say of *service* than *told*, or nothing more."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._is_last or self._status_of(service) != told)


class Health:
    """What `grpc.health.v1` and ``/healthz`` say. For one event loop."""

    def __init__(self, services: Iterable[str]) -> None:
        """Begin as NOT_SERVING."""
        self.servicer = HealthServicer(services)
        self._why = dict.fromkeys(PARTS, "not started")
        self._told: dict[str, set[str]] = {part: set() for part in PARTS}
        self._draining = False
        self._published: bool | None = None

    @property
    def serving(self) -> bool:
        """Whether questions can be answered."""
        return not self._draining and not any(self._why.values())

    @property
    def reasons(self) -> dict[str, str]:
        """What stands in the way, by part."""
        found = {part: why for part, why in self._why.items() if why}
        return {**found, "server": "draining"} if self._draining else found

    async def report(self, part: str, why: str) -> None:
        """Note that *part* is usable, with an empty *why*, or why it is not."""
        if self._why[part] != why:
            self._why[part] = why
            self._tell(part, why)
        await self.publish()

    def _tell(self, part: str, why: str) -> None:
        """Log a change; a reason that comes again is logged once until *part* is usable."""
        told = self._told[part]
        if why in told:
            return
        if why:
            told.add(why)
        else:
            told.clear()
        log.info("health_changed", part=part, why=why or "usable")

    async def drain(self) -> None:
        """Say NOT_SERVING from now on, and end the watches."""
        self._draining = True
        self._published = None
        await self.publish()

    async def publish(self) -> None:
        """Tell those who watch, where anything changed."""
        if self._published == self.serving:
            return
        self._published = self.serving
        response = pb.HealthCheckResponse
        status = response.SERVING if self.serving else response.NOT_SERVING
        await self.servicer.set(status, is_last=self._draining)

"""The composition root of the parent of workers: what it reserves, shows, and starts."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import Any

from authz_service.addresses import ADDRESS_ERRORS, guard_of, open_health, watch_addresses
from authz_service.app import StartError
from authz_service.audit.directory import WriterLock, make_directory
from authz_service.audit.files import LocalFiles
from authz_service.console.guard import Guard
from authz_service.console.health_address import HealthAddress
from authz_service.console.http import Console
from authz_service.entrance import servable
from authz_service.facts.schema_version import migrate
from authz_service.identity.tls_files import TlsFilesError
from authz_service.pdp import errors
from authz_service.policy.bundle import read_files
from authz_service.server.grpc_server import SERVICES
from authz_service.server.health import HealthServicer
from authz_service.server.listen import ListenError
from authz_service.settings import Settings
from authz_service.supervision.journals import warn_of_others, worker_journal
from authz_service.supervision.pipe import told_on
from authz_service.supervision.port import reserved_port
from authz_service.supervision.spawning import Spawning
from authz_service.supervision.standing import Limits, Refusal
from authz_service.supervision.supervisor import Supervisor, WorkerRefusedError
from authz_service.telemetry.metrics import CONTENT_TYPE
from authz_service.telemetry.parent_metrics import ParentMetrics

_WORKER_MODULE = "authz_service.worker"
_LAST_PORT = 65535
_REFUSED_SECONDS = 2.0
_KINDS: dict[str, type[Exception]] = {
    kind.__name__: kind
    for kind in (
        errors.FactsUnavailableError,
        errors.JournalUnavailableError,
        errors.PolicyNotReadyError,
        TlsFilesError,
        ListenError,
        *ADDRESS_ERRORS,
    )
}
"""What a worker may be unable to start for, by name; any other is told as it is."""

_REFUSED = {kind.__name__: kind for kind in (errors.CallersRefusedError,)}
"""Whose problems a worker tells of; by default they are the policy's."""


class Parent:
    """Workers that share one port, and one HTTP address that speaks for all of them.

    Attributes:
        port: Where gRPC is served, once started.
        http_port: Where the parent serves HTTP, once started.
    """

    def __init__(self, settings: Settings) -> None:
        """Hold *settings*; nothing is opened before `start`."""
        self._settings = settings
        self._closing = contextlib.AsyncExitStack()
        self._is_draining = False
        self._guard: Guard | None = None
        self._start_or_end = asyncio.Lock()
        self._supervisor = Supervisor(
            Spawning(_WORKER_MODULE),
            self._settings_of,
            lambda: read_files(settings.policy_dir),
            limits=Limits(end=settings.end_seconds),
        )
        self.port = 0
        self.http_port = 0

    async def start(self) -> None:
        """Reserve what workers share, and start them; or start nothing at all.

        Raises:
            StartError: Something that is needed is not usable, here or in a worker.
        """
        async with self._start_or_end:
            try:
                await self._start()
            except WorkerRefusedError as refused:
                await self._supervisor.stop(_REFUSED_SECONDS)
                await self._closing.aclose()
                raise StartError(refused.refusal.why) from _cause(refused.refusal)
            except (
                errors.AuthzError,
                TlsFilesError,
                ListenError,
                *ADDRESS_ERRORS,
                OSError,
            ) as error:
                await self._closing.aclose()
                raise StartError(str(error)) from error

    def reload_soon(self) -> None:
        """Have all workers read the bundle again, and look at tokens, as SIGHUP asks."""
        if self._guard is not None:
            self._guard.look_soon()
        self._supervisor.reload_soon()

    async def drain(self) -> None:
        """End all workers in order, then give back what they shared; a start ends as well."""
        self._is_draining = True
        await self._supervisor.stop(self._settings.end_seconds)
        async with self._start_or_end:
            await self._closing.aclose()

    async def _start(self) -> None:
        """Reserve, show, start."""
        settings = self._settings
        servable(settings)
        guard = self._guard = guard_of(settings)
        self._require_ports()
        probed = await self._open_health()
        make_directory(LocalFiles(), settings.journal_dir)
        lock = WriterLock.take(settings.journal_dir)
        self._closing.callback(lock.release)
        warn_of_others(settings.journal_dir, workers=settings.workers)
        reserved = reserved_port(settings.listen)
        self._closing.callback(reserved.close)
        self.port = _port_of(reserved)
        await asyncio.to_thread(migrate, settings.registry_url)
        await self._show(guard, probed)
        await self._supervisor.start(settings.workers)

    async def _open_health(self) -> HealthAddress | None:
        """Answer probes for all workers."""
        servicer = HealthServicer(SERVICES)
        following = asyncio.create_task(servicer.follow(self._is_serving))
        self._closing.callback(following.cancel)
        return await open_health(self._settings, servicer, self._is_serving, self._closing)

    async def _show(self, guard: Guard, probed: HealthAddress | None) -> None:
        """Serve HTTP for all workers."""
        metrics = ParentMetrics(self._supervisor)
        console = Console(
            self._settings.http_listen,
            metrics=metrics.render,
            content_type=CONTENT_TYPE,
            health=self._reasons,
            serving=self._is_serving,
            pages={"/workers": self._supervisor.overview},
            guard=guard,
        )
        watch_addresses(metrics, console, probed)
        self.http_port = await console.start()
        self._closing.push_async_callback(console.close)

    def _is_serving(self) -> bool:
        """Whether a worker can answer questions."""
        return self._supervisor.is_serving and not self._is_draining

    def _reasons(self) -> dict[str, str]:
        """Return what stands in the way of serving, of all or of one worker."""
        reasons = self._supervisor.reasons
        return {"server": "draining", **reasons} if self._is_draining else reasons

    def _require_ports(self) -> None:
        """Refuse an HTTP address whose following ports do not exist."""
        address, workers = self._settings.http_listen, self._settings.workers
        port = int(address.rpartition(":")[2])
        if port and port + workers > _LAST_PORT:
            raise ListenError(
                f"AUTHZ_HTTP_LISTEN={address} leaves no room for AUTHZ_WORKERS={workers}: worker n "
                f"serves its metrics on the n-th port after it; choose one up to "
                f"{_LAST_PORT - workers}"
            )

    def _settings_of(self, number: int) -> dict[str, Any]:
        """Return the settings of worker *number*, as they go over its pipe."""
        settings = self._settings
        host, _, http_port = settings.http_listen.rpartition(":")
        own = {
            "listen": f"{settings.listen.rpartition(':')[0]}:{self.port}",
            "http_listen": f"{host}:{int(http_port) + number if int(http_port) else 0}",
            "health_listen": None,
            "journal_dir": worker_journal(settings.journal_dir, number),
        }
        return settings.model_copy(update=own).model_dump(mode="json")


def _port_of(reserved: socket.socket) -> int:
    """Return the port that is reserved."""
    return int(reserved.getsockname()[1])


def _cause(refusal: Refusal) -> Exception | None:
    """Return the error that a worker told of, so that it is told on as if it were the parent's."""
    if refusal.problems:
        refused = _REFUSED.get(refusal.cause, errors.PolicyRefusedError)
        return refused(*refusal.problems)
    kind = _KINDS.get(refusal.cause)
    if kind is None:
        return None
    return told_on(kind, refusal.why)

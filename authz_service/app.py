"""The composition root of one process: settings to objects to servers, start and drain."""

from __future__ import annotations

import asyncio
import contextlib
from importlib.metadata import version

from authz_service.addresses import ADDRESS_ERRORS, guard_of, open_health, watch_addresses
from authz_service.audit.files import Files
from authz_service.audit.journal import FileJournal, JournalOptions
from authz_service.audit.opening import open_journal
from authz_service.audit.segment import Origin
from authz_service.audit.store.shipper import Shipper
from authz_service.audit.store.shipper_options import ShipperOptions
from authz_service.audit.store.sql_decision_log import SqlDecisionLog, decision_log_at
from authz_service.clocks import clock_of
from authz_service.console.guard import Guard
from authz_service.console.health_address import HealthAddress
from authz_service.console.http import Console
from authz_service.entrance import Entrance
from authz_service.identity.tls_files import TlsFilesError
from authz_service.opened_registry import OpenedRegistry, open_registry
from authz_service.operations.active_policy import ActivePolicy
from authz_service.operations.all_operations import Operations, Plugs, operations_with
from authz_service.operations.ports import Clock
from authz_service.operations.read_decisions import NoDecisionLog
from authz_service.operations.refusals import Refusals
from authz_service.operations.reload_policy import ReloadOrder, ReloadPolicy
from authz_service.pdp.errors import AuthzError, PolicyRefusedError
from authz_service.policy.source import BundleSource
from authz_service.runtime import (
    Background,
    calm_collector,
    closed_in_time,
    connections_allowed,
    new_id,
    on_this_loop,
    request_ids,
)
from authz_service.server.admission import Gate
from authz_service.server.grpc_server import RPCS, SERVICES, GrpcServer, Manner
from authz_service.server.health import Health
from authz_service.server.listen import ListenError
from authz_service.settings import Settings
from authz_service.supervision.membership import Membership
from authz_service.telemetry.decision_lines import DecisionLines
from authz_service.telemetry.gauges import watch_calls, watch_serving, watch_shipping
from authz_service.telemetry.logs import is_readable
from authz_service.telemetry.metrics import CONTENT_TYPE, Metrics

SOFTWARE = f"authz-service/{version('authz-service')}"
"""The program, as records name it."""

_REFUSALS = (AuthzError, TlsFilesError, ListenError, *ADDRESS_ERRORS, OSError)


class StartError(Exception):
    """The service cannot start; the message says what is wrong and what to do."""


class Service:
    """Everything that one process serves.

    Attributes:
        port: Where gRPC is served, once started.
        http_port: Where HTTP is served, once started.
    """

    def __init__(
        self,
        settings: Settings,
        clock: Clock | None = None,
        *,
        membership: Membership | None = None,
        files: Files | None = None,
    ) -> None:
        """Hold *settings*; nothing is opened before `start`.

        Args:
            settings: What an operator has set; where this is a worker, its own journal and port.
            clock: The service's time; by default that of the settings.
            membership: What makes this one of several workers; None where it is the only one.
            files: What the journal lies on; by default the operating system's files.
        """
        self._settings = settings
        self._clock: Clock = clock or clock_of(settings)
        self._membership = membership
        self._files = files
        self._metrics = Metrics(RPCS)
        self._health = Health(SERVICES)
        self._background = Background()
        self._closing = contextlib.AsyncExitStack()
        self._policy = ActivePolicy(self._clock)
        self._reload: ReloadPolicy | None = None
        self._entrance: Entrance | None = None
        self._guard: Guard | None = None
        self._shipper = Shipper(
            settings.decisions_url,
            self._clock,
            self._metrics.shipping,
            options=ShipperOptions(retention_hours=settings.journal_retention_hours),
        )
        self.port = 0
        self.http_port = 0

    async def start(self) -> None:
        """Open what a question needs, then serve; or start nothing at all.

        Raises:
            StartError: Something that is needed is not usable.
        """
        try:
            await self._start()
        except _REFUSALS as error:
            await self._closing.aclose()
            raise StartError(str(error)) from error

    @property
    def reasons(self) -> dict[str, str]:
        """What stands in the way of serving, by part."""
        return self._health.reasons

    @property
    def policy_revision(self) -> str:
        """The policy revision in force, or an empty text."""
        return self._policy.revision

    def reload_soon(self) -> None:
        """Read the bundle again, look at callers and certificates, as SIGHUP asks."""
        if self._entrance is not None:
            self._entrance.look_soon()
        if self._guard is not None:
            self._guard.look_soon()
        if self._reload is not None:
            self._background.do(self._reload(ReloadOrder("signal")))

    async def drain(self) -> None:
        """Health first, then the calls in flight, then the journal, then what is to be shipped."""
        await self._health.drain()
        await self._closing.aclose()

    async def _start(self) -> None:
        """Open and serve, in the order in which each needs the one before."""
        entrance = self._entrance = Entrance(self._settings, self._metrics, self._clock)
        self._closing.push_async_callback(entrance.close)
        guard = self._guard = guard_of(self._settings)
        probed = await open_health(
            self._settings, self._health.servicer, lambda: self._health.serving, self._closing
        )
        journal = await self._open_journal()
        await entrance.watch(journal)
        reload_policy = await self._load_policy(journal)
        opened = await self._open_registry()
        membership = self._membership
        operations = operations_with(
            Plugs(
                active_policy=self._policy,
                reload_policy=membership.reload if membership else reload_policy,
                facts=opened.facts,
                candidates=opened.candidates,
                subjects=opened.subjects,
                history=opened.history,
                registry=opened.registry,
                containments=opened.containments,
                feed=opened.feed,
                persons=opened.persons,
                emergency_registry=opened.accesses,
                emergency_minutes=self._settings.emergency_minutes,
                token_key=await opened.registry.page_token_key(),
                journal=journal,
                decisions=self._open_decisions(journal),
                clock=self._clock,
                observer=self._metrics,
                new_id=new_id,
            )
        )
        watch_serving(self._metrics, lambda: self._health.serving)
        calm_collector()
        changing = (operations.write_facts, operations.contain_access, operations.emergency_access)
        for verbs in changing:
            self._closing.push_async_callback(verbs.finish, self._settings.drain_seconds)
        if membership is not None:
            await membership.admitted(reload_policy, self._policy)
        await self._show(guard, probed, entrance)
        await self._listen(operations, entrance)

    async def _open_journal(self) -> FileJournal:
        """Open the journal; a torn end is mended, damage is not."""
        self._metrics.journal.on_usable = on_this_loop(self._journal_usable)
        journal = await asyncio.to_thread(
            open_journal,
            self._settings.journal_dir,
            Origin(self._clock, SOFTWARE),
            options=JournalOptions(segment_bytes=self._settings.journal_segment_bytes),
            metrics=self._metrics.journal,
            on_written=DecisionLines(
                readable=is_readable(self._settings.log_format),
                shared=self._membership is not None,
            ),
            files=self._files,
        )
        self._closing.push_async_callback(self._shipper.close, self._settings.drain_seconds)
        self._closing.push_async_callback(journal.close)
        return journal

    async def _load_policy(self, journal: FileJournal) -> ReloadPolicy:
        """Put the first policy in force; without one there is no start."""
        given = self._membership
        self._reload = reload_policy = ReloadPolicy(
            self._policy,
            given.source if given else BundleSource(self._settings.policy_dir),
            journal=journal,
            clock=self._clock,
            observer=self._metrics,
        )
        attempt = await reload_policy(ReloadOrder("start"))
        if attempt.problems:
            raise PolicyRefusedError(*attempt.problems).below(str(self._settings.policy_dir))
        await self._health.report("policy", "")
        return reload_policy

    async def _open_registry(self) -> OpenedRegistry:
        """Open the registry, made or upgraded where it has to be."""
        opened = await open_registry(
            self._settings, self._clock, self._metrics, self._closing, self._registry_usable
        )
        await self._health.report("registry", "")
        return opened

    def _open_decisions(self, journal: FileJournal) -> SqlDecisionLog | NoDecisionLog:
        """Begin to ship; return the log of what was shipped.

        The registry has its schema by then: Alembic makes one database's at a time.
        """
        decisions = decision_log_at(self._settings.decisions_url)
        self._closing.push_async_callback(closed_in_time, decisions.close)
        self._shipper.start(journal)
        if not self._shipper.is_off:
            watch_shipping(self._metrics, self._shipper.status)
        return decisions

    async def _show(self, guard: Guard, probed: HealthAddress | None, entrance: Entrance) -> None:
        """Serve HTTP, before gRPC: who can ask can be watched."""
        console = Console(
            self._settings.http_listen,
            metrics=self._metrics.render,
            content_type=CONTENT_TYPE,
            health=lambda: self._health.reasons,
            details=lambda: {"shipping": self._shipper.status().plain(), **entrance.details()},
            guard=guard,
        )
        watch_addresses(self._metrics, console, probed)
        self.http_port = await console.start()
        self._closing.push_async_callback(console.close)

    async def _listen(self, operations: Operations, entrance: Entrance) -> None:
        """Serve gRPC."""
        refusals = Refusals(self._metrics, operations.journal, self._clock)
        self._closing.push_async_callback(refusals.finish, self._settings.drain_seconds)
        server = GrpcServer(
            operations,
            Gate(entrance.admission, refusals),
            self._health,
            observer=self._metrics,
            new_request_id=request_ids(),
            manner=Manner(
                self._settings.reflection,
                shared_port=self._membership is not None,
                credentials=entrance.credentials,
                denial_step_ms=self._settings.denial_step_ms,
                connections=connections_allowed(),
            ),
        )
        watch_calls(self._metrics, lambda: server.in_flight)
        self._closing.push_async_callback(server.stop, self._settings.drain_seconds)
        self.port = await server.start(self._settings.listen)

    def _registry_usable(self, usable: bool, why: str) -> None:  # noqa: FBT001  # the cache's shape
        """Hear from the cache whether the registry can be relied on."""
        self._background.do(self._health.report("registry", "" if usable else why))

    def _journal_usable(self, usable: bool) -> None:  # noqa: FBT001  # the meter's shape
        """Hear from the journal whether it can write."""
        self._background.do(self._health.report("journal", "" if usable else "it cannot write"))

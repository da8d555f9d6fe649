"""The gRPC server: every service behind the one layer, and the standard ones beside it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

import grpc
from grpc_health.v1 import health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc

from authz_service.api.v1 import (
    containment_pb2,
    containment_pb2_grpc,
    decision_log_pb2,
    decision_log_pb2_grpc,
    emergency_access_pb2,
    emergency_access_pb2_grpc,
    facts_pb2,
    facts_pb2_grpc,
    policy_pb2,
    policy_pb2_grpc,
    recording_access_pb2,
    recording_access_pb2_grpc,
)
from authz_service.operations.all_operations import Operations
from authz_service.operations.even_pace import DEFAULT_STEP_MS, EvenPace
from authz_service.server.access_servicer import AccessServicer
from authz_service.server.admission import Gate
from authz_service.server.containment_servicer import ContainmentServicer
from authz_service.server.decision_log_servicer import DecisionLogServicer
from authz_service.server.emergency_servicer import EmergencyServicer
from authz_service.server.explaining import Explaining
from authz_service.server.facts_servicer import FactsServicer
from authz_service.server.health import Health
from authz_service.server.listen import bind, options
from authz_service.server.policy_servicer import PolicyServicer
from authz_service.server.standard_services import StandardServices
from authz_service.server.statuses import RpcObserver, StatusLayer

_SERVICES: dict[str, Any] = {
    service.full_name: service
    for proto in (
        recording_access_pb2,
        facts_pb2,
        containment_pb2,
        emergency_access_pb2,
        policy_pb2,
        decision_log_pb2,
    )
    for service in proto.DESCRIPTOR.services_by_name.values()
}
SERVICES = tuple(_SERVICES)
"""The full names of the services of this project."""
RPCS = tuple(
    (name, str(method)) for name, service in _SERVICES.items() for method in service.methods_by_name
)
"""Every (service, method) of this project."""


_LAST_SECONDS = 0.5


class Manner(NamedTuple):
    """How it is served.

    Attributes:
        with_reflection: Whether reflection is served, too.
        shared_port: Whether other workers of the same service listen on the same port.
        credentials: What the port is served with; None for plaintext, on loopback only.
        denial_step_ms: The steps at which denials without a reason leave; 0 for at once.
        connections: Most connections at once.
    """

    with_reflection: bool = False
    shared_port: bool = False
    credentials: grpc.ServerCredentials | None = None
    denial_step_ms: int = DEFAULT_STEP_MS
    connections: int = 1000


class GrpcServer:
    """Serves *operations* on one event loop."""

    def __init__(
        self,
        operations: Operations,
        gate: Gate,
        health: Health,
        *,
        observer: RpcObserver,
        new_request_id: Callable[[], str],
        manner: Manner,
    ) -> None:
        """Put the services together; nothing is served before `start`."""
        layer = self._layer = StatusLayer(gate, observer, new_request_id)
        _add_services(layer, operations, manner.denial_step_ms)
        self._health = health
        standard: Any = StandardServices(gate, new_request_id)  # it takes the place of a server
        health_pb2_grpc.add_HealthServicer_to_server(health.servicer, standard)
        if manner.with_reflection:
            servicer = reflection.aio.ReflectionServicer((*SERVICES, reflection.SERVICE_NAME))
            reflection_pb2_grpc.add_ServerReflectionServicer_to_server(servicer, standard)
        self._credentials = manner.credentials
        self._server = grpc.aio.server(
            options=options(shared_port=manner.shared_port, connections=manner.connections)
        )
        self._server.add_generic_rpc_handlers((layer, standard))

    @property
    def in_flight(self) -> int:
        """How many calls are in hand."""
        return self._layer.in_flight

    async def start(self, address: str) -> int:
        """Serve at *address*; return the port.

        Raises:
            ListenError: The address may not be served there so, or is taken.
        """
        port = bind(self._server, address, self._credentials)
        await self._server.start()
        await self._health.report("server", "")
        return port

    async def stop(self, grace_seconds: float) -> None:
        """Take no more calls; let those in flight end, for *grace_seconds*.

        grpc's own grace begins when no call of ours is in flight, and is short: a call that it
        accepted in the moment of its stop gets no handler any more, and would last until the end.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(grace_seconds):
                await self._layer.drain()
        await self._server.stop(min(grace_seconds, _LAST_SECONDS))


def _add_services(layer: Any, operations: Operations, denial_step_ms: int) -> None:
    """Put every service of ours behind *layer*, which takes the place of a server."""
    recording_access_pb2_grpc.add_RecordingAccessServiceServicer_to_server(
        AccessServicer(
            operations.check_access,
            operations.batch_check_access,
            operations.list_recordings,
            Explaining(operations.explain_access, operations.list_subjects),
            pace=EvenPace(denial_step_ms),
            clock=operations.clock,
        ),
        layer,
    )
    facts_pb2_grpc.add_FactsServiceServicer_to_server(
        FactsServicer(
            operations.write_facts,
            operations.registry,
            watch_facts=operations.watch_facts,
            export_person=operations.export_person,
        ),
        layer,
    )
    containment_pb2_grpc.add_ContainmentServiceServicer_to_server(
        ContainmentServicer(operations.contain_access, operations.list_containments), layer
    )
    policy_pb2_grpc.add_PolicyServiceServicer_to_server(
        PolicyServicer(
            operations.active_policy,
            operations.reload_policy,
            journal=operations.journal,
            clock=operations.clock,
        ),
        layer,
    )
    decision_log_pb2_grpc.add_DecisionLogServiceServicer_to_server(
        DecisionLogServicer(operations.read_decisions), layer
    )
    emergency_access_pb2_grpc.add_EmergencyAccessServiceServicer_to_server(
        EmergencyServicer(
            operations.emergency_access, pace=EvenPace(denial_step_ms), clock=operations.clock
        ),
        layer,
    )

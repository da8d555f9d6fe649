"""The registry for emergency access: the port of the operation, on SQL."""

from __future__ import annotations

from authz_service.facts.database import Access
from authz_service.facts.emergency import (
    known_for_opening,
    open_access,
    read_accesses,
    review_access,
)
from authz_service.facts.sql_registry import SqlRegistry
from authz_service.operations.emergency_ports import (
    AccessesQuestion,
    AccessKey,
    AccessPage,
    Opened,
    Opening,
    Review,
    Reviewed,
)
from authz_service.operations.ports import Clock
from authz_service.operations.writes import Tenants
from authz_service.pdp.emergency import OpeningFacts


class SqlEmergencyRegistry:
    """Emergency accesses in a registry of facts, on its threads and connections."""

    def __init__(self, registry: SqlRegistry, clock: Clock) -> None:
        """Read and write *registry*, by the service's *clock*."""
        self._registry = registry
        self._clock = clock

    async def known(self, subject_id: str, patient_id: str) -> OpeningFacts:
        return await self._registry.in_transaction(
            Access.READ, lambda session: known_for_opening(session, subject_id, patient_id)
        )

    async def open(self, opening: Opening) -> Opened:
        return await self._registry.in_transaction(
            Access.WRITE, lambda session: open_access(session, opening, self._clock.now())
        )

    async def page(
        self,
        question: AccessesQuestion,
        *,
        after: AccessKey | None,
        limit: int,
        within: Tenants = None,
    ) -> AccessPage:
        return await self._registry.in_transaction(
            Access.READ,
            lambda session: read_accesses(
                session,
                question,
                after=after,
                limit=limit,
                now=self._clock.now(),
                within=within,
            ),
        )

    async def review(self, review: Review, *, within: Tenants = None) -> Reviewed:
        return await self._registry.in_transaction(
            Access.WRITE,
            lambda session: review_access(session, review, self._clock.now(), within),
        )

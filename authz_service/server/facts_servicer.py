"""FactsService: convert, call, convert. Conversion of a thousand facts happens off the loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from authz_service.api.v1 import facts_pb2 as pb
from authz_service.api.v1 import facts_pb2_grpc as grpc_api
from authz_service.operations.export_person import ExportPerson
from authz_service.operations.ports import FactsRegistry
from authz_service.operations.watch_facts import WatchFacts
from authz_service.operations.write_facts import WriteFacts
from authz_service.pdp.errors import InvalidRequestError, Violation
from authz_service.pdp.model import is_id
from authz_service.server.call import Call
from authz_service.server.change_messages import told
from authz_service.server.convert import require_actor
from authz_service.server.fact_requests import (
    facts_from_proto,
    facts_to_proto,
    references_from_proto,
)
from authz_service.server.person_messages import exported

_MAX_REASON = 4096


class FactsServicer(grpc_api.FactsServiceServicer):
    """Asks the operations, and nothing else."""

    def __init__(
        self,
        write_facts: WriteFacts,
        registry: FactsRegistry,
        *,
        watch_facts: WatchFacts,
        export_person: ExportPerson,
    ) -> None:
        """Write through *write_facts*, read from *registry*, keep up with it by *watch_facts*."""
        self._write_facts = write_facts
        self._registry = registry
        self._watch_facts = watch_facts
        self._export_person = export_person
        self._turn = asyncio.Lock()

    async def WriteFacts(  # type: ignore[override]  # noqa: N802  # the layer hands a Call
        self, request: pb.WriteFactsRequest, context: Call
    ) -> pb.WriteFactsResponse:
        """Write facts."""
        actor = require_actor(request.actor)
        facts = await asyncio.to_thread(facts_from_proto, request.facts, context.rule)
        outcome = await self._write_facts.write(
            facts,
            actor=actor,
            context=context.context,
            within=context.rule.tenants,
            may_review=context.rule.may_review,
        )
        return pb.WriteFactsResponse(
            facts_revision=outcome.revision,
            written=outcome.written,
            skipped=outcome.skipped,
            unchanged=outcome.unchanged,
            conflicting_recording_ids=outcome.conflicting,
        )

    async def ReadFacts(  # type: ignore[override]  # noqa: N802  # the layer hands a Call
        self,
        request: pb.ReadFactsRequest,
        context: Call,
    ) -> pb.ReadFactsResponse:
        """Read facts."""
        references = references_from_proto(request.references)
        facts, revision = await self._registry.read(references, within=context.rule.tenants)
        return await asyncio.to_thread(facts_to_proto, facts, revision)

    async def DeleteFacts(  # type: ignore[override]  # noqa: N802  # the layer hands a Call
        self, request: pb.DeleteFactsRequest, context: Call
    ) -> pb.DeleteFactsResponse:
        """Delete facts."""
        actor = require_actor(request.actor)
        references = references_from_proto(request.references)
        if len(set(references)) < len(references):
            raise InvalidRequestError(Violation("references", "name the same fact twice"))
        for reference in references:
            context.rule.require_write(reference.kind)
        outcome = await self._write_facts.delete(
            references,
            actor=actor,
            context=context.context,
            within=context.rule.tenants,
            may_review=context.rule.may_review,
        )
        return pb.DeleteFactsResponse(facts_revision=outcome.revision, deleted=outcome.written)

    async def ResolveConflict(  # type: ignore[override]  # noqa: N802  # the layer hands a Call
        self, request: pb.ResolveConflictRequest, context: Call
    ) -> pb.ResolveConflictResponse:
        """Resolve a conflict."""
        actor = require_actor(request.actor)
        if not is_id(request.recording_id):
            raise InvalidRequestError(Violation("recording_id", "is missing or not an id"))
        _require_reason(request.reason)
        resolution = await self._write_facts.resolve(
            request.recording_id,
            actor=actor,
            reason=request.reason,
            context=context.context,
            within=context.rule.tenants,
        )
        return pb.ResolveConflictResponse(
            facts_revision=resolution.revision, patient_id=resolution.patient_id
        )

    async def ErasePerson(  # type: ignore[override]  # noqa: N802  # the layer hands a Call
        self, request: pb.ErasePersonRequest, context: Call
    ) -> pb.ErasePersonResponse:
        """Erase a patient."""
        context.rule.require_erase()
        actor = require_actor(request.actor)
        if not is_id(request.patient_id):
            raise InvalidRequestError(Violation("patient_id", "is missing or not an id"))
        _require_reason(request.reason)
        erasure = await self._write_facts.erase(
            request.patient_id,
            actor=actor,
            reason=request.reason,
            context=context.context,
            within=context.rule.tenants,
        )
        return pb.ErasePersonResponse(
            facts_revision=erasure.revision, erased=erasure.erased, naming=erasure.naming
        )

    async def WatchFacts(  # type: ignore[override]  # noqa: N802  # the layer hands a Call
        self, request: pb.WatchFactsRequest, context: Call
    ) -> AsyncGenerator[pb.WatchFactsResponse, None]:
        """Tell of every change."""
        context.rule.require_every_tenant("watch facts: they are those of every tenant")
        parts = self._watch_facts(
            request.after_revision, request.after_state, context=context.context
        )
        async with aclosing(parts):
            async for part in parts:
                yield await told(part, self._turn)

    async def ExportPerson(  # type: ignore[override]  # noqa: N802  # the layer hands a Call
        self, request: pb.ExportPersonRequest, context: Call
    ) -> AsyncGenerator[pb.ExportPersonResponse, None]:
        """Write out what is stored about a person."""
        actor = require_actor(request.actor)
        if not is_id(request.subject_id):
            raise InvalidRequestError(Violation("subject_id", "is missing or not an id"))
        parts = self._export_person(
            request.subject_id, actor=actor, context=context.context, within=context.rule.tenants
        )
        async with aclosing(parts):
            async for part, revision in parts:
                yield await asyncio.to_thread(exported, part, revision)


def _require_reason(reason: str) -> None:
    """Refuse a reason that says nothing, or too much.

    Raises:
        InvalidRequestError: It does.
    """
    if not reason.strip() or len(reason) > _MAX_REASON:
        raise InvalidRequestError(
            Violation("reason", f"is missing, or longer than {_MAX_REASON} characters")
        )

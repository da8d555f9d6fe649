"""FactsService: convert, call, convert. Conversion of a thousand facts happens off the loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any

from google.protobuf import json_format

from authz_service.api.v1 import entities_pb2 as entities
from authz_service.api.v1 import facts_pb2 as pb
from authz_service.api.v1 import facts_pb2_grpc as grpc_api
from authz_service.identity.caller_rules import CallerRule
from authz_service.operations.ports import FactsRegistry
from authz_service.operations.watch_facts import WatchFacts
from authz_service.operations.write_facts import MAX_FACTS, WriteFacts
from authz_service.pdp.entities import Entity
from authz_service.pdp.entity_plain import fact_from_plain
from authz_service.pdp.errors import InvalidRequestError, Violation
from authz_service.pdp.facts import Fact, FactReference
from authz_service.pdp.model import is_id
from authz_service.server.call import Call
from authz_service.server.change_messages import told
from authz_service.server.convert import check_instants, require_actor
from authz_service.server.fact_messages import KINDS, fill_fact

_MAX_REASON = 4096


class FactsServicer(grpc_api.FactsServiceServicer):
    """Asks the operations, and nothing else."""

    def __init__(
        self, write_facts: WriteFacts, registry: FactsRegistry, *, watch_facts: WatchFacts
    ) -> None:
        """Write through *write_facts*, read from *registry*, keep up with it by *watch_facts*."""
        self._write_facts = write_facts
        self._registry = registry
        self._watch_facts = watch_facts

    async def WriteFacts(  # type: ignore[override]  # noqa: N802  # the layer hands a Call
        self, request: pb.WriteFactsRequest, context: Call
    ) -> pb.WriteFactsResponse:
        """Write facts."""
        actor = require_actor(request.actor)
        facts = await asyncio.to_thread(_facts_from_proto, request.facts, context.rule)
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
        references = _references_from_proto(request.references)
        facts, revision = await self._registry.read(references, within=context.rule.tenants)
        return await asyncio.to_thread(_facts_to_proto, facts, revision)

    async def DeleteFacts(  # type: ignore[override]  # noqa: N802  # the layer hands a Call
        self, request: pb.DeleteFactsRequest, context: Call
    ) -> pb.DeleteFactsResponse:
        """Delete facts."""
        actor = require_actor(request.actor)
        references = _references_from_proto(request.references)
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
                yield await told(part)


def _require_reason(reason: str) -> None:
    """Refuse a reason that says nothing, or too much.

    Raises:
        InvalidRequestError: It does.
    """
    if not reason.strip() or len(reason) > _MAX_REASON:
        raise InvalidRequestError(
            Violation("reason", f"is missing, or longer than {_MAX_REASON} characters")
        )


def _facts_from_proto(messages: Sequence[entities.Fact], rule: CallerRule) -> list[Fact[Entity]]:
    """Return the facts of *messages*, as the caller of *rule* may write them.

    Raises:
        InvalidRequestError: Names the field that is malformed, as in ``facts[3].recording.state``.
        CallerNotAllowedError: The caller may not write one of them, or not as that source.
    """
    _require_count("facts", len(messages))
    sources = [_source_of(message, rule) for message in messages]
    return [
        _fact_from_proto(message, index, source)
        for index, (message, source) in enumerate(zip(messages, sources, strict=True))
    ]


def _source_of(message: entities.Fact, rule: CallerRule) -> str | None:
    """Return the source of a fact: the stated one, or the one that the caller writes its kind as.

    Raises:
        CallerNotAllowedError: It may not write that kind, or not as the stated source.
    """
    kind = message.WhichOneof("entity")
    if kind is None:
        return message.source or None
    rule.require_write(kind, message.source or None)
    return message.source or rule.source_of(kind)


def _fact_from_proto(message: entities.Fact, index: int, source: str | None) -> Fact[Entity]:
    """Return one fact, said by *source*."""
    path = f"facts[{index}]"
    try:
        plain: dict[str, Any] = json_format.MessageToDict(message, preserving_proto_field_name=True)
    except (json_format.Error, ValueError, OverflowError):
        check_instants(message, path)
        raise
    plain.pop("revision", None)
    if source is not None:
        plain["source"] = source
    return fact_from_plain(plain, path)


def _facts_to_proto(facts: Sequence[Fact[Entity]], revision: int) -> pb.ReadFactsResponse:
    """Return *facts* as they are stored."""
    response = pb.ReadFactsResponse(facts_revision=revision)
    for fact in facts:
        fill_fact(response.facts.add(), fact)
    return response


def _references_from_proto(messages: Sequence[entities.FactReference]) -> list[FactReference]:
    """Return what *messages* name.

    Raises:
        InvalidRequestError: Names the field that is malformed.
    """
    _require_count("references", len(messages))
    references = []
    for index, message in enumerate(messages):
        kind = KINDS.get(message.kind)
        if kind is None:
            raise InvalidRequestError(
                Violation(
                    f"references[{index}].kind", f"is missing, or has no value {message.kind}"
                )
            )
        if not is_id(message.id):
            raise InvalidRequestError(
                Violation(f"references[{index}].id", "is missing or not an id")
            )
        references.append(FactReference(kind, message.id))
    return references


def _require_count(field: str, count: int) -> None:
    """Refuse none, and too many.

    Raises:
        InvalidRequestError: Names *field*.
    """
    if not 1 <= count <= MAX_FACTS:
        raise InvalidRequestError(
            Violation(field, f"has {count} items; one call takes 1 to {MAX_FACTS}")
        )

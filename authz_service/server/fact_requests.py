"""What those who write and read facts send, and the facts that they are answered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from google.protobuf import json_format

from authz_service.api.v1 import entities_pb2 as entities
from authz_service.api.v1 import facts_pb2 as pb
from authz_service.identity.caller_rules import CallerRule
from authz_service.operations.write_facts import MAX_FACTS
from authz_service.pdp.entities import Entity
from authz_service.pdp.entity_plain import fact_from_plain
from authz_service.pdp.errors import InvalidRequestError, Violation
from authz_service.pdp.facts import Fact, FactReference
from authz_service.pdp.model import is_id
from authz_service.server.convert import check_instants
from authz_service.server.fact_messages import KINDS, fill_fact


def facts_from_proto(messages: Sequence[entities.Fact], rule: CallerRule) -> list[Fact[Entity]]:
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


def facts_to_proto(facts: Sequence[Fact[Entity]], revision: int) -> pb.ReadFactsResponse:
    """Return *facts* as they are stored."""
    response = pb.ReadFactsResponse(facts_revision=revision)
    for fact in facts:
        fill_fact(response.facts.add(), fact)
    return response


def references_from_proto(messages: Sequence[entities.FactReference]) -> list[FactReference]:
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

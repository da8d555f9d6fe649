"""Facts as messages."""

from __future__ import annotations

from google.protobuf import json_format

from authz_service.api.v1 import entities_pb2 as entities
from authz_service.pdp.entities import Entity
from authz_service.pdp.entity_plain import fact_to_plain
from authz_service.pdp.entity_words import FactKind
from authz_service.pdp.facts import Fact

KINDS = {entities.FactKind.Value(f"FACT_KIND_{kind.name}"): kind for kind in FactKind}
"""The kinds of facts by their numbers on the wire."""
NUMBERS = {kind: number for number, kind in KINDS.items()}
"""The numbers of the kinds."""


def fill_fact(message: entities.Fact, fact: Fact[Entity]) -> None:
    """Write *fact*, as it is stored, into the empty *message*."""
    json_format.ParseDict(fact_to_plain(fact, long_names=True), message)
    message.revision = fact.revision

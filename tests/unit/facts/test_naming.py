"""Two tables tell whom and what a fact names: one by its fields, one by where history looks."""

from __future__ import annotations

from hypothesis import given, settings

from authz_service.facts.mentions import mentions_of
from authz_service.facts.naming import persons_in, references_in
from authz_service.pdp.entities import Entity
from authz_service.pdp.entity_words import FactKind
from tests.property.pdp_worlds import CONTAINMENTS, ENTITIES


@settings(max_examples=200, deadline=None)
@given(ENTITIES | CONTAINMENTS)
def test_history_notes_all_that_verification_and_exports_know_a_fact_to_name(
    entity: Entity,
) -> None:
    """But for its tenant and its own id, by which history finds it anyway."""
    noted = {named for _place, named in mentions_of(entity)}

    named = {one.id for one in references_in(entity) if one.kind is not FactKind.TENANT}
    named |= set(persons_in(entity))
    assert noted | {entity.id} == named | {entity.id}

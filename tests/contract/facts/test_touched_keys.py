"""A change drops exactly the cached values in which it counts, by the old row and by the new."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from authz_service.facts.reader import CONTAINMENTS_KEY, Changes, Key
from authz_service.facts.sql_reader import SqlReader
from authz_service.facts.sql_registry import SqlRegistry
from authz_service.pdp.entities import (
    Consent,
    Containment,
    ContainmentScope,
    Delegation,
    Grant,
    Relationship,
)
from authz_service.pdp.entity_words import (
    Audience,
    ConsentScope,
    ConsentStatus,
    DelegationKind,
    FactKind,
    GrantKind,
    RelationshipKind,
)
from tests.contract.facts.registry_cases import (
    ACTOR,
    attendance,
    block,
    consultation,
    fact,
    recording,
    reference,
    subject,
    tenant,
    world,
)

DELEGATION = Delegation("d1", DelegationKind.CARER, patient_id="ana", delegate_id="bob")
RELATION = Relationship("l1", RelationshipKind.REFERRAL, patient_id="ana", staff_id="eve")
CONSENT = Consent("n1", "ana", ConsentScope.TRAINING, ConsentStatus.ACTIVE)
ON_RECORDING = Grant("g1", GrantKind.SHARE, recording_id="r1", patient_id="ana")
ON_PATIENT = Grant("g1", GrantKind.SHARE, patient_id="ana")
BRAKE = Containment("k1", ContainmentScope(audience=Audience.STAFF))

R1, R2 = Key("recording", "r1"), Key("recording", "r2")
ANA, BOB = Key("patient", "ana"), Key("patient", "bob")


def both(*ids: str) -> set[Key]:
    """Return the keys of people as subjects and as patients."""
    return {key for one in ids for key in (Key("subject", one), Key("patient", one))}


async def change(
    registry: SqlRegistry, reader: SqlReader, before: Sequence[Any], after: Sequence[Any]
) -> Changes:
    """Return what the cache hears when *after* is written upon *before*."""
    await registry.write([fact(entity) for entity in before], actor=ACTOR)
    known = reader.look()
    await registry.write([fact(entity, day=1) for entity in after], actor=ACTOR)
    return reader.changes(known.revision, known.nonce)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        pytest.param([], [recording("ana")], {R1}, id="new-recording"),
        pytest.param([recording("ana")], [recording("bob")], {R1}, id="recording"),
        pytest.param([], [attendance("ana")], {R1}, id="attendance"),
        pytest.param(
            [recording("ana"), recording("ana", "r2"), consultation("ana")],
            [consultation("bob")],
            {R1, R2},
            id="consultation-of-two-recordings",
        ),
        pytest.param([], [consultation("ana")], set(), id="consultation-of-nothing"),
        pytest.param([], [subject("ana")], both("ana"), id="new-subject"),
        pytest.param([subject("ana")], [subject("ana", "us")], both("ana"), id="subject"),
        pytest.param(
            [DELEGATION], [replace(DELEGATION, patient_id="bob")], {ANA, BOB}, id="delegation"
        ),
        pytest.param([block()], [block("bob")], {ANA, BOB}, id="block"),
        pytest.param(
            [RELATION], [replace(RELATION, patient_id="bob")], {ANA, BOB}, id="relationship"
        ),
        pytest.param([CONSENT], [replace(CONSENT, patient_id="bob")], {ANA, BOB}, id="consent"),
        pytest.param([ON_RECORDING], [ON_PATIENT], {R1, ANA}, id="grant-moves-to-the-patient"),
        pytest.param([], [BRAKE], {CONTAINMENTS_KEY}, id="containment"),
    ],
)
async def test_a_change_touches(
    registry: SqlRegistry,
    reader: SqlReader,
    before: Sequence[Any],
    after: Sequence[Any],
    expected: set[Key],
) -> None:
    changes = await change(registry, reader, before, after)

    revision = 2 if before else 1
    assert changes.complete
    assert changes.touched == ((revision, frozenset(expected)),)


async def test_a_tenant_touches_everything(registry: SqlRegistry, reader: SqlReader) -> None:
    changes = await change(registry, reader, [tenant()], [replace(tenant(), time_zone="UTC")])

    assert not changes.complete


CHAIN = [
    subject("a", same_person_as=("b",)),
    subject("b"),
    subject("c", same_person_as=("b",)),
    subject("k", same_person_as=("k2",)),
    subject("k2"),
    subject("z"),
]


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        pytest.param(
            [subject("c", same_person_as=("b",), family=("k",))],
            {"a", "b", "c", "k", "k2"},
            id="kinship-declared-reaches-both-closures",
        ),
        pytest.param([subject("c")], {"a", "b", "c"}, id="sameness-taken-back-splits"),
        pytest.param(
            [subject("z", same_person_as=("c",))], {"a", "b", "c", "z"}, id="sameness-joins"
        ),
        pytest.param(
            [subject("c", "us", same_person_as=("b",))], {"c"}, id="declarations-untouched"
        ),
    ],
)
async def test_declared_sameness_and_kinship_touch_the_neighbourhood(
    registry: SqlRegistry, reader: SqlReader, after: Sequence[Any], expected: set[str]
) -> None:
    """What anybody knows of their own person or family changes with what others declare."""
    changes = await change(registry, reader, CHAIN, after)

    assert changes.touched == ((2, frozenset(both(*expected))),)


async def test_a_deletion_touches_what_the_fact_counted_for(
    registry: SqlRegistry, reader: SqlReader
) -> None:
    await registry.write([*world(), fact(DELEGATION)], actor=ACTOR)
    known = reader.look()
    gone = [reference(FactKind.DELEGATION, "d1"), reference(FactKind.CONSULTATION, "c1")]

    await registry.delete(gone, actor=ACTOR)

    assert reader.changes(known.revision, known.nonce).touched == ((2, frozenset({ANA, R1})),)

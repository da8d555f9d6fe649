"""What is stored about a person, on each database: all of it, and nothing of anybody else."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from authz_service.facts import person_archive
from authz_service.facts.person_archive import MOST_AT_ONCE, SqlPersonArchive
from authz_service.facts.sql_registry import SqlRegistry
from authz_service.operations.export_person import PersonCounts, PersonPart
from authz_service.operations.writes import Tenants
from authz_service.pdp import entities as e
from authz_service.pdp import entity_words as w
from authz_service.pdp.errors import FactsUnavailableError, LimitExceededError, NotFoundError
from tests.contract.facts.registry_cases import (
    ACTOR,
    attendance,
    block,
    consultation,
    fact,
    recording,
    reference,
    run,
    subject,
    tenant,
    world,
)

SCOPE = e.ContainmentScope(recording_ids=("r1",))
NAMING_EVE: list[Any] = [
    subject("cy", same_person_as=("eve",)),
    subject("di", family=("eve",)),
    consultation("eve", "c7"),
    recording("bob", "r7", named_viewers=("eve",)),
    recording("bob", "r8", holds=(e.Hold("m", w.HoldKind.PRESERVE, ("eve",)),)),
    e.Attendance("r7", (e.Participant("eve", w.ParticipantKind.CLINICIAN),)),
    e.Delegation("d7", w.DelegationKind.CARER, "eve", "bob"),
    e.Delegation("d8", w.DelegationKind.CARER, "bob", "eve"),
    block("eve", "b7"),
    e.Block("b8", "bob", "eve"),
    e.Relationship("l7", w.RelationshipKind.REFERRAL, "eve", "bob"),
    e.Relationship("l8", w.RelationshipKind.REFERRAL, "bob", "eve"),
    e.Grant("g7", w.GrantKind.SHARE, "eve", patient_id="bob"),
    e.Grant("g8", w.GrantKind.SHARE, "bob", patient_id="bob", approved_by="eve"),
    e.Consent("s7", "eve", w.ConsentScope.TRAINING, w.ConsentStatus.ACTIVE),
    e.Containment("k7", e.ContainmentScope(tenant_id="uk"), "why", set_by="eve"),
]


async def found(
    url: str, person: str, within: Tenants = None
) -> tuple[PersonCounts, list[str], list[str], list[str]]:
    """Return what is exported about a person: how much, facts, earlier versions, notes."""
    archive = SqlPersonArchive(url)
    facts, past, notes = list[str](), list[str](), list[str]()
    try:
        async with archive.opened(person, within=within) as snapshot:
            async for part in snapshot.parts():
                facts += [f"{one.kind}/{one.entity.id}" for one in part.facts]
                past += [f"{one.kind}/{one.entity.id}@{one.revision}" for one in part.past_facts]
                notes += part.notes
            return snapshot.counts, facts, past, notes
    finally:
        archive.close()


async def test_every_field_that_names_a_person_brings_its_fact(
    registry: SqlRegistry, registry_url: str
) -> None:
    others = [block("ana", "b1"), e.Grant("eve", w.GrantKind.SHARE, "bob", patient_id="ana")]
    written = [subject("eve"), *NAMING_EVE]
    await registry.write(
        [*world(), *map(fact, [*written, *others, subject("eve2"), subject("ev")])], actor=ACTOR
    )

    counts, facts, past, notes = await found(registry_url, "eve")

    expected = {f"{fact(each).kind}/{each.id}" for each in written}
    assert set(facts) == expected
    assert counts == PersonCounts(1, len(expected), 0, 0)
    assert (past, notes) == ([], [])


async def test_what_is_about_a_persons_recordings_is_about_them(
    registry: SqlRegistry, registry_url: str
) -> None:
    more: list[Any] = [
        e.Grant("g1", w.GrantKind.SHARE, "bob", recording_id="r1"),
        e.Containment("k1", SCOPE, set_by="jo"),
        e.Containment("k2", e.ContainmentScope(recording_ids=("r2",)), set_by="jo"),
    ]
    await registry.write([*world(), *map(fact, more)], actor=ACTOR)

    _, facts, _, _ = await found(registry_url, "ana")

    assert sorted(facts) == [
        "attendance/r1", "consultation/c1", "containment/k1", "grant/g1", "recording/r1",
        "subject/ana",
    ]  # fmt: skip


async def test_what_was_said_before_comes_along_as_far_as_it_is_about_them(
    registry: SqlRegistry, registry_url: str
) -> None:
    """Versions that were replaced or deleted; what now is of somebody else has its old version."""
    await registry.write([*world(), fact(block("eve")), fact(subject("eve"))], actor=ACTOR)
    await registry.write([fact(subject("eve", family=("bob",)), day=1)], actor=ACTOR)
    await registry.write([fact(consultation("eve"), day=1)], actor=ACTOR)
    await registry.write([fact(consultation("ana"), day=2)], actor=ACTOR)
    await registry.delete([reference(w.FactKind.CONSULTATION, "c1")], actor=ACTOR)

    _, facts, past, _ = await found(registry_url, "eve")

    assert facts == ["subject/eve", "block/b1"]
    assert past == ["consultation/c1@3", "subject/eve@1"]


async def test_a_value_in_the_facts_own_row_is_told_once_and_a_mention_is_followed(
    registry: SqlRegistry, registry_url: str
) -> None:
    await registry.write(world(), actor=ACTOR)
    await registry.write([fact(attendance("bob"), day=1)], actor=ACTOR)

    _, facts, past, _ = await found(registry_url, "ana")

    assert sorted(facts) == ["attendance/r1", "consultation/c1", "recording/r1", "subject/ana"]
    assert past == ["attendance/r1@1"]


async def test_what_people_typed_comes_with_its_fact(
    registry: SqlRegistry, registry_url: str
) -> None:
    await registry.write(world(), actor=ACTOR)
    await registry.write([fact(recording("bob"), day=1)], actor=ACTOR)
    await registry.write([fact(recording("ana"), day=2)], actor=ACTOR)
    await registry.resolve("r1", actor="jo", reason="seen by the clinic")
    run(
        registry_url,
        "INSERT INTO fact_notes VALUES ('subject', 'ana', 1, 'asked twice', 'x')",
        "INSERT INTO fact_notes VALUES ('subject', 'bob', 1, 'of another', 'x')",
    )

    counts, _, _, notes = await found(registry_url, "ana")

    assert notes == [
        "subject/ana, revision 1: asked twice",
        "recording/r1, revision 4: seen by the clinic",
    ]
    assert counts.notes == 2


async def test_a_bound_caller_is_given_its_own_tenants_alone(
    registry: SqlRegistry, registry_url: str
) -> None:
    abroad: list[Any] = [tenant("no"), subject("nils", "no"), e.Block("b9", "nils", "ana")]
    await registry.write([*world(), *map(fact, abroad)], actor=ACTOR)
    await registry.write([fact(e.Block("b9", "nils", "bob"), day=1)], actor=ACTOR)

    _, everything, past, _ = await found(registry_url, "ana")
    _, own, own_past, _ = await found(registry_url, "ana", frozenset({"uk"}))

    assert past == ["block/b9@1"]
    assert own == [one for one in everything if one != "block/b9"]
    assert own_past == []
    with pytest.raises(NotFoundError):
        await found(registry_url, "nils", frozenset({"uk"}))


async def test_nobody_is_not_found(registry: SqlRegistry, registry_url: str) -> None:
    await registry.write(world(), actor=ACTOR)

    with pytest.raises(NotFoundError):
        await found(registry_url, "nobody")


async def test_all_parts_are_of_one_snapshot_and_bounded(
    registry: SqlRegistry, registry_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is written while parts are taken is not among them."""
    monkeypatch.setattr(person_archive, "PART_BYTES", 1000)
    many = [fact(block("eve", f"b{number}")) for number in range(300)]
    await registry.write([fact(tenant()), fact(subject("eve")), *many], actor=ACTOR)
    archive = SqlPersonArchive(registry_url)
    parts: list[PersonPart] = []

    async with archive.opened("eve", within=None) as snapshot:
        async for part in snapshot.parts():
            if not parts:
                await registry.write([fact(block("eve", "late"))], actor=ACTOR)
            parts.append(part)
    archive.close()

    assert sum(len(part.facts) for part in parts) == 301
    assert max(len(part.facts) for part in parts) < 20
    assert {one.revision for part in parts for one in part.facts} == {1}


async def test_what_is_not_taken_in_time_is_not_held(
    registry: SqlRegistry, registry_url: str
) -> None:
    await registry.write(world(), actor=ACTOR)
    archive = SqlPersonArchive(registry_url, taken_seconds=0.05)

    async with archive.opened("ana", within=None) as snapshot:
        await asyncio.sleep(0.2)
        with pytest.raises(FactsUnavailableError, match="not taken in time"):
            await anext(snapshot.parts())
    archive.close()


async def test_only_so_many_are_lent_at_once(registry: SqlRegistry, registry_url: str) -> None:
    await registry.write(world(), actor=ACTOR)
    archive = SqlPersonArchive(registry_url)
    lent = [archive.opened("ana", within=None) for _ in range(MOST_AT_ONCE)]
    for each in lent:
        await each.__aenter__()

    with pytest.raises(LimitExceededError):
        await archive.opened("ana", within=None).__aenter__()
    for each in lent:
        await each.__aexit__(None, None, None)
    async with archive.opened("ana", within=None) as snapshot:
        assert snapshot.counts.facts == 4
    archive.close()

"""A recording whose owner is changed after all facts agreed is in conflict until resolved."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from authz_service.facts.reader import Key
from authz_service.facts.sql_reader import SqlReader
from authz_service.facts.sql_registry import SqlRegistry
from authz_service.operations.writes import Resolution
from authz_service.pdp.entity_words import FactKind
from authz_service.pdp.errors import NotFoundError, StateError
from authz_service.pdp.facts import RecordingFacts, Standing
from tests.contract.facts.registry_cases import (
    ACTOR,
    attendance,
    consultation,
    fact,
    recording,
    reference,
    subject,
    world,
)

R1 = Key("recording", "r1")


def standing(reader: SqlReader) -> Standing:
    """Return what the recording's own facts say, the mark included."""
    found = reader.load([R1]).values[R1]
    assert isinstance(found, RecordingFacts)
    return found.attribution.standing


def all_to_bob(day: int) -> list[Any]:
    """Return facts by which everything agrees that the recording is Bob's."""
    return [
        fact(consultation("bob"), day=day),
        fact(recording("bob"), day=day),
        fact(attendance("bob"), day=day),
    ]


async def test_a_changed_owner_is_disputed_even_if_all_facts_follow(
    registry: SqlRegistry, reader: SqlReader
) -> None:
    await registry.write(world(), actor=ACTOR)

    outcome = await registry.write(all_to_bob(1), actor=ACTOR)

    assert standing(reader) is Standing.CONFLICT
    assert outcome.conflicting == ("r1",)


async def test_changing_the_owner_back_does_not_settle_it(
    registry: SqlRegistry, reader: SqlReader
) -> None:
    await registry.write(world(), actor=ACTOR)
    await registry.write([fact(recording("bob"), day=1)], actor=ACTOR)

    await registry.write([fact(recording("ana"), day=2)], actor=ACTOR)

    assert standing(reader) is Standing.CONFLICT


async def test_a_removed_owner_is_disputed(registry: SqlRegistry, reader: SqlReader) -> None:
    await registry.write(world(), actor=ACTOR)

    await registry.write([fact(recording(None), day=1)], actor=ACTOR)

    assert standing(reader) is Standing.CONFLICT


@pytest.mark.parametrize(
    "steps",
    [
        pytest.param((0, 1, 2), id="booking-owner-attendance"),
        pytest.param((1, 0, 2), id="owner-booking-attendance"),
        pytest.param((2, 0, 1), id="attendance-booking-owner"),
    ],
)
async def test_small_steps_do_not_hide_it(
    registry: SqlRegistry, reader: SqlReader, steps: Sequence[int]
) -> None:
    """However many writes it takes, Ana's recording does not become Bob's unnoticed."""
    await registry.write(world(), actor=ACTOR)

    for step in steps:
        await registry.write([all_to_bob(1)[step]], actor=ACTOR)

    assert standing(reader) is Standing.CONFLICT


async def test_deleting_and_writing_it_again_does_not_hide_it(
    registry: SqlRegistry, reader: SqlReader
) -> None:
    await registry.write(world(), actor=ACTOR)
    everything = [
        reference(FactKind.RECORDING, "r1"),
        reference(FactKind.CONSULTATION, "c1"),
        reference(FactKind.ATTENDANCE, "r1"),
    ]
    await registry.delete(everything, actor=ACTOR)

    await registry.write(all_to_bob(900), actor=ACTOR)

    assert standing(reader) is Standing.CONFLICT


async def test_moving_the_patient_to_another_tenant_first_does_not_hide_it(
    registry: SqlRegistry, reader: SqlReader
) -> None:
    await registry.write(world(), actor=ACTOR)
    await registry.write([fact(subject("ana", "us"), day=1)], actor=ACTOR)

    await registry.write(all_to_bob(2), actor=ACTOR)

    assert standing(reader) is Standing.CONFLICT


async def test_a_recording_written_again_for_the_same_patient_is_sound(
    registry: SqlRegistry, reader: SqlReader
) -> None:
    await registry.write(world(), actor=ACTOR)
    await registry.delete([reference(FactKind.RECORDING, "r1")], actor=ACTOR)

    await registry.write([fact(recording("ana"), day=900)], actor=ACTOR)

    assert standing(reader) is Standing.AGREED


async def test_a_recording_that_was_never_corroborated_opens_when_corrected(
    registry: SqlRegistry, reader: SqlReader
) -> None:
    """One of the fifty: the owner was wrong from the start, and is put right."""
    misattributed = [one for one in world() if one.kind is not FactKind.RECORDING]
    await registry.write([*misattributed, fact(recording("bob"))], actor=ACTOR)
    before = standing(reader)

    await registry.write([fact(recording("ana"), day=1)], actor=ACTOR)

    assert before is Standing.CONFLICT
    assert standing(reader) is Standing.AGREED


async def test_a_person_resolves_it(registry: SqlRegistry, reader: SqlReader) -> None:
    """The mark goes, the new patient is the one to keep in mind, and caches hear of it."""
    await registry.write(world(), actor=ACTOR)
    await registry.write(all_to_bob(1), actor=ACTOR)
    before = reader.look()

    resolution = await registry.resolve("r1", actor="eve", reason="the pipeline was corrected")
    changes = reader.changes(before.revision, before.nonce)
    resolved = standing(reader)
    await registry.write([fact(recording("ana"), day=2)], actor=ACTOR)

    assert resolution == Resolution(3, "bob")
    assert changes.touched == ((3, frozenset({R1})),)
    assert resolved is Standing.AGREED
    assert standing(reader) is Standing.CONFLICT


async def test_only_what_agrees_is_resolved(registry: SqlRegistry) -> None:
    await registry.write(world(), actor=ACTOR)
    await registry.write([fact(recording("bob"), day=1)], actor=ACTOR)

    with pytest.raises(StateError, match="have to agree first: owner, booking and attendance"):
        await registry.resolve("r1", actor=ACTOR, reason="x")

    _, revision = await registry.read([])
    assert revision == 2


async def test_only_what_is_marked_is_resolved(registry: SqlRegistry) -> None:
    await registry.write(world(), actor=ACTOR)

    with pytest.raises(StateError, match="nothing is disputed"):
        await registry.resolve("r1", actor=ACTOR, reason="x")


async def test_an_unknown_recording_is_not_resolved(registry: SqlRegistry) -> None:
    with pytest.raises(NotFoundError, match="recording r9"):
        await registry.resolve("r9", actor=ACTOR, reason="x")


async def test_a_disputed_recording_is_not_deleted(registry: SqlRegistry) -> None:
    await registry.write(world(), actor=ACTOR)
    await registry.write(all_to_bob(1), actor=ACTOR)

    with pytest.raises(StateError, match=r"references\[0\]\.recording: .*disputed"):
        await registry.delete([reference(FactKind.RECORDING, "r1")], actor=ACTOR)

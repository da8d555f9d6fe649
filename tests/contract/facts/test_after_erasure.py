"""What is done with a registry after a patient was erased: nothing brings them back."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from datetime import timedelta

import pytest

from authz_service.facts.as_of import SqlHistory
from authz_service.facts.database import Access, Database
from authz_service.facts.notes import record_note
from authz_service.facts.retention import removing
from authz_service.facts.sql_registry import SqlRegistry
from authz_service.facts.verification import verify_registry
from authz_service.operations.ports import FactsQuestion
from authz_service.pdp.entities import Entity, Relationship
from authz_service.pdp.entity_words import FactKind, RelationshipKind
from authz_service.pdp.errors import CallerNotAllowedError, StateError
from authz_service.pdp.facts import FactReference
from tests.contract.facts.import_oracle import imported, line_of
from tests.contract.facts.registry_cases import (
    ACTOR,
    SteppingClock,
    attendance,
    consultation,
    fact,
    recording,
    reference,
    subject,
    tenant,
)
from tests.contract.facts.test_erasure import (
    ANAS,
    BOBS,
    WORDS,
    database,
    erase,
    everything_in,
    filled,
    references_of,
)
from tests.contract.facts.test_person_archive import found

__all__ = ["database", "filled"]

SECOND = timedelta(seconds=1)
MOVED = Relationship("l1", RelationshipKind.REFERRAL, "bob", "tim")
"""A fact of Bob's that was of Ana."""
UK = frozenset({"uk"})


def faults(url: str) -> set[tuple[str, int]]:
    """Return what is wrong with a registry, and how often."""
    return {(one.rule, one.count) for one in verify_registry(url)}


@pytest.mark.parametrize(
    ("others", "written"), [pytest.param([], 0, id="alone"), pytest.param(["zoe"], 1, id="mixed")]
)
async def test_an_import_does_not_bring_anybody_back(
    filled: SqlRegistry, registry_url: str, others: Sequence[str], written: int
) -> None:
    """Not by COPY either, together with facts of which nothing is stored."""
    await erase(filled)
    lines = [line_of(one, 90) for one in [*ANAS, *map(subject, others)]]

    done = imported(registry_url, lines)

    assert (done.written, done.skipped, done.problem) == (written, len(ANAS), None)
    assert (await filled.read(references_of(ANAS)))[0] == []


@pytest.mark.parametrize(
    ("known", "late"),
    [
        pytest.param([recording("ana")], [attendance("ana"), consultation("ana")], id="witnesses"),
        pytest.param([attendance("ana")], [recording("ana")], id="the-recording"),
    ],
)
async def test_what_was_on_its_way_does_not_arrive(
    registry: SqlRegistry, known: list[Entity], late: list[Entity]
) -> None:
    """Three systems say whose a recording is, and one of them may be late."""
    await registry.write([fact(one) for one in (tenant(), subject("ana"), *known)], actor=ACTOR)
    await erase(registry)

    arrived = await registry.write([fact(one, day=1) for one in late], actor=ACTOR)

    assert (arrived.written, arrived.skipped) == (0, len(late))


async def test_what_was_deleted_before_does_not_come_back_without_its_history(
    filled: SqlRegistry, registry_url: str
) -> None:
    """Its trace alone says that it was; the recording is found by who took part."""
    await filled.delete([reference(FactKind.RECORDING, "r1")], actor=ACTOR)
    with closing(Database(registry_url, lock_seconds=2, pool=1)) as database:
        list(removing(database, 2))
    await erase(filled)

    again = await filled.write([fact(recording("ana"), day=700)], actor=ACTOR)

    assert (again.written, again.skipped) == (0, 1)


@pytest.mark.parametrize("then", [[], [reference(FactKind.GRANT, "g1")]], ids=["stored", "deleted"])
async def test_words_about_a_deleted_recording_go_too(
    filled: SqlRegistry, database: Database, then: list[FactReference]
) -> None:
    """A grant names the recording alone, and of that only its trace is left."""
    gone = [reference(FactKind.RECORDING, "r1"), reference(FactKind.ATTENDANCE, "r1")]
    for references in (gone, then):
        await filled.delete(references, actor=ACTOR)

    await erase(filled)

    assert WORDS not in everything_in(database)


async def test_verification_finds_nothing_wrong_afterwards(
    filled: SqlRegistry, registry_url: str
) -> None:
    """Others name the erased patient still; that is known, and no broken reference."""
    await filled.write([fact(replace(MOVED, patient_id="ana", staff_id="tom"), day=1)], actor=ACTOR)
    await filled.delete([reference(FactKind.GRANT, "g2")], actor=ACTOR)
    before = faults(registry_url)

    await erase(filled)

    assert faults(registry_url) <= before


async def test_an_earlier_instant_does_not_know_the_patient_any_more(
    filled: SqlRegistry, registry_url: str, clock: SteppingClock
) -> None:
    then = clock.now()
    await erase(filled)

    with closing(SqlHistory(registry_url)) as past:
        hers = past.read(FactsQuestion("ana", "r1"), then)
        his = past.read(FactsQuestion("bob", "r2"), then)

    assert (hers.subject, hers.recording, hers.patient) == (None, None, None)
    assert (his.recording is not None, his.patient is not None, his.revision) == (True, True, 1)


async def test_an_export_of_the_person_holds_what_others_say(
    filled: SqlRegistry, registry_url: str
) -> None:
    await erase(filled)

    counts, facts, _past, _notes = await found(registry_url, "ana")

    assert (counts.past_facts, counts.notes) == (0, 0)
    assert facts == ["subject/bob", "attendance/r2", "delegation/d2"]


async def test_what_was_typed_beside_an_erased_version_goes(
    filled: SqlRegistry, database: Database
) -> None:
    """What was typed about the fact since it is Bob's stays."""
    with database.transaction(Access.WRITE) as session:
        record_note(session, reference(FactKind.RELATIONSHIP, "l1"), 1, "on Ana's referral")
        record_note(session, reference(FactKind.RELATIONSHIP, "l1"), 2, "on Bob's referral")
    await filled.write([fact(MOVED, day=1)], actor=ACTOR)

    await erase(filled)

    after = everything_in(database)
    assert ("on Ana's" in after, "on Bob's" in after) == (False, True)


@pytest.mark.parametrize("patient", ["ana", "bob"])
async def test_an_unresolved_mix_up_is_erased_by_neither_patient(
    filled: SqlRegistry, patient: str
) -> None:
    """Every fact names Bob now; that the recording was Ana's nobody has explained."""
    moved: list[Entity] = [recording("bob"), consultation("bob"), attendance("bob")]
    await filled.write([fact(one, day=1) for one in moved], actor=ACTOR)

    with pytest.raises(StateError, match="somebody has to resolve that first"):
        await erase(filled, patient)

    await filled.resolve("r1", actor="zed", reason="the media server had swapped them")
    assert (await erase(filled, patient)).erased > 0


@pytest.mark.parametrize(
    "elsewhere",
    [
        pytest.param(
            replace(recording("ana", "r9", consultation_id=None), tenant_id="us"), id="a-recording"
        ),
        pytest.param(replace(consultation("ana", "c9"), tenant_id="us"), id="a-booking"),
        pytest.param(attendance("ana", "r9"), id="who-knows-whose"),
    ],
)
async def test_a_bound_caller_erases_nothing_of_others(
    filled: SqlRegistry, elsewhere: Entity
) -> None:
    """The patient is of its tenant; not all that is about them is, and it is not told what."""
    await filled.write([fact(elsewhere, day=1)], actor=ACTOR)

    with pytest.raises(CallerNotAllowedError) as refused:
        await erase(filled, within=UK)

    assert "9" not in str(refused.value)
    assert len((await filled.read(references_of(ANAS)))[0]) == len(ANAS)


async def test_a_bound_caller_is_not_told_of_facts_of_others(filled: SqlRegistry) -> None:
    """How many name the patient counts those of its tenants alone."""
    await filled.write(
        [fact(subject("eve", "us", family=("ana",))), fact(tenant("us"))], actor=ACTOR
    )

    assert (await erase(filled, within=UK)).naming == len(BOBS) - 3

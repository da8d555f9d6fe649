"""Looks, changes and loads: one state each, whatever is written meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from threading import Barrier, Thread
from typing import Any

from authz_service.facts.reader import CONTAINMENTS_KEY, Key, Load
from authz_service.facts.sql_reader import MAX_CHANGES, SqlReader
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
    GrantKind,
    RelationshipKind,
)
from authz_service.pdp.facts import PatientFacts, RecordingFacts
from tests.contract.facts.registry_cases import (
    ACTOR,
    SteppingClock,
    SystemClock,
    block,
    consultation,
    empty,
    fact,
    recording,
    subject,
    tenant,
    world,
)

R1, ANA = Key("recording", "r1"), Key("patient", "ana")


async def test_a_load_holds_what_was_asked_and_the_patient_whom_a_recording_names(
    registry: SqlRegistry, reader: SqlReader
) -> None:
    facts = [
        *world(),
        fact(Grant("g1", GrantKind.SHARE, recording_id="r1", patient_id="ana")),
        fact(Grant("g2", GrantKind.QUALITY, patient_id="ana")),
        fact(Delegation("d1", DelegationKind.CARER, patient_id="ana", delegate_id="bob")),
        fact(block()),
        fact(Relationship("l1", RelationshipKind.REFERRAL, patient_id="ana", staff_id="eve")),
        fact(Consent("n1", "ana", ConsentScope.TRAINING, ConsentStatus.ACTIVE)),
        fact(Containment("k1", ContainmentScope(audience=Audience.STAFF))),
    ]
    await registry.write(facts, actor=ACTOR)

    load = reader.load([Key("subject", "bob"), R1, CONTAINMENTS_KEY])

    found, patient = load.values[R1], load.values[ANA]
    assert isinstance(found, RecordingFacts)
    assert isinstance(patient, PatientFacts)
    assert load.revision == 1
    assert load.values.keys() == {Key("subject", "bob"), R1, ANA, CONTAINMENTS_KEY}
    assert found.grants == (replace(facts[6], revision=1),)
    assert found.attribution.patient_id == "ana"
    assert [one.entity.id for one in patient.grants] == ["g2"]
    assert [one.entity.id for one in patient.delegations] == ["d1"]
    assert [one.entity.id for one in patient.blocks] == ["b1"]
    assert [one.entity.id for one in patient.relationships] == ["l1"]
    assert [one.entity.id for one in patient.consents] == ["n1"]
    assert load.values[CONTAINMENTS_KEY] == (facts[-1].entity,)


async def test_unknown_ids_are_none(reader: SqlReader) -> None:
    keys = [Key("subject", "x"), Key("recording", "x"), Key("patient", "x")]

    assert reader.load(keys).values == dict.fromkeys(keys)


async def test_a_write_between_the_halves_of_a_load_is_not_seen(
    registry: SqlRegistry, registry_url: str
) -> None:
    """The patient is read at the revision of the recording, though a write came in between."""
    await registry.write(world(), actor=ACTOR)
    barrier = Barrier(2, timeout=10)
    loads: list[Load] = []

    def hold() -> None:
        barrier.wait()
        barrier.wait()

    held = SqlReader(registry_url, SystemClock(), between=hold)
    thread = Thread(target=lambda: loads.append(held.load([R1])))
    thread.start()
    await asyncio.to_thread(barrier.wait)
    await registry.write([fact(subject("ana", "us"), day=1), fact(block(), day=1)], actor=ACTOR)
    await asyncio.to_thread(barrier.wait)
    await asyncio.to_thread(thread.join)
    held.close()

    patient = loads[0].values[ANA]
    assert isinstance(patient, PatientFacts)
    assert loads[0].revision == 1
    assert (patient.subject.tenant_id, patient.blocks) == ("uk", ())


async def test_each_revision_has_a_nonce_of_its_own(
    registry: SqlRegistry, reader: SqlReader
) -> None:
    first = reader.look()
    await registry.write(world(), actor=ACTOR)
    second = reader.look()

    assert (first.revision, second.revision) == (0, 1)
    assert first.nonce != second.nonce


async def test_nothing_changed_is_complete(registry: SqlRegistry, reader: SqlReader) -> None:
    look = reader.look()

    changes = reader.changes(look.revision, look.nonce)

    assert (changes.revision, changes.nonce, changes.touched) == (0, look.nonce, ())
    assert changes.complete


async def test_changes_come_by_revision_ascending(registry: SqlRegistry, reader: SqlReader) -> None:
    look = reader.look()
    for day, owner in enumerate(("ana", "bob", "ana")):
        await registry.write([fact(recording(owner, f"r{day}"), day=day)], actor=ACTOR)

    changes = reader.changes(look.revision, look.nonce)

    assert changes.touched == tuple(
        (number + 1, frozenset({Key("recording", f"r{number}")})) for number in range(3)
    )


async def test_another_history_is_noticed(registry: SqlRegistry, reader: SqlReader) -> None:
    """A registry that was restored and has caught up in number is not the one that was known."""
    await registry.write(world(), actor=ACTOR)

    for nonce, after in (("another", 1), (reader.look().nonce, 0), (reader.look().nonce, 7)):
        assert not reader.changes(after, nonce).complete


async def test_too_many_changes_are_not_told_one_by_one(
    registry: SqlRegistry, reader: SqlReader
) -> None:
    look = reader.look()
    for block_number in range(MAX_CHANGES // 1000):
        facts = [fact(subject(f"s{block_number}-{number}")) for number in range(1000)]
        await registry.write(facts, actor=ACTOR)
    at_the_limit = reader.changes(look.revision, look.nonce)

    await registry.write([fact(subject("one-more"))], actor=ACTOR)

    assert at_the_limit.complete
    assert not reader.changes(look.revision, look.nonce).complete


async def test_concurrent_writers_get_every_revision_once(
    registry: SqlRegistry, reader: SqlReader, registry_url: str
) -> None:
    """Revisions are gapless in the order of commits, whoever writes."""
    look = reader.look()
    registries = [SqlRegistry(registry_url, SteppingClock(), lock_seconds=10) for _ in range(3)]

    async def write(number: int, writer: SqlRegistry) -> Sequence[int]:
        written = []
        for turn in range(8):
            outcome = await writer.write([fact(subject(f"w{number}-{turn}"))], actor=ACTOR)
            written.append(outcome.revision)
        return written

    revisions = await asyncio.gather(*(write(*pair) for pair in enumerate(registries)))
    for one in registries:
        one.close()

    changes = reader.changes(look.revision, look.nonce)
    assert sorted(one for each in revisions for one in each) == list(range(1, 25))
    assert all(list(each) == sorted(each) for each in revisions)
    assert [revision for revision, _ in changes.touched] == list(range(1, 25))


async def test_a_cancelled_write_is_whole_or_not_there(
    registry: SqlRegistry, reader: SqlReader
) -> None:
    """Whoever gives up waiting leaves either all of the write or nothing of it."""
    facts: list[Any] = [fact(tenant()), *(fact(subject(f"s{number}")) for number in range(500))]
    writing = asyncio.create_task(registry.write(facts, actor=ACTOR))
    await asyncio.sleep(0)

    writing.cancel()
    registry.close()

    found = reader.load([Key("subject", f"s{number}") for number in range(500)])
    known = [key for key, value in found.values.items() if value is not None]
    assert (found.revision, len(known)) in {(0, 0), (1, 500)}


async def test_a_consultation_that_comes_later_counts(
    registry: SqlRegistry, reader: SqlReader, registry_url: str
) -> None:
    empty(registry_url)
    await registry.write([fact(recording("ana")), fact(subject("ana"))], actor=ACTOR)
    before = reader.load([R1]).values[R1]

    await registry.write([fact(consultation("ana"))], actor=ACTOR)

    after = reader.load([R1]).values[R1]
    assert isinstance(before, RecordingFacts)
    assert isinstance(after, RecordingFacts)
    assert before.consultation is None
    assert after.consultation is not None

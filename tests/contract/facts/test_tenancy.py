"""A caller that is bound to tenants touches only their facts; the same on every database."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from authz_service.facts.database import Access, Database
from authz_service.facts.sql_registry import SqlRegistry
from authz_service.facts.writing import write_facts
from authz_service.pdp.entities import (
    Consent,
    Consultation,
    Containment,
    ContainmentScope,
    Delegation,
    Entity,
    Grant,
    Recording,
    Relationship,
    Subject,
    Tenant,
)
from authz_service.pdp.entity_words import (
    Audience,
    ConsentScope,
    ConsentStatus,
    DelegationKind,
    FactKind,
    GrantKind,
    RecordingState,
    RelationshipKind,
)
from authz_service.pdp.errors import CallerNotAllowedError, CallerRefusal, NotFoundError
from authz_service.pdp.facts import Fact, FactReference
from tests.contract.facts.registry_cases import (
    ACTOR,
    STARTED,
    YEAR,
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

UK = frozenset({"uk"})
US = frozenset({"us"})
BOTH = UK | US


def refused(error: Any) -> bool:
    """Whether a caller was refused for a tenant."""
    return bool(error.value.refusal is CallerRefusal.TENANT)


def us_recording(recording_id: str = "r-us") -> Recording:
    """Return a recording of the other tenant."""
    return Recording(recording_id, "us", RecordingState.ACTIVE)


@pytest.fixture
async def filled(registry: SqlRegistry) -> SqlRegistry:
    """A registry with Ana's recording in one tenant, and a patient and a recording in another."""
    other: list[Entity] = [
        tenant("us"),
        subject("uma", "us"),
        us_recording(),
        attendance("uma", "r-us"),
    ]
    await registry.write([*world(), *(fact(one) for one in other)], actor=ACTOR)
    return registry


OF_UK: list[Entity] = [
    tenant("uk"),
    subject("new"),
    consultation("ana"),
    recording("ana"),
    attendance("ana"),
    Delegation("d1", DelegationKind.CARER, "ana", "uma"),
    block(),
    Relationship("l1", RelationshipKind.REFERRAL, "ana", "uma"),
    Consent("n1", "ana", ConsentScope.TRAINING, ConsentStatus.ACTIVE),
    Grant("g1", GrantKind.QUALITY, "uma", patient_id="ana"),
    Grant("g2", GrantKind.SHARE, "uma", recording_id="r1"),
    Containment("k1", ContainmentScope(tenant_id="uk", audience=Audience.STAFF)),
]
NOT_OF_UK: list[Entity] = [
    tenant("us"),
    subject("new", "us"),
    Consultation("c-us", "us", "ana"),
    us_recording("r-new"),
    attendance("ana", "r-us"),
    attendance("ana", "r-unknown"),
    Delegation("d1", DelegationKind.CARER, "uma", "ana"),
    Delegation("d1", DelegationKind.CARER, "unknown", "ana"),
    Delegation("d1", DelegationKind.CARER, None, "ana"),
    block("uma"),
    Relationship("l1", RelationshipKind.REFERRAL, "uma", "ana"),
    Relationship("l1", RelationshipKind.REFERRAL, None, "ana"),
    Consent("n1", "uma", ConsentScope.TRAINING, ConsentStatus.ACTIVE),
    Grant("g1", GrantKind.QUALITY, "ana", patient_id="uma"),
    Grant("g2", GrantKind.SHARE, "ana", recording_id="r-us"),
    Grant("g3", GrantKind.SHARE, "ana", recording_id="r-us", patient_id="ana"),
    Grant("g4", GrantKind.SHARE, "ana"),
    Containment("k2", ContainmentScope(tenant_id="us")),
    Containment("k3", ContainmentScope(audience=Audience.STAFF)),
]


def named(entity: Any) -> str:
    return f"{type(entity).__name__.lower()}-{entity.id}"


async def test_facts_of_ones_own_tenant_are_written_read_and_deleted(filled: SqlRegistry) -> None:
    """A delegate, a member of staff or the holder of a grant may be of any tenant."""
    facts = [fact(one, day=1) for one in OF_UK]

    outcome = await filled.write(facts, actor=ACTOR, within=UK)
    found, _ = await filled.read([reference(one.kind, one.entity.id) for one in facts], within=UK)
    gone = await filled.delete(
        [
            reference(FactKind.ATTENDANCE, "r1"),
            reference(FactKind.RECORDING, "r1"),
            reference(FactKind.GRANT, "g1"),
        ],
        actor=ACTOR,
        within=UK,
    )

    assert (outcome.written, len(found), gone.written) == (len(OF_UK), len(OF_UK), 3)


@pytest.mark.parametrize("entity", NOT_OF_UK, ids=named)
async def test_a_fact_of_another_tenant_or_of_none_that_can_be_told_is_refused(
    filled: SqlRegistry, entity: Entity
) -> None:
    """The whole write is: nothing of it is stored."""
    with pytest.raises(CallerNotAllowedError, match=r"facts\[1\]\.") as error:
        await filled.write([fact(subject("new-2")), fact(entity, day=1)], actor=ACTOR, within=UK)

    assert refused(error)
    found, revision = await filled.read([reference(FactKind.SUBJECT, "new-2")])
    assert (list(found), revision) == ([], 1)


async def test_a_caller_that_is_bound_to_no_tenant_writes_them_all(filled: SqlRegistry) -> None:
    facts = [fact(one, day=day) for day, one in enumerate((*OF_UK, *NOT_OF_UK), 1)]

    written = [(await filled.write([one], actor=ACTOR)).written for one in facts]

    assert written == [1] * len(facts)


TAKEN = [
    pytest.param(subject("uma"), id="subject"),
    pytest.param(recording("ana", "r-us"), id="recording"),
    pytest.param(Delegation("d-us", DelegationKind.CARER, "ana", "bob"), id="delegation"),
    pytest.param(Grant("g-us", GrantKind.SHARE, "bob", recording_id="r1"), id="grant"),
]


@pytest.mark.parametrize("entity", TAKEN)
@pytest.mark.parametrize("day", [1, -1], ids=["later", "earlier"])
async def test_what_is_stored_of_another_tenant_is_not_replaced(
    filled: SqlRegistry, entity: Entity, day: int
) -> None:
    """Naming one's own tenant on it takes nothing over, and learns nothing of what is stored."""
    theirs = [
        fact(Delegation("d-us", DelegationKind.CARER, "uma", "bob")),
        fact(Grant("g-us", GrantKind.SHARE, "bob", recording_id="r-us")),
    ]
    await filled.write(theirs, actor=ACTOR)

    for source in (None, "somebody-else"):
        with pytest.raises(CallerNotAllowedError) as error:
            await filled.write([fact(entity, day=day, source=source)], actor=ACTOR, within=UK)
        assert refused(error)


async def test_what_is_stored_at_the_same_instant_is_not_told_either(filled: SqlRegistry) -> None:
    with pytest.raises(CallerNotAllowedError):
        await filled.write([fact(subject("uma"))], actor=ACTOR, within=UK)


async def test_whose_it_is_may_be_told_by_the_same_write(filled: SqlRegistry) -> None:
    facts: list[Entity] = [
        attendance("new", "r-new"),
        Grant("g9", GrantKind.QUALITY, "bob", patient_id="new"),
        recording("new", "r-new"),
        subject("new"),
    ]

    outcome = await filled.write([fact(one) for one in facts], actor=ACTOR, within=UK)

    assert outcome.written == 4


async def test_it_is_not_told_by_a_fact_of_the_same_write_that_is_skipped(
    filled: SqlRegistry,
) -> None:
    """What was deleted since stays deleted, so nothing says whose the attendance is."""
    await filled.write([fact(recording("ana", "r-gone"))], actor=ACTOR)
    await filled.delete([reference(FactKind.RECORDING, "r-gone")], actor=ACTOR)
    stale = [fact(recording("ana", "r-gone")), fact(attendance("ana", "r-gone"))]

    with pytest.raises(CallerNotAllowedError, match=r"facts\[1\]\.attendance") as error:
        await filled.write(stale, actor=ACTOR, within=UK)

    assert refused(error)


async def test_who_is_bound_to_two_tenants_moves_a_recording_and_its_attendance(
    filled: SqlRegistry,
) -> None:
    moved = [fact(us_recording("r1"), day=1), fact(attendance("ana"), day=1)]

    with pytest.raises(CallerNotAllowedError):
        await filled.write(moved, actor=ACTOR, within=UK)
    with pytest.raises(CallerNotAllowedError):
        await filled.write(moved, actor=ACTOR, within=US)

    assert (await filled.write(moved, actor=ACTOR, within=BOTH)).written == 2


@pytest.mark.parametrize(
    "references",
    [
        pytest.param([reference(FactKind.SUBJECT, "uma")], id="subject"),
        pytest.param([reference(FactKind.ATTENDANCE, "r-us")], id="attendance"),
        pytest.param(
            [reference(FactKind.SUBJECT, "bob"), reference(FactKind.RECORDING, "r-us")],
            id="one-of-two",
        ),
    ],
)
async def test_what_is_of_another_tenant_is_not_deleted(
    filled: SqlRegistry, references: Sequence[FactReference]
) -> None:
    """It is passed over like what is not there: whether it is stored is not told."""
    outcome = await filled.delete(references, actor=ACTOR, within=UK)

    found, _ = await filled.read(references)
    own = reference(FactKind.SUBJECT, "bob") in references
    assert (outcome.written, len(found)) == (int(own), len(references) - own)


async def test_what_of_another_tenant_denies_is_deleted_as_if_it_were_not_there(
    filled: SqlRegistry,
) -> None:
    await filled.write([fact(block("uma", "b-us"))], actor=ACTOR)

    outcome = await filled.delete([reference(FactKind.BLOCK, "b-us")], actor=ACTOR, within=UK)

    assert (outcome.written, outcome.revision) == (0, 2)


async def test_deleting_what_is_not_there_is_passed_over(filled: SqlRegistry) -> None:
    absent = [reference(FactKind.SUBJECT, "nobody"), reference(FactKind.ATTENDANCE, "nothing")]

    assert (await filled.delete(absent, actor=ACTOR, within=UK)).written == 0


async def test_what_is_read_of_other_tenants_is_as_if_it_were_not_stored(
    filled: SqlRegistry,
) -> None:
    """So is what nobody can tell whose it is."""
    orphan = [
        fact(attendance("ana", "r-unknown")),
        fact(Containment("k-all", ContainmentScope(audience=Audience.STAFF))),
    ]
    await filled.write(orphan, actor=ACTOR)
    asked = [
        reference(FactKind.SUBJECT, "ana"),
        reference(FactKind.SUBJECT, "uma"),
        reference(FactKind.SUBJECT, "nobody"),
        reference(FactKind.ATTENDANCE, "r-us"),
        reference(FactKind.ATTENDANCE, "r1"),
        reference(FactKind.ATTENDANCE, "r-unknown"),
        reference(FactKind.CONTAINMENT, "k-all"),
    ]

    bound, revision = await filled.read(asked, within=UK)
    every, _ = await filled.read(asked)

    assert [(one.kind, one.entity.id) for one in bound] == [
        (FactKind.SUBJECT, "ana"),
        (FactKind.ATTENDANCE, "r1"),
    ]
    assert (len(every), revision) == (6, 2)


async def test_a_conflict_is_resolved_by_who_is_bound_to_its_tenant(filled: SqlRegistry) -> None:
    """Another tenant's recording and one that nobody knows are refused alike."""
    for day, owner in ((1, "bob"), (2, "ana")):
        await filled.write([fact(recording(owner), day=day)], actor=ACTOR)

    answers = []
    for recording_id, within in (("r1", US), ("r-unknown", US)):
        with pytest.raises(CallerNotAllowedError) as error:
            await filled.resolve(recording_id, actor=ACTOR, reason="seen", within=within)
        answers.append(str(error.value).replace(recording_id, ""))
    with pytest.raises(NotFoundError):
        await filled.resolve("r-unknown", actor=ACTOR, reason="seen")
    resolution = await filled.resolve("r1", actor=ACTOR, reason="seen", within=UK)

    assert answers[0] == answers[1]
    assert resolution.patient_id == "ana"


async def test_a_bound_caller_is_not_told_of_other_tenants_conflicts(filled: SqlRegistry) -> None:
    """Two recordings rest on one booking; the record needs both, the answer shows one's own."""
    theirs = replace(us_recording("r-odd"), consultation_id="c1", owner_id="uma")
    await filled.write([fact(theirs)], actor=ACTOR)

    outcome = await filled.write([fact(consultation("bob"), day=1)], actor=ACTOR, within=UK)

    assert (outcome.conflicting, outcome.conflicting_elsewhere) == (("r1",), ("r-odd",))


async def test_a_recording_that_is_moved_while_a_write_waits_is_refused(
    filled: SqlRegistry, registry_url: str
) -> None:
    """Nothing moves between the check and the write: what counts is what the write finds."""
    database = Database(registry_url, lock_seconds=2, pool=1)
    with database.transaction(Access.WRITE) as session:
        move: list[Fact[Any]] = [fact(us_recording("r1"), day=1)]
        write_facts(session, move, actor=ACTOR, now=YEAR)
        waiting = asyncio.create_task(
            filled.write([fact(attendance("bob"), day=2)], actor=ACTOR, within=UK)
        )
        await asyncio.sleep(0.3)
        assert not waiting.done()
    database.close()

    with pytest.raises(CallerNotAllowedError) as error:
        await waiting

    assert refused(error)
    found, _ = await filled.read([reference(FactKind.ATTENDANCE, "r1")])
    assert found[0].entity == attendance("ana")


async def test_a_patient_who_is_moved_between_two_writes_takes_the_facts_along(
    filled: SqlRegistry,
) -> None:
    held: list[Entity] = [Grant("g1", GrantKind.QUALITY, "bob", patient_id="ana")]
    await filled.write([fact(one) for one in held], actor=ACTOR, within=UK)
    await filled.write([fact(subject("ana", "us"), day=1)], actor=ACTOR)

    with pytest.raises(CallerNotAllowedError):
        await filled.write([fact(held[0], day=2)], actor=ACTOR, within=UK)
    found, _ = await filled.read([reference(FactKind.GRANT, "g1")], within=UK)

    assert list(found) == []
    assert (await filled.write([fact(held[0], day=2)], actor=ACTOR, within=US)).written == 1


async def test_no_tenants_are_none(filled: SqlRegistry) -> None:
    """A row whose cell is empty touches nothing."""
    nothing: frozenset[str] = frozenset()

    with pytest.raises(CallerNotAllowedError):
        await filled.write([fact(Tenant("zz", "UTC"))], actor=ACTOR, within=nothing)
    found, _ = await filled.read([reference(FactKind.SUBJECT, "ana")], within=nothing)

    assert list(found) == []


@pytest.mark.parametrize("owner_id", ["uma", "nobody"])
@pytest.mark.parametrize("booking", ["c-us", "c-none"])
async def test_a_conflict_is_told_as_if_no_other_tenants_facts_were_stored(
    filled: SqlRegistry, owner_id: str, booking: str
) -> None:
    """What the booking or the owner of another tenant disagrees with is recorded, and not told."""
    await filled.write([fact(Consultation("c-us", "us", "uma", started_at=STARTED))], actor=ACTOR)
    odd = recording(owner_id, "r-odd", consultation_id=booking)
    told = recording("ana", "r-told", consultation_id=booking)

    hidden = await filled.write([fact(odd)], actor=ACTOR, within=UK)
    own = await filled.write(
        [fact(told), fact(attendance("bob", "r-told"))], actor=ACTOR, within=UK
    )

    assert hidden.conflicting == ()
    assert hidden.conflicting_elsewhere == (
        () if (owner_id, booking) == ("nobody", "c-none") else ("r-odd",)
    )
    assert (own.conflicting, own.conflicting_elsewhere) == (("r-told",), ())


async def test_a_dispute_is_told_whatever_the_booking_is(filled: SqlRegistry) -> None:
    await filled.write([fact(Consultation("c-us", "us", "uma", started_at=STARTED))], actor=ACTOR)
    moved = [fact(recording(None, consultation_id=one), day=1) for one in ("c-us", "c-none")]

    told = [
        (await filled.write([replace(one, observed_at=one.observed_at.replace(day=day))],
            actor=ACTOR, within=UK)).conflicting
        for day, one in enumerate(moved, 2)
    ]  # fmt: skip

    assert told == [("r1",), ("r1",)]


LEFT_OVER: list[Entity] = [
    Delegation("d9", DelegationKind.CARER, "gone", "bob"),
    block("gone", "b9"),
    Relationship("l9", RelationshipKind.REFERRAL, "gone", "bob"),
    Consent("n9", "gone", ConsentScope.TRAINING, ConsentStatus.ACTIVE),
    Grant("g9", GrantKind.QUALITY, "bob", patient_id="gone"),
]


@pytest.mark.parametrize("was_there", [True, False], ids=["deleted", "never-there"])
@pytest.mark.parametrize("entity", LEFT_OVER, ids=named)
async def test_who_takes_the_id_of_a_patient_does_not_take_over_the_facts(
    filled: SqlRegistry, entity: Entity, *, was_there: bool
) -> None:
    """Of a patient who was deleted, or of whom others wrote first."""
    if was_there:
        await filled.write([fact(subject("gone", "us"))], actor=ACTOR)
        await filled.delete([reference(FactKind.SUBJECT, "gone")], actor=ACTOR)
    await filled.write([fact(entity)], actor=ACTOR)

    with pytest.raises(CallerNotAllowedError, match=r"facts\[0\]\.subject") as error:
        await filled.write([fact(subject("gone"), day=900)], actor=ACTOR, within=UK)

    assert refused(error)
    assert (await filled.write([fact(subject("gone"), day=900)], actor=ACTOR)).written == 1


@pytest.mark.parametrize(
    "entity",
    [attendance("uma", "r-gone"), Grant("g9", GrantKind.SHARE, "bob", recording_id="r-gone")],
    ids=named,
)
async def test_who_takes_the_id_of_a_deleted_recording_does_not_take_over_the_facts(
    filled: SqlRegistry, entity: Entity
) -> None:
    await filled.write([fact(us_recording("r-gone")), fact(entity)], actor=ACTOR)
    await filled.delete([reference(FactKind.RECORDING, "r-gone")], actor=ACTOR)

    with pytest.raises(CallerNotAllowedError, match=r"facts\[0\]\.recording") as error:
        await filled.write([fact(recording("ana", "r-gone"), day=900)], actor=ACTOR, within=UK)

    assert refused(error)


async def test_a_recording_may_come_after_its_attendance(filled: SqlRegistry) -> None:
    """As it does where the media server reports who attended before the pipeline has named it."""
    await filled.write([fact(attendance("ana", "r-late"))], actor=ACTOR)

    outcome = await filled.write([fact(recording("ana", "r-late"))], actor=ACTOR, within=UK)

    assert outcome.written == 1


def linked(subject_id: str, field: str, others: tuple[str, ...]) -> Subject:
    """Return a subject that declares who is the same person, or family."""
    return subject(subject_id, "uk", **dict[str, Any]({field: others}))


@pytest.mark.parametrize("field", ["same_person_as", "family"])
@pytest.mark.parametrize("other", ["uma", "nobody"])
async def test_a_subject_is_linked_to_those_of_ones_own_tenants(
    filled: SqlRegistry, field: str, other: str
) -> None:
    """A declaration counts from either side: it would deny another tenant's people their access."""
    with pytest.raises(CallerNotAllowedError, match=r"facts\[0\]\.subject") as error:
        await filled.write([fact(linked("bridge", field, (other,)))], actor=ACTOR, within=UK)
    own = [fact(linked("bridge", field, ("ana", "new"))), fact(subject("new"))]

    assert refused(error)
    assert (await filled.write(own, actor=ACTOR, within=UK)).written == 2
    assert (await filled.write([fact(linked("by", field, (other,)))], actor=ACTOR)).written
    again = fact(linked("by", field, (other,)), day=1)
    assert (await filled.write([again], actor=ACTOR, within=UK)).written == 1

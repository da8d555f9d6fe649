"""What may be written over what; the same on every database."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from authz_service.facts.sql_reader import SqlReader
from authz_service.facts.sql_registry import SqlRegistry
from authz_service.operations.writes import WriteOutcome
from authz_service.pdp.entities import (
    CompetenceReview,
    Consent,
    Containment,
    ContainmentScope,
    Delegation,
    Entity,
    Grant,
    Hold,
    Tenant,
)
from authz_service.pdp.entity_words import (
    Audience,
    CompetenceOutcome,
    ConsentScope,
    ConsentStatus,
    DelegationKind,
    FactKind,
    GrantKind,
    HoldKind,
    SubjectStatus,
)
from authz_service.pdp.errors import InvalidRequestError, StateError
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

GRANT = Grant("g1", GrantKind.SHARE, subject_id="bob", recording_id="r1")
DELEGATION = Delegation("d1", DelegationKind.CARER, patient_id="ana", delegate_id="bob")


async def test_what_is_written_is_read_back(registry: SqlRegistry) -> None:
    """Every kind of fact comes back as it was written, with the revision that wrote it."""
    facts = [*world(), fact(GRANT), fact(DELEGATION), fact(block())]

    outcome = await registry.write(facts, actor=ACTOR)
    found, revision = await registry.read([reference(one.kind, one.entity.id) for one in facts])

    assert outcome == WriteOutcome(1, written=9)
    assert revision == 1
    assert list(found) == [replace(one, revision=1) for one in facts]


async def test_unknown_facts_are_left_out(registry: SqlRegistry) -> None:
    found, revision = await registry.read([reference(FactKind.SUBJECT, "nobody")])

    assert (list(found), revision) == ([], 0)


async def test_an_older_observation_is_skipped(registry: SqlRegistry) -> None:
    """What was seen earlier does not replace what was seen later, and the revision stays."""
    await registry.write([fact(subject("ana", "uk"), day=2)], actor=ACTOR)

    outcome = await registry.write([fact(subject("ana", "us"), day=1)], actor=ACTOR)

    assert outcome == WriteOutcome(1, skipped=1)


async def test_the_same_observation_again_changes_nothing(
    registry: SqlRegistry, reader: SqlReader
) -> None:
    await registry.write(world(), actor=ACTOR)
    before = reader.look()

    outcome = await registry.write(world(), actor=ACTOR)

    assert outcome == WriteOutcome(1, unchanged=6)
    assert reader.look().nonce == before.nonce


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(fact(subject("ana", "us")), id="other-content"),
        pytest.param(fact(subject("ana"), source="elsewhere"), id="other-source"),
    ],
)
async def test_two_observations_of_one_instant_contradict_each_other(
    registry: SqlRegistry, other: Any
) -> None:
    """Nobody can tell which is right, so the whole write is refused."""
    await registry.write([fact(subject("ana"))], actor=ACTOR)

    with pytest.raises(StateError, match=r"facts\[1\]\.subject: contradicts"):
        await registry.write([fact(subject("bob")), other], actor=ACTOR)

    found, revision = await registry.read([reference(FactKind.SUBJECT, "bob")])
    assert (list(found), revision) == ([], 1)


async def test_an_observation_from_the_future_is_refused(registry: SqlRegistry) -> None:
    """Once stored it would outdate every correction and revocation that is observed in time."""
    ahead = replace(fact(GRANT), observed_at=datetime.now(UTC) + timedelta(minutes=6))

    with pytest.raises(InvalidRequestError, match=r"facts\[0\]\.observed_at: is more than five"):
        await registry.write([ahead], actor=ACTOR)


async def test_one_fact_twice_in_a_write_is_refused(registry: SqlRegistry) -> None:
    with pytest.raises(InvalidRequestError, match=r"facts\[2\]\.subject\.id: stands twice"):
        await registry.write(
            [fact(subject("ana")), fact(subject("bob")), fact(subject("ana"), day=1)], actor=ACTOR
        )


async def test_ids_are_compared_byte_by_byte(registry: SqlRegistry) -> None:
    """`Ana` is somebody else than `ana`."""
    outcome = await registry.write([fact(subject("ana")), fact(subject("Ana"))], actor=ACTOR)

    assert outcome.written == 2


async def test_a_thousand_facts_are_the_limit(registry: SqlRegistry) -> None:
    facts = [fact(subject(f"s{number}")) for number in range(1001)]

    with pytest.raises(InvalidRequestError, match=r"facts\[1000\]\.subject: is one too many"):
        await registry.write(facts, actor=ACTOR)

    assert (await registry.write(facts[:1000], actor=ACTOR)).written == 1000


@pytest.mark.parametrize("entity", [GRANT, DELEGATION], ids=["grant", "delegation"])
async def test_a_revocation_is_never_cleared(registry: SqlRegistry, entity: Any) -> None:
    await registry.write([fact(replace(entity, revoked_at=YEAR))], actor=ACTOR)

    with pytest.raises(StateError, match=r"facts\[0\]\.(grant|delegation)\.revoked_at"):
        await registry.write([fact(entity, day=5)], actor=ACTOR)


async def test_an_older_unrevoked_fact_is_skipped_and_not_refused(registry: SqlRegistry) -> None:
    """A replay of what was before the revocation must not stop an import."""
    await registry.write([fact(replace(GRANT, revoked_at=YEAR), day=3)], actor=ACTOR)

    assert (await registry.write([fact(GRANT, day=1)], actor=ACTOR)).skipped == 1


@pytest.mark.parametrize(
    ("entity", "field"),
    [
        pytest.param(Containment("k1", ContainmentScope()), "containment.scope", id="empty-scope"),
        pytest.param(
            Containment("k1", ContainmentScope(audience=Audience.STAFF), lifted_at=STARTED),
            "containment.lifted_by",
            id="lifted-by-nobody",
        ),
        pytest.param(
            Tenant("uk", "UTC", 16, 11), "tenant.proxy_suspended_from_age", id="ages-reversed"
        ),
        pytest.param(GRANT.__class__("g", GrantKind.SHARE, reason="\ud800"), "grant", id="no-utf8"),
    ],
)
async def test_what_cannot_mean_what_it_says_is_refused(
    registry: SqlRegistry, entity: Entity, field: str
) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        await registry.write([fact(entity)], actor=ACTOR)

    assert refused.value.violations[0].field == f"facts[0].{field}"


HELD = recording("ana", holds=(Hold("m1", HoldKind.PRESERVE),))
ENDED = replace(DELEGATION, competence_review=CompetenceReview(YEAR, CompetenceOutcome.PROXY_ENDS))


@pytest.mark.parametrize(
    "entity",
    [
        pytest.param(HELD, id="recording-under-hold"),
        pytest.param(block(), id="block"),
        pytest.param(replace(DELEGATION, revoked_at=YEAR), id="revoked-delegation"),
        pytest.param(ENDED, id="delegation-ended-by-review"),
        pytest.param(replace(GRANT, revoked_at=YEAR), id="revoked-grant"),
        pytest.param(
            Consent("n1", "ana", ConsentScope.TRAINING, ConsentStatus.WITHDRAWN), id="withdrawal"
        ),
        pytest.param(
            Containment("k1", ContainmentScope(audience=Audience.EVERYONE)), id="containment"
        ),
        pytest.param(replace(subject("ana"), status=SubjectStatus.SUSPENDED), id="suspended"),
        pytest.param(subject("ana", same_person_as=("bob",)), id="same-person"),
        pytest.param(subject("ana", family=("bob",)), id="family"),
    ],
)
async def test_what_denies_is_not_deleted(registry: SqlRegistry, entity: Entity) -> None:
    written = fact(entity)
    await registry.write([written, fact(tenant())], actor=ACTOR)
    references = [reference(FactKind.TENANT, "uk"), reference(written.kind, entity.id)]

    with pytest.raises(StateError, match=rf"references\[1\]\.{written.kind}"):
        await registry.delete(references, actor=ACTOR)

    found, revision = await registry.read(references)
    assert (len(found), revision) == (2, 1)


@pytest.mark.parametrize(
    "entity",
    [
        pytest.param(recording("ana"), id="recording"),
        pytest.param(attendance("ana"), id="attendance"),
        pytest.param(consultation("ana"), id="consultation"),
        pytest.param(GRANT, id="grant"),
        pytest.param(DELEGATION, id="delegation"),
        pytest.param(
            Containment(
                "k1",
                ContainmentScope(audience=Audience.EVERYONE),
                lifted_by="eve",
                lifted_at=STARTED,
            ),
            id="lifted-containment",
        ),
        pytest.param(subject("ana"), id="subject"),
    ],
)
async def test_what_allows_is_deleted(registry: SqlRegistry, entity: Entity) -> None:
    """It is gone, an older replay does not bring it back, and a later observation does."""
    written = fact(entity)
    named = reference(written.kind, entity.id)
    await registry.write([written], actor=ACTOR)

    deleted = await registry.delete([named], actor=ACTOR)
    replayed = await registry.write([written], actor=ACTOR)
    gone, _ = await registry.read([named])
    again = await registry.write([fact(entity, day=800)], actor=ACTOR)

    assert (deleted.written, deleted.revision) == (1, 2)
    assert (replayed.skipped, replayed.revision) == (1, 2)
    assert list(gone) == []
    assert (again.written, again.revision) == (1, 3)


async def test_a_fact_seen_in_the_future_stays_deleted_too(registry: SqlRegistry) -> None:
    """A source whose clock is ahead does not bring back what was deleted, by saying it again."""
    early = fact(subject("ana"), day=1000)
    await registry.write([early], actor=ACTOR)
    await registry.delete([reference(FactKind.SUBJECT, "ana")], actor=ACTOR)

    assert (await registry.write([early], actor=ACTOR)).skipped == 1


async def test_deleting_what_is_not_there_changes_nothing(registry: SqlRegistry) -> None:
    outcome = await registry.delete([reference(FactKind.BLOCK, "b9")], actor=ACTOR)

    assert outcome == WriteOutcome(0)


async def test_recordings_in_conflict_are_named(registry: SqlRegistry) -> None:
    """The one who writes hears at once that the facts disagree now."""
    await registry.write(world(), actor=ACTOR)

    booking = await registry.write([fact(consultation("bob"), day=1)], actor=ACTOR)
    moved = await registry.write(
        [fact(consultation("ana"), day=2), fact(subject("ana", "us"), day=2)], actor=ACTOR
    )

    assert booking.conflicting == ("r1",)
    assert moved.conflicting == ("r1",)


async def test_a_write_is_recorded_with_the_instant_to_the_microsecond(
    registry: SqlRegistry,
) -> None:
    seen = replace(fact(subject("ana")), observed_at=YEAR + timedelta(microseconds=123_456))
    await registry.write([seen], actor=ACTOR)

    found, _ = await registry.read([reference(FactKind.SUBJECT, "ana")])

    assert found[0].observed_at == seen.observed_at

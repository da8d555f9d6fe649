"""A patient who is erased leaves tombstones: no words, no history, nothing that comes back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from authz_service.facts.database import Access, Database
from authz_service.facts.schema import FACT_TABLES
from authz_service.facts.sql_registry import SqlRegistry
from authz_service.pdp.entities import (
    Attendance,
    Consent,
    Delegation,
    Entity,
    Grant,
    GrantReview,
    Hold,
    Participant,
    Relationship,
)
from authz_service.pdp.entity_words import (
    ConsentScope,
    ConsentStatus,
    DelegationKind,
    FactKind,
    GrantKind,
    HoldKind,
    ParticipantKind,
    RelationshipKind,
    ReviewVerdict,
    SubjectKind,
)
from authz_service.pdp.errors import CallerNotAllowedError, NotFoundError, StateError
from authz_service.pdp.facts import FactReference
from tests.contract.facts.registry_cases import (
    ACTOR,
    STARTED,
    attendance,
    block,
    consultation,
    fact,
    recording,
    reference,
    subject,
    tenant,
)

REASON = "Request 4711, filed under data protection"
WORDS = "Fell down the stairs at home"
ANAS: list[Entity] = [
    subject("ana"),
    consultation("ana"),
    recording("ana"),
    attendance("ana"),
    Delegation("d1", DelegationKind.CARER, "ana", "bob", revoked_at=STARTED),
    block("ana"),
    Relationship("l1", RelationshipKind.REFERRAL, "ana", "tim"),
    Grant("g1", GrantKind.SHARE, "bob", recording_id="r1", reason=WORDS),
    Grant("g2", GrantKind.QUALITY, "tim", patient_id="ana", reason=WORDS),
    Consent("n1", "ana", ConsentScope.TRAINING, ConsentStatus.WITHDRAWN),
]
"""All that is about Ana."""
BOBS: list[Entity] = [
    tenant(),
    subject("bob", family=("ana",)),
    consultation("bob", "c2"),
    recording("bob", "r2", consultation_id="c2"),
    Attendance(
        "r2",
        (
            Participant("bob", ParticipantKind.PATIENT),
            Participant("ana", ParticipantKind.CHAPERONE),
        ),
    ),
    Delegation("d2", DelegationKind.CARER, "bob", "ana"),
]
"""All that is about others; some of it names Ana."""


@pytest.fixture
async def filled(registry: SqlRegistry) -> SqlRegistry:
    """A registry with Ana and Bob in it."""
    await registry.write([fact(one) for one in (*BOBS, *ANAS)], actor=ACTOR)
    return registry


@pytest.fixture
def database(registry_url: str) -> Iterator[Database]:
    """The registry as no service sees it."""
    opened = Database(registry_url, lock_seconds=2, pool=1)
    yield opened
    opened.close()


def references_of(entities: list[Entity]) -> list[FactReference]:
    return [FactReference(fact(one).kind, one.id) for one in entities]


def everything_in(database: Database) -> str:
    """Return the text of every row of every table."""
    tables = [table.name for table in FACT_TABLES.values()]
    tables += [
        "attendance_participants", "subject_links", "recording_reach", "fact_changes",
        "past_mentions", "attributions", "fact_notes",
    ]  # fmt: skip
    with database.transaction(Access.READ) as session:
        rows = [row for name in tables for row in session.rows(f"SELECT * FROM {name}")]  # noqa: S608  # names of ours
    return "\n".join(map(str, rows))


async def erase(registry: SqlRegistry, patient_id: str = "ana", **more: Any) -> Any:
    return await registry.erase(patient_id, actor="dpo", reason=REASON, **more)


async def test_all_that_is_about_the_patient_is_gone(filled: SqlRegistry) -> None:
    erased = await erase(filled)

    found, revision = await filled.read(references_of(ANAS))
    assert (found, revision, erased.erased) == ([], erased.revision, len(ANAS))


async def test_what_is_about_others_stays(filled: SqlRegistry) -> None:
    """Even what names the patient: it is not theirs, and an erasure says how much that is."""
    erased = await erase(filled)

    found, _ = await filled.read(references_of(BOBS))
    assert [one.entity for one in found] == BOBS
    assert erased.naming == 3


async def test_no_word_and_no_earlier_version_is_left(
    filled: SqlRegistry, database: Database
) -> None:
    """Not of what was stored, not of what it said before, and not of what was deleted."""
    await filled.write(
        [fact(Relationship("l1", RelationshipKind.REFERRAL, "ana", "tom"), day=1)], actor=ACTOR
    )
    gone = [reference(FactKind.RELATIONSHIP, "l1"), reference(FactKind.GRANT, "g2")]
    await filled.delete(gone, actor=ACTOR)
    before = everything_in(database)

    await erase(filled)

    after = everything_in(database)
    assert WORDS in before
    assert WORDS not in after
    assert '"patient_id":"ana"' not in after
    assert '"owner_id":"ana"' not in after
    assert '"id":"ana"' not in after
    assert '"patient_id":"bob"' in after


async def test_what_was_erased_does_not_come_back(filled: SqlRegistry) -> None:
    """A pipeline that sends everything again, seen today, is not told; its facts are skipped."""
    await erase(filled)

    again = await filled.write([fact(one, day=360) for one in ANAS], actor=ACTOR)

    assert (again.written, again.skipped) == (0, len(ANAS))
    assert await filled.read(references_of(ANAS)) == ([], again.revision)


async def test_a_fact_that_was_about_the_patient_once_loses_that_version_alone(
    filled: SqlRegistry, database: Database
) -> None:
    moved = Relationship("l1", RelationshipKind.REFERRAL, "bob", "tim")
    await filled.write([fact(moved, day=1)], actor=ACTOR)

    await erase(filled)

    found, _ = await filled.read([reference(FactKind.RELATIONSHIP, "l1")])
    assert [one.entity for one in found] == [moved]
    assert '"patient_id":"ana"' not in everything_in(database)


@pytest.mark.parametrize(
    ("standing_against", "why"),
    [
        pytest.param(
            recording("ana", holds=(Hold("m1", HoldKind.PRESERVE),)), "legal hold", id="a-hold"
        ),
        pytest.param(recording("bob"), "another patient", id="another-owner"),
        pytest.param(consultation("bob"), "another patient", id="another-booking"),
        pytest.param(
            Attendance(
                "r1", tuple(Participant(who, ParticipantKind.PATIENT) for who in ("ana", "bob"))
            ),
            "another patient",
            id="another-attended",
        ),
        pytest.param(
            Grant("g9", GrantKind.EMERGENCY, "tim", patient_id="ana", approved_by="boss"),
            "review it first",
            id="an-emergency-to-review",
        ),
    ],
)
async def test_what_somebody_still_needs_is_not_erased(
    filled: SqlRegistry, standing_against: Entity, why: str
) -> None:
    await filled.write([fact(standing_against, day=1)], actor=ACTOR)

    with pytest.raises(StateError, match=why):
        await erase(filled)

    found, _ = await filled.read([reference(FactKind.SUBJECT, "ana")])
    assert len(found) == 1


async def test_a_reviewed_emergency_access_goes_with_the_rest(filled: SqlRegistry) -> None:
    grant = Grant("g9", GrantKind.EMERGENCY, "tim", patient_id="ana", approved_by="boss")
    review = GrantReview(STARTED, "zed", ReviewVerdict.JUSTIFIED)
    await filled.write([fact(grant)], actor=ACTOR)
    await filled.write([fact(replace(grant, review=review), day=1)], actor="zed")

    assert (await erase(filled)).erased == len(ANAS) + 1


async def test_only_patients_who_are_known_are_erased(filled: SqlRegistry) -> None:
    staff = replace(subject("tim"), kind=SubjectKind.STAFF)
    await filled.write([fact(staff)], actor=ACTOR)

    with pytest.raises(StateError, match="no patient"):
        await erase(filled, "tim")
    with pytest.raises(NotFoundError):
        await erase(filled, "nobody")
    await erase(filled)
    with pytest.raises(NotFoundError):
        await erase(filled)


async def test_a_caller_erases_patients_of_its_own_tenants_alone(filled: SqlRegistry) -> None:
    with pytest.raises(CallerNotAllowedError):
        await erase(filled, within=frozenset({"other"}))
    with pytest.raises(CallerNotAllowedError):
        await erase(filled, "nobody", within=frozenset({"uk"}))

    assert (await erase(filled, within=frozenset({"uk"}))).erased == len(ANAS)

"""What is kept of who may reach what is what all facts say, after any writes and deletions."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from authz_service.facts.reach_verification import MISSING, SURPLUS
from authz_service.facts.sql_registry import SqlRegistry
from authz_service.facts.verification import verify_registry
from authz_service.pdp.entities import (
    Attendance,
    Delegation,
    Entity,
    Grant,
    Hold,
    Participant,
    Recording,
    Relationship,
)
from authz_service.pdp.entity_words import (
    DelegationKind,
    FactKind,
    GrantKind,
    HoldKind,
    ParticipantKind,
    RecordingState,
    RelationshipKind,
)
from authz_service.pdp.errors import StateError
from authz_service.pdp.facts import FactReference
from tests.contract.facts.lists_oracle import reach_of, stored_facts, stored_reach
from tests.contract.facts.registry_cases import (
    ACTOR,
    STARTED,
    YEAR,
    SteppingClock,
    empty,
    fact,
    recording,
    run,
    world,
)

people = st.sampled_from(("p1", "p2", "p3"))
maybe = st.none() | people
ids = st.sampled_from(("x1", "x2"))
recordings = st.sampled_from(("r1", "r2", "r3"))
instants = st.sampled_from((None, STARTED, YEAR))
viewers = st.lists(people, max_size=2).map(tuple)
holds = st.lists(st.builds(Hold, ids, st.just(HoldKind.PRESERVE), viewers), max_size=2).map(tuple)
participants = st.lists(
    st.builds(Participant, people, st.sampled_from(ParticipantKind)), max_size=3, unique=True
).map(tuple)

entities: st.SearchStrategy[Entity] = st.one_of(
    st.builds(
        Recording,
        recordings,
        st.just("uk"),
        st.sampled_from(RecordingState),
        owner_id=maybe,
        created_at=instants,
        holds=holds,
    ),
    st.builds(Attendance, recordings, participants),
    st.builds(Relationship, ids, st.sampled_from(RelationshipKind), maybe, maybe),
    st.builds(Delegation, ids, st.sampled_from(DelegationKind), maybe, maybe),
    st.builds(
        Grant,
        ids,
        st.sampled_from(sorted({*GrantKind} - {GrantKind.EMERGENCY})),
        maybe,
        st.none() | recordings,
        maybe,
    ),
    st.builds(
        Grant,
        st.just("emergency"),
        st.just(GrantKind.EMERGENCY),
        st.just("p1"),
        st.none() | recordings,
        maybe,
    ),
)
written = st.lists(entities, min_size=1, max_size=8)
deleted = st.lists(
    st.builds(
        FactReference,
        st.sampled_from(
            (
                FactKind.RECORDING,
                FactKind.ATTENDANCE,
                FactKind.RELATIONSHIP,
                FactKind.DELEGATION,
                FactKind.GRANT,
            )
        ),
        ids | recordings,
    ),
    min_size=1,
    max_size=4,
    unique=True,
)
steps = st.lists(written | deleted, min_size=1, max_size=8)

HOLD = Hold("m1", HoldKind.PRESERVE, ("lea", "leo"))
ANA_IN_CALL = Participant("ana", ParticipantKind.PATIENT)
EVE_IN_CALL = Participant("eve", ParticipantKind.CLINICIAN)


@given(steps)
@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    max_examples=settings().max_examples // 2,
)
def test_reach_is_what_all_facts_say(registry_url: str, steps: Sequence[Sequence[Any]]) -> None:
    """After every single write, correction and deletion of whatever opens a way."""
    empty(registry_url)
    registry = SqlRegistry(registry_url, SteppingClock())

    for day, step in enumerate(steps):
        asyncio.run(changed(registry, step, day))

        assert stored_reach(registry_url) == reach_of(stored_facts(registry_url))
    registry.close()


async def changed(registry: SqlRegistry, step: Sequence[Any], day: int) -> None:
    """Write or delete what *step* holds; what may not be deleted stays."""
    if isinstance(step[0], FactReference):
        for reference in step:
            with suppress(StateError):
                await registry.delete([reference], actor=ACTOR)
        return
    last = {(type(one), one.id): one for one in step}
    await registry.write([fact(one, day=500 + day) for one in last.values()], actor=ACTOR)


CARE = Relationship("t1", RelationshipKind.REFERRAL, "ana", "eve")
CARE_TOO = replace(CARE, id="t2")
PROXY = Delegation("d1", DelegationKind.CARER, "ana", "bob")
ON_ALL = Grant("g1", GrantKind.SHARE, "bob", patient_id="ana")
CALL = Attendance("r1", (ANA_IN_CALL, EVE_IN_CALL))
R1 = recording("ana")
HELD = recording("ana", holds=(HOLD,))
LATER = STARTED + timedelta(days=1)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        pytest.param(
            [CARE, CARE_TOO], [replace(CARE, staff_id="mia")], "eve:treating mia:treating",
            id="one-of-two-relationships-moves-on",
        ),
        pytest.param(
            [CARE], [replace(CARE, patient_id="bob")], "", id="a-relationship-to-another-patient"
        ),
        pytest.param(
            [PROXY], [replace(PROXY, delegate_id="mia")], "mia:proxy", id="another-delegate"
        ),
        pytest.param(
            [ON_ALL], [replace(ON_ALL, kind=GrantKind.QUALITY)], "bob:QUALITY",
            id="a-grant-of-another-kind",
        ),
        pytest.param(
            [ON_ALL], [replace(ON_ALL, patient_id=None, recording_id="r2")], "",
            id="a-grant-on-another-recording",
        ),
        pytest.param(
            [ON_ALL, replace(ON_ALL, id="g2")], [replace(ON_ALL, subject_id="mia")],
            "bob:SHARE mia:SHARE", id="one-of-two-grants-moves-on",
        ),
        pytest.param(
            [CALL], [replace(CALL, participants=(ANA_IN_CALL,))], "", id="somebody-was-not-there"
        ),
        pytest.param(
            [CALL],
            [replace(CALL, participants=(replace(EVE_IN_CALL, kind=ParticipantKind.CHAPERONE),))],
            "eve:beside", id="somebody-was-there-as-another",
        ),
        pytest.param(
            [HELD], [recording("ana", holds=(replace(HOLD, viewers=("leo",)),))], "leo:hold",
            id="a-viewer-less",
        ),
        pytest.param(
            [CALL, CARE, HELD], [replace(HELD, owner_id="bob")],
            "eve:attending lea:hold leo:hold", id="another-owner",
        ),
        pytest.param(
            [CALL, CARE, PROXY, ON_ALL],
            [replace(R1, created_at=LATER)],
            "bob:SHARE bob:proxy eve:attending eve:treating",
            id="made-at-another-time",
        ),
        pytest.param(
            [CALL, CARE, HELD], [replace(HELD, created_at=None)], "", id="made-nobody-knows-when"
        ),
        pytest.param(
            [CARE, PROXY], [replace(CARE, valid_to=STARTED), replace(PROXY, revoked_at=STARTED)],
            "bob:proxy eve:treating", id="what-ended-stays",
        ),
        pytest.param(
            [CARE, PROXY],
            [replace(CARE, patient_id="bob"), replace(PROXY, patient_id="bob"),
             replace(R1, owner_id="bob")],
            "bob:proxy eve:treating", id="all-at-once",
        ),
    ],
)  # fmt: skip
async def test_a_correction_is_followed(
    registry: SqlRegistry,
    registry_url: str,
    before: Sequence[Entity],
    after: Sequence[Entity],
    expected: str,
) -> None:
    """What else rests on other facts stays; what rested on the corrected one alone goes."""
    first = {(type(one), one.id): one for one in (R1, *before)}
    await registry.write([fact(one) for one in first.values()], actor=ACTOR)

    await registry.write([fact(one, day=1) for one in after], actor=ACTOR)

    stored = stored_reach(registry_url)
    assert " ".join(f"{who}:{way}" for who, way, *_ in stored) == expected
    assert stored == reach_of(stored_facts(registry_url))


@pytest.mark.parametrize(
    ("gone", "expected"),
    [
        pytest.param(FactReference(FactKind.RELATIONSHIP, "t1"), 3, id="one-of-two-relationships"),
        pytest.param(FactReference(FactKind.DELEGATION, "d1"), 2, id="the-delegation"),
        pytest.param(FactReference(FactKind.ATTENDANCE, "r1"), 2, id="the-attendance"),
        pytest.param(FactReference(FactKind.RECORDING, "r1"), 0, id="the-recording"),
    ],
)
async def test_a_deletion_is_followed(
    registry: SqlRegistry, registry_url: str, gone: FactReference, expected: int
) -> None:
    facts = (R1, CARE, CARE_TOO, PROXY, CALL)
    await registry.write([fact(one) for one in facts], actor=ACTOR)

    await registry.delete([gone], actor=ACTOR)

    assert len(stored_reach(registry_url)) == expected
    await registry.write([fact(one, day=700) for one in facts], actor=ACTOR)
    assert len(stored_reach(registry_url)) == 3


@pytest.fixture
async def kept(registry: SqlRegistry) -> None:
    """A registry in which a clinician, a carer and a viewer reach a recording."""
    facts = [
        *world(),
        fact(recording("ana", holds=(HOLD,)), day=1),
        fact(Attendance("r1", (ANA_IN_CALL, EVE_IN_CALL)), day=1),
        fact(Delegation("d1", DelegationKind.CARER, "ana", "bob")),
    ]
    await registry.write(facts[:6], actor=ACTOR)
    await registry.write(facts[6:], actor=ACTOR)


@pytest.mark.usefixtures("kept")
async def test_a_sound_registry_is_found_sound(registry_url: str) -> None:
    assert len(stored_reach(registry_url)) == 4
    assert reach_rules(registry_url) == []


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        pytest.param("DELETE FROM recording_reach", (MISSING, 4, ("r1", "r1")), id="all"),
        pytest.param(
            "DELETE FROM recording_reach WHERE way = 'proxy'", (MISSING, 1, ("r1",)), id="a-way"
        ),
        pytest.param(
            "DELETE FROM recording_reach WHERE subject_id = 'lea'",
            (MISSING, 1, ("r1",)),
            id="a-viewer",
        ),
        pytest.param(
            "INSERT INTO recording_reach VALUES ('mal', 'treating', 1, 'r9')",
            (SURPLUS, 1, ("r9",)),
            id="a-stranger",
        ),
        pytest.param(
            "INSERT INTO recording_reach VALUES ('mal', 'hold', 1, 'r1')",
            (SURPLUS, 1, ()),
            id="a-strange-viewer",
        ),
    ],
)
@pytest.mark.usefixtures("kept")
async def test_what_was_damaged_is_found(
    registry_url: str, damage: str, expected: tuple[str, int, tuple[str, ...]]
) -> None:
    """By a program that is not ours, or by a defect of one that is."""
    run(registry_url, damage)

    assert reach_rules(registry_url) == [expected]


def reach_rules(url: str) -> list[tuple[str, int, tuple[str, ...]]]:
    """Return what a verification of a registry says of who reaches what."""
    found = [(one.rule, one.count, one.examples) for one in verify_registry(url)]
    return [one for one in found if one[0] in {MISSING, SURPLUS}]

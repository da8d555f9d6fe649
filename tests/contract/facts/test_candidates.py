"""The candidates of a list are, page after page, those that all facts together name."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from authz_service.facts.reader import PageQuestion
from authz_service.facts.sql_reader import SqlReader
from authz_service.facts.sql_registry import SqlRegistry
from authz_service.operations.lists import CandidateQuestion, ListKey
from authz_service.pdp.assembly import World
from authz_service.pdp.entities import (
    Attendance,
    Consultation,
    Delegation,
    Entity,
    Grant,
    Hold,
    Participant,
    Recording,
    Relationship,
    Subject,
)
from authz_service.pdp.entity_words import (
    DelegationKind,
    GrantKind,
    HoldKind,
    ParticipantKind,
    RecordingState,
    RelationshipKind,
    SubjectKind,
    SubjectStatus,
)
from authz_service.pdp.facts import Standing
from authz_service.pdp.model import AccessRequest, Action, PurposeOfUse, Relation
from authz_service.pdp.relations import relations_of
from tests.contract.facts.lists_oracle import candidates_of
from tests.contract.facts.registry_cases import (
    ACTOR,
    STARTED,
    SteppingClock,
    SystemClock,
    attendance,
    empty,
    fact,
    recording,
    subject,
    tenant,
)

ALL = frozenset(Relation)
PEOPLE = ("ana", "bob", "eve")
RECORDINGS = ("r1", "r2", "r3", "r4")
HOUR = timedelta(hours=1)
ALWAYS = STARTED - timedelta(days=1)

people = st.sampled_from(PEOPLE)
others = st.sampled_from(("bob", "eve"))
ids = st.sampled_from(("x1", "x2"))
recordings = st.sampled_from(RECORDINGS)
instants = st.sampled_from((STARTED, STARTED + HOUR, STARTED + 2 * HOUR))
viewers = st.lists(others, min_size=1, max_size=2).map(tuple)
holds = st.lists(st.builds(Hold, ids, st.just(HoldKind.PRESERVE), viewers), max_size=1).map(tuple)
actions = st.just(tuple(Action))
patient = st.just(Participant("ana", ParticipantKind.PATIENT))
participant = st.builds(
    Participant, others, st.sampled_from((ParticipantKind.CLINICIAN, ParticipantKind.OBSERVER))
)

entities: st.SearchStrategy[Entity] = st.one_of(
    st.builds(
        Recording,
        recordings,
        st.just("uk"),
        st.just(RecordingState.ACTIVE),
        st.just("c1"),
        st.sampled_from(("ana", "ana", "ana", "bob", None)),
        created_at=instants | st.none(),
        holds=holds,
    ),
    st.builds(Attendance, recordings, st.tuples(patient) | st.tuples(patient, participant)),
    st.builds(
        Relationship,
        ids,
        st.sampled_from(RelationshipKind),
        st.just("ana"),
        others,
        st.just(ALWAYS),
    ),
    st.builds(
        Delegation,
        ids,
        st.sampled_from((DelegationKind.LASTING_POWER, DelegationKind.PARENTAL)),
        st.just("ana"),
        others,
        actions,
        st.just(ALWAYS),
    ),
    st.builds(
        Grant,
        ids,
        st.sampled_from(GrantKind),
        others,
        st.none() | recordings,
        st.none() | st.just("ana"),
        actions,
        st.just(ALWAYS),
        approved_by=st.just("ana"),
    ),
)
worlds = st.lists(entities, min_size=6, max_size=24)
relations = st.just(ALL) | st.frozensets(st.sampled_from(Relation), max_size=4)
questions = st.builds(
    CandidateQuestion,
    people,
    relations,
    st.none() | people,
    st.none() | instants,
    st.none() | instants,
)
AROUND: tuple[Entity, ...] = (
    tenant(),
    subject("ana", birth_date=date(2010, 1, 1)),
    Subject("bob", "uk", SubjectKind.STAFF, SubjectStatus.ACTIVE),
    Subject("eve", "uk", SubjectKind.SERVICE, SubjectStatus.ACTIVE),
    Consultation("c1", "uk", "ana", started_at=STARTED),
)
AGREED: tuple[Entity, ...] = (
    *(recording("ana", name) for name in RECORDINGS),
    *(attendance("ana", name) for name in RECORDINGS),
)
"""Recordings whose facts agree, unless others come in their place."""


@pytest.fixture
def url(registry_url: str) -> str:
    """A registry with nothing in it."""
    empty(registry_url)
    return registry_url


async def write(url: str, facts: Sequence[Entity]) -> dict[Any, Entity]:
    """Write the last of *facts* of each kind and id; return those."""
    registry = SqlRegistry(url, SteppingClock())
    last = {(type(one), one.id): one for one in facts}
    await registry.write([fact(one) for one in last.values()], actor=ACTOR)
    registry.close()
    return last


def pages(url: str, question: CandidateQuestion, limit: int) -> list[tuple[ListKey, ...]]:
    """Return all pages of a list, each asked for after the one before."""
    reader = SqlReader(url, SystemClock())
    found: list[tuple[ListKey, ...]] = []
    after = None
    while True:
        page = reader.candidates(PageQuestion(question, after, limit))
        found.append(page.keys)
        if page.is_last:
            reader.close()
            return found
        after = page.keys[-1]


@given(worlds, st.lists(questions, min_size=1, max_size=6), st.integers(1, 3))
@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    max_examples=settings().max_examples // 2,
)
def test_pages_are_what_all_facts_name(
    registry_url: str, facts: Sequence[Entity], asked: Sequence[CandidateQuestion], limit: int
) -> None:
    """By every way, of anybody or of one patient, in any window, ties included; each once."""
    empty(registry_url)
    stored = asyncio.run(write(registry_url, (*AROUND, *facts)))

    for question in asked:
        found = pages(registry_url, question, limit)

        assert [key for page in found for key in page] == candidates_of(stored.values(), question)
        assert all(len(page) == limit for page in found[:-1])


@given(worlds)
@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    max_examples=settings().max_examples // 2,
)
def test_whoever_has_a_relation_finds_the_recording(
    registry_url: str, facts: Sequence[Entity]
) -> None:
    """The pdp's own derivation of relations, asked recording by recording, finds no more."""
    empty(registry_url)
    stored = asyncio.run(write(registry_url, (*AROUND, *AGREED, *facts)))
    world = World([fact(one) for one in stored.values()])

    for subject_id in PEOPLE:
        for relation, recording_id in related(world, subject_id):
            question = CandidateQuestion(subject_id, frozenset({relation}))
            (keys,) = pages(registry_url, question, 50)
            assert recording_id in {key.recording_id for key in keys}


def related(world: World, subject_id: str) -> Iterator[tuple[Relation, str]]:
    """Yield the relations that a subject has to recordings whose facts agree."""
    for recording_id in RECORDINGS:
        facts = world.facts_for(subject_id, recording_id)
        if facts.recording is None or facts.recording.attribution.standing is not Standing.AGREED:
            continue
        request = AccessRequest(subject_id, recording_id, Action.LIST, PurposeOfUse.TREAT)
        for relation in relations_of(request, facts, STARTED + 3 * HOUR).evidence:
            yield relation, recording_id


async def test_a_service_keeps_what_its_tenant_has_and_nobody_else_does(url: str) -> None:
    """Being of the tenant is not enough: a patient of it would have everything as a candidate."""
    await write(url, (*AROUND, recording("ana"), recording("ana", "r2")))

    keepers = {
        who: [key.recording_id for key in pages(url, by(who, Relation.CUSTODIAN), 5)[0]]
        for who in (*PEOPLE, "nobody")
    }

    assert keepers == {"ana": [], "bob": [], "eve": ["r2", "r1"], "nobody": []}


async def test_without_a_relation_there_is_no_candidate(url: str) -> None:
    await write(url, (*AROUND, recording("ana"), attendance("ana")))

    assert pages(url, by("ana"), 5) == [()]
    assert pages(url, by("ana")._replace(patient_id="ana"), 5) == [()]


async def test_who_pages_on_is_told_of_the_end_by_the_last_row(url: str) -> None:
    """A page that is full because nothing is left says so: nobody asks for an empty one."""
    await write(url, [*AROUND, *(recording("ana", name) for name in RECORDINGS)])

    assert [len(page) for page in pages(url, by("ana", Relation.OWNER), 2)] == [2, 2]


def by(subject_id: str, *asked: Relation) -> CandidateQuestion:
    """Return the question for what a subject reaches by *asked*."""
    return CandidateQuestion(subject_id, frozenset(asked))

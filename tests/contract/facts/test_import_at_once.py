"""Many facts at once by COPY leave what a thousand at a time leave, row by row."""

from __future__ import annotations

import os
from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from authz_service.facts import import_lines, importer
from authz_service.facts.reader import Key
from authz_service.facts.sql_reader import SqlReader
from authz_service.pdp.entities import (
    Attendance,
    CompetenceReview,
    Consultation,
    Containment,
    ContainmentScope,
    Delegation,
    Entity,
    Grant,
    GrantReview,
    Hold,
    Participant,
    Recording,
    Relationship,
    Subject,
    Tenant,
)
from authz_service.pdp.entity_words import (
    Audience,
    CompetenceOutcome,
    DelegationKind,
    GrantKind,
    HoldKind,
    ParticipantKind,
    RecordingState,
    RelationshipKind,
    ReviewVerdict,
    SubjectKind,
    SubjectStatus,
)
from tests.contract.facts.import_oracle import faults, imported, line_of, stored
from tests.contract.facts.lists_oracle import reach_of, stored_facts, stored_reach
from tests.contract.facts.registry_cases import (
    ACTOR,
    STARTED,
    YEAR,
    SystemClock,
    reset,
)

EXAMPLES = int(os.environ.get("AUTHZ_TEST_IMPORTS", "12"))
PEOPLE = tuple(f"p{number}" for number in range(5))
RECORDINGS = tuple(f"r{number}" for number in range(6))
KEYS = [Key("recording", one) for one in RECORDINGS] + [
    key for one in (*PEOPLE, ACTOR) for key in (Key("subject", one), Key("patient", one))
]

people = st.sampled_from((*PEOPLE, ACTOR))
maybe = st.none() | people
ids = st.sampled_from(("x1", "x2", "x3"))
recordings = st.sampled_from(RECORDINGS)
consultations = st.sampled_from(("c1", "c2", "c3"))
some = st.lists(st.sampled_from(PEOPLE), max_size=1).map(tuple)
reviews = st.none() | st.builds(GrantReview, st.just(YEAR), people, st.sampled_from(ReviewVerdict))
entities: st.SearchStrategy[Entity] = st.one_of(
    st.builds(Tenant, st.just("uk"), st.sampled_from(("UTC", "Europe/London"))),
    st.builds(
        Subject,
        people,
        st.sampled_from(("uk", "us")),
        st.just(SubjectKind.PATIENT),
        st.just(SubjectStatus.ACTIVE),
        same_person_as=some,
        family=some,
    ),
    st.builds(Consultation, consultations, st.just("uk"), maybe),
    st.builds(
        Recording,
        recordings,
        st.just("uk"),
        st.just(RecordingState.ACTIVE),
        st.none() | consultations,
        maybe,
        created_at=st.sampled_from((None, STARTED, YEAR)),
        created_by_release=st.sampled_from((None, 'a "quoted" \\N back\\\\slash\ttab')),
        holds=st.lists(st.builds(Hold, ids, st.just(HoldKind.PRESERVE), some), max_size=2).map(
            tuple
        ),
    ),
    st.builds(
        Attendance,
        recordings,
        st.lists(
            st.builds(Participant, people, st.sampled_from(ParticipantKind)),
            max_size=3,
            unique=True,
        ).map(tuple),
    ),
    st.builds(Relationship, ids, st.sampled_from(RelationshipKind), maybe, maybe),
    st.builds(
        Delegation,
        ids,
        st.sampled_from(DelegationKind),
        maybe,
        maybe,
        revoked_at=st.sampled_from((None, YEAR)),
        competence_review=st.none()
        | st.builds(CompetenceReview, st.just(YEAR), st.sampled_from(CompetenceOutcome)),
    ),
    st.builds(
        Grant, ids, st.sampled_from(GrantKind), maybe, st.none() | recordings, maybe, review=reviews
    ),
    st.builds(
        Containment,
        ids,
        st.just(ContainmentScope(audience=Audience.STAFF)),
        set_by=people,
        lifted_by=people,
        lifted_at=st.sampled_from((None, YEAR)),
    ),
)
consistent = st.sampled_from(
    [
        entity
        for number, one in enumerate(RECORDINGS)
        for who in (PEOPLE[number % 2],)
        for entity in (
            Consultation(f"c{number % 3}", "uk", who),
            Recording(one, "uk", RecordingState.ACTIVE, f"c{number % 3}", who, created_at=STARTED),
            Attendance(one, (Participant(who, ParticipantKind.PATIENT),)),
            Subject(who, "uk", SubjectKind.PATIENT, SubjectStatus.ACTIVE),
        )
    ]
)
files = st.lists(
    st.lists(st.tuples(consistent | entities, st.integers(0, 3)), min_size=1, max_size=40),
    min_size=1,
    max_size=3,
)


@pytest.fixture
def slow_url(sqlite_url: str) -> str:
    """A registry into which chunks go one by one, by the writer of all other changes."""
    return sqlite_url


@pytest.fixture
def fast_url(postgresql_registry_url: str) -> str:
    """A registry into which they go at once."""
    return postgresql_registry_url


@pytest.mark.postgres
@given(files)
@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    max_examples=EXAMPLES,
    deadline=None,
)
def test_at_once_leaves_what_chunk_by_chunk_leaves(
    slow_url: str, fast_url: str, files: Sequence[Sequence[tuple[Entity, int]]]
) -> None:
    """Facts, who reaches what, disputes, the list of changes, what is said, where it stops."""
    reset(slow_url)
    reset(fast_url)
    reader = SqlReader(fast_url, SystemClock())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(import_lines, "MAX_FACTS", 4)
        patch.setattr(importer._Run, "_pace", lambda run, *_: setattr(run, "_chunks_at_once", 5))
        for number, file in enumerate(files):
            lines = [line_of(entity, day + number) for entity, day in file]
            before, known = reader.load(KEYS).values, reader.look()
            summary = imported(fast_url, lines)
            after = reader.load(KEYS).values
            changes = reader.changes(known.revision, known.nonce)

            assert summary == imported(slow_url, lines)
            assert stored(fast_url) == stored(slow_url)
            changed = {key for key in KEYS if before[key] != after[key]}
            told = {key for _, keys in changes.touched for key in keys}
            assert changed <= told or not changes.complete
    reader.close()
    assert faults(fast_url) == []
    assert stored_reach(fast_url) == reach_of(stored_facts(fast_url))

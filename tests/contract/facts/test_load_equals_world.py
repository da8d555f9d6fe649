"""What SQL loads is what the plainly right reading of the same facts gives, on random worlds."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from authz_service.facts.reader import CONTAINMENTS_KEY, Key
from authz_service.facts.sql_reader import SqlReader
from authz_service.facts.sql_registry import SqlRegistry
from authz_service.pdp.assembly import World
from authz_service.pdp.corroboration import corroborated_patient_id
from authz_service.pdp.entities import (
    Attendance,
    Block,
    Consent,
    Consultation,
    Containment,
    ContainmentScope,
    Delegation,
    Grant,
    Participant,
    Recording,
    Relationship,
    Subject,
    Tenant,
)
from authz_service.pdp.entity_words import (
    ConsentScope,
    ConsentStatus,
    DelegationKind,
    GrantKind,
    ParticipantKind,
    RecordingState,
    RelationshipKind,
    SubjectKind,
    SubjectStatus,
)
from authz_service.pdp.facts import Fact, FactReference, Facts
from tests.contract.facts.registry_cases import (
    ACTOR,
    STARTED,
    SteppingClock,
    SystemClock,
    empty,
    fact,
)

PEOPLE = ("p1", "p2", "p3", "p4")
RECORDINGS = ("r1", "r2")

people = st.sampled_from(PEOPLE)
some = st.lists(people, max_size=2, unique=True).map(tuple)
maybe = st.none() | people
recordings = st.sampled_from(RECORDINGS)
tenants = st.sampled_from(("uk", "us"))
ids = st.sampled_from(("x1", "x2"))
started = st.sampled_from((None, STARTED))

entities = st.one_of(
    st.builds(Tenant, tenants, st.just("Europe/London")),
    st.builds(
        Subject,
        people,
        tenants,
        st.sampled_from(SubjectKind),
        st.sampled_from(SubjectStatus),
        birth_date=st.sampled_from((None, STARTED.date())),
        same_person_as=some,
        family=some,
    ),
    st.builds(Consultation, st.sampled_from(("c1", "c2")), tenants, maybe, started_at=started),
    st.builds(
        Recording,
        recordings,
        tenants,
        st.sampled_from(RecordingState),
        st.sampled_from(("c1", "c2")),
        maybe,
        created_at=started,
    ),
    st.builds(
        Attendance,
        recordings,
        st.lists(st.builds(Participant, people, st.sampled_from(ParticipantKind)), max_size=2).map(
            tuple
        ),
    ),
    st.builds(Delegation, ids, st.sampled_from(DelegationKind), maybe, maybe),
    st.builds(Block, ids, people, people),
    st.builds(Relationship, ids, st.sampled_from(RelationshipKind), maybe, maybe),
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
        st.just(PEOPLE[0]),
        st.none() | recordings,
        maybe,
    ),
    st.builds(Consent, ids, people, st.sampled_from(ConsentScope), st.sampled_from(ConsentStatus)),
    st.sampled_from(
        tuple(
            Containment(
                one,
                ContainmentScope(tenant_id="uk"),
                set_by="eve",
                lifted_by="zed",
                lifted_at=lifted_at,
            )
            for one, lifted_at in (("set", None), ("lifted", STARTED))
        )
    ),
)
writes = st.lists(st.lists(entities, min_size=1, max_size=12), min_size=1, max_size=4)


@given(writes)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_a_load_equals_the_world(registry_url: str, batches: Sequence[Sequence[Any]]) -> None:
    """For every person and recording, after any few writes, links and disputes included."""
    empty(registry_url)
    world, disputed = asyncio.run(written(registry_url, batches))
    oracle = World(world.values(), disputed)
    reader = SqlReader(registry_url, SystemClock())

    keys = [
        *(Key("subject", one) for one in PEOPLE),
        *(Key("recording", one) for one in RECORDINGS),
        CONTAINMENTS_KEY,
    ]
    values = reader.load(keys).values
    reader.close()

    for subject_id in PEOPLE:
        for recording_id in RECORDINGS:
            expected = in_order(oracle.facts_for(subject_id, recording_id))
            patient_id = expected.recording and expected.recording.attribution.patient_id
            patient = Key("patient", patient_id) if patient_id else None
            assert values[Key("subject", subject_id)] == expected.subject
            assert values[Key("recording", recording_id)] == expected.recording
            assert (values[patient] if patient else None) == expected.patient
            assert values[CONTAINMENTS_KEY] == expected.containments


async def written(
    url: str, batches: Sequence[Sequence[Any]]
) -> tuple[dict[FactReference, Fact[Any]], set[str]]:
    """Write *batches*; return the facts as they stand then, and the disputed recordings.

    The rule of disputes is told here a second time, one recording after the other: what all facts
    agreed on before any write is kept in mind, and another owner is disputed from then on.
    """
    registry = SqlRegistry(url, SteppingClock())
    world: dict[FactReference, Fact[Any]] = {}
    established: dict[str, str] = {}
    disputed: set[str] = set()
    for day, batch in enumerate(batches):
        facts = {one.id + type(one).__name__: fact(one, day=day) for one in batch}
        established = agreed_on(world, disputed) | established
        outcome = await registry.write(list(facts.values()), actor=ACTOR)
        for one in facts.values():
            stored = replace(one, revision=outcome.revision)
            world[FactReference(one.kind, one.entity.id)] = stored
            if isinstance(one.entity, Recording):
                before = established.get(one.entity.id)
                if before is not None and one.entity.owner_id != before:
                    disputed.add(one.entity.id)
    registry.close()
    return world, disputed


def agreed_on(world: dict[FactReference, Fact[Any]], disputed: set[str]) -> dict[str, str]:
    """Return the patient of every recording on which all facts agree."""
    oracle = World(world.values(), disputed)
    found = {}
    for recording_id in RECORDINGS:
        facts = oracle.facts_for("nobody", recording_id)
        patient_id = facts.recording and corroborated_patient_id(facts.recording, facts.patient)
        if patient_id:
            found[recording_id] = patient_id
    return found


def by_id(found: Sequence[Fact[Any]]) -> Any:
    """Return *found* by id."""
    return tuple(sorted(found, key=lambda one: one.entity.id))


def in_order(facts: Facts) -> Facts:
    """Return *facts* with every list by id, as the registry gives them."""
    recording, patient = facts.recording, facts.patient
    return facts._replace(
        recording=recording and replace(recording, grants=by_id(recording.grants)),
        patient=patient
        and replace(
            patient,
            delegations=by_id(patient.delegations),
            blocks=by_id(patient.blocks),
            relationships=by_id(patient.relationships),
            grants=by_id(patient.grants),
            consents=by_id(patient.consents),
        ),
        containments=tuple(sorted(facts.containments, key=lambda one: one.id)),
    )

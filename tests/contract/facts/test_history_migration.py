"""What a registry of the third schema says of its past after its upgrade."""

from __future__ import annotations

from datetime import timedelta
from importlib import import_module
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz_service.facts.as_of import SqlHistory
from authz_service.facts.database import Access, Database
from authz_service.facts.mentions import mentions_of
from authz_service.facts.schema_version import SchemaState, migrate
from authz_service.facts.sql_registry import SqlRegistry
from authz_service.operations.ports import FactsQuestion
from authz_service.pdp.entities import ENTITY_TYPES, Relationship
from authz_service.pdp.entity_plain import entity_to_plain
from authz_service.pdp.entity_words import FactKind, RelationshipKind
from authz_service.pdp.errors import HistoryGoneError
from tests.contract.facts.earlier_schemas import back_to_the_third
from tests.contract.facts.histories import STARTS, History, MovedClock, Step, founding
from tests.contract.facts.registry_cases import ACTOR, fact, recording, run, subject, world
from tests.contract.facts.test_load_equals_world import PEOPLE, RECORDINGS
from tests.unit.facts.test_stored_entities import instances_of

MANY = 2_100
"""More changes than a migration reads at a time."""


def many(patient_id: str, staff_id: str) -> tuple[Relationship, ...]:
    """Return many relationships of two people."""
    kind = RelationshipKind.REFERRAL
    return tuple(Relationship(f"m{n}", kind, patient_id, staff_id) for n in range(MANY // 3))


def changed() -> list[Step]:
    """Return steps that rename, unlink and delete, and that make many changes."""
    return [
        founding(),
        Step(1, many("q1", "q2")),
        Step(1, many("q1", "q3")),
        Step(-1, many("q4", "q3")),
        Step(9, (recording("p2", "r1", consultation_id="c1"), subject("p4"))),
        Step(1, deleted=frozenset({FactKind.DELEGATION, FactKind.GRANT, FactKind.CONSENT})),
        Step(1, (*founding().facts[-5:-2], recording("p1", "r1", consultation_id="c1"))),
    ]


def mentions(url: str) -> list[tuple[str, ...]]:
    """Return whom facts named once."""
    database = Database(url, lock_seconds=2, pool=1)
    with database.transaction(Access.READ) as session:
        rows = session.rows("SELECT named_id, until_revision, kind, id FROM past_mentions")
    database.close()
    return sorted(rows)


def test_every_state_of_before_can_be_asked_about(own_registry_url: str) -> None:
    copied = History(own_registry_url)
    copied.take(changed())
    live = mentions(own_registry_url)
    back_to_the_third(own_registry_url)

    assert migrate(own_registry_url) is SchemaState.OLDER

    assert mentions(own_registry_url) == live
    assert len(live) > 2 * (MANY // 3)
    past = SqlHistory(own_registry_url)
    for state in copied.states[1:]:
        then = copied.at(state.recorded_at)
        for who in PEOPLE:
            for what in RECORDINGS:
                found = past.read(FactsQuestion(who, what), state.recorded_at)
                assert found == then.facts_for(who, what)
    past.close()


async def test_what_a_fill_wrote_and_others_replaced_is_not_guessed(own_registry_url: str) -> None:
    """An earlier program kept it nowhere: history begins with the upgrade."""
    registry = SqlRegistry(own_registry_url, MovedClock())
    await registry.write(world(), actor=ACTOR)
    registry.close()
    run(
        own_registry_url,
        "DELETE FROM fact_changes WHERE revision = 1",
        "INSERT INTO fact_changes (revision, kind, id, keys, source, observed_at, recorded_at)"
        " VALUES (1, 'registry', 'fill', '[]', 'fill', 0, 0)",
    )
    registry = SqlRegistry(own_registry_url, MovedClock(STARTS + timedelta(seconds=1)))
    await registry.write([fact(recording("bob"), day=1)], actor=ACTOR)
    registry.close()
    back_to_the_third(own_registry_url)
    migrate(own_registry_url)
    past = SqlHistory(own_registry_url)

    with pytest.raises(HistoryGoneError, match="2022-01-01T00:00:01Z, with revision 2"):
        past.read(FactsQuestion("ana", "r1"), STARTS)
    now = past.read(FactsQuestion("ana", "r1"), STARTS + timedelta(seconds=1))

    assert now.revision == 2
    past.close()


@given(st.sampled_from(FactKind).flatmap(lambda kind: instances_of(ENTITY_TYPES[kind])))
def test_the_upgrade_finds_whom_a_write_finds(entity: Any) -> None:
    """It reads the stored text, as it was then, and knows nothing of today's entities."""
    migration = import_module("authz_service.facts.migrations.versions.0004_history")

    assert migration._named(entity_to_plain(entity)) == mentions_of(entity)

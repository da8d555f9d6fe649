"""A registry of an earlier schema says after its upgrade what a new one would say."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine

from authz_service.facts.database import parsed
from authz_service.facts.schema import SCHEMA_VERSION, VERSION_TABLE, metadata
from authz_service.facts.schema_version import SchemaState, migrate
from authz_service.facts.sql_registry import SqlRegistry
from authz_service.facts.write_rules import MAX_FACTS
from authz_service.pdp.entities import (
    Attendance,
    Delegation,
    Entity,
    Grant,
    Hold,
    Participant,
    Relationship,
)
from authz_service.pdp.entity_words import (
    DelegationKind,
    FactKind,
    GrantKind,
    HoldKind,
    ParticipantKind,
    RelationshipKind,
)
from authz_service.pdp.errors import FactsUnavailableError
from tests.contract.facts.lists_oracle import reach_of, stored_facts, stored_reach
from tests.contract.facts.registry_cases import (
    ACTOR,
    STARTED,
    SteppingClock,
    fact,
    recording,
    reference,
    run,
    tenant,
)
from tests.postgres import new_registry

PAGES_OF_HOLDS = 2_100
"""More than a migration reads at a time."""


def facts_of_every_way() -> list[Entity]:
    """Return facts that open each way there is, and some that open none."""
    hold = Hold("m1", HoldKind.PRESERVE, ("lea", "leo"))
    held = (
        recording("ana", f"h{number}", created_at=STARTED + timedelta(hours=number), holds=(hold,))
        for number in range(PAGES_OF_HOLDS)
    )
    in_the_call = tuple(
        Participant(kind.value.lower(), kind)
        for kind in (*ParticipantKind, ParticipantKind.PATIENT)
    )
    return [
        tenant(),
        *held,
        recording("ana"),
        recording("bob", "r2"),
        recording("bob", "gone"),
        recording("bob", "timeless", created_at=None, holds=(hold,)),
        recording("bob", "viewers", holds=(Hold("m2", HoldKind.PRESERVE),)),
        Attendance("r1", tuple(dict.fromkeys(in_the_call))),
        Attendance("unrecorded", in_the_call[:1]),
        Relationship("t1", RelationshipKind.REFERRAL, "ana", "tim"),
        Relationship("t2", RelationshipKind.APPOINTMENT, "ana", "tim"),
        Relationship("t3", RelationshipKind.APPOINTMENT, "ana"),
        Delegation("d1", DelegationKind.CARER, "bob", "dee"),
        *(Grant(f"g{kind}", kind, f"to-{kind}", recording_id="r1") for kind in GrantKind),
        *(Grant(f"p{kind}", kind, f"for-{kind}", patient_id="bob") for kind in GrantKind),
        Grant("both", GrantKind.SHARE, "gil", recording_id="r2", patient_id="ana"),
        Grant("nobody", GrantKind.SHARE, recording_id="r1"),
    ]


def back_to_the_first(url: str) -> None:
    """Give the registry of *url* the schema that the first migration makes."""
    run(
        url,
        "DROP TABLE recording_reach",
        "DROP TABLE service_keys",
        "DROP INDEX recordings_by_tenant_id",
        "DROP INDEX fact_changes_of_containments",
        f"UPDATE {VERSION_TABLE} SET version_num = '0001'",  # noqa: S608  # a name of ours
    )


@pytest.fixture
async def filled_url(own_registry_url: str) -> str:
    """A registry of the first schema, with facts that open every way."""
    registry = SqlRegistry(own_registry_url, SteppingClock())
    facts = [fact(one) for one in facts_of_every_way()]
    for begin in range(0, len(facts), MAX_FACTS):
        await registry.write(facts[begin : begin + MAX_FACTS], actor=ACTOR)
    await registry.delete([reference(FactKind.RECORDING, "gone")], actor=ACTOR)
    registry.close()
    back_to_the_first(own_registry_url)
    return own_registry_url


async def test_reach_is_there_for_what_was_stored_before(filled_url: str) -> None:
    assert migrate(filled_url) is SchemaState.OLDER

    found = stored_reach(filled_url)
    assert found == reach_of(stored_facts(filled_url))
    assert {way for _who, way, *_ in found} == {
        "attending", "beside", "treating", "proxy", "hold", "SHARE", "LEGAL", "QUALITY",
        "EMERGENCY",
    }  # fmt: skip
    assert sum(way == "hold" for _who, way, *_ in found) == 2 * PAGES_OF_HOLDS


async def test_the_tables_are_those_of_a_new_registry(filled_url: str) -> None:
    migrate(filled_url)

    engine = create_engine(parsed(filled_url))
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
        differences = compare_metadata(context, metadata)
    engine.dispose()
    assert differences == []


async def test_the_facts_and_their_revision_stay(filled_url: str) -> None:
    """Nothing is written but what follows from the facts: caches elsewhere need not start anew."""
    migrate(filled_url)
    registry = SqlRegistry(filled_url, SteppingClock())

    facts, revision = await registry.read([reference(FactKind.RECORDING, "r1")])

    assert ([one.entity for one in facts], revision) == ([recording("ana")], 2)
    registry.close()


async def test_an_earlier_schema_is_not_worked_on(filled_url: str) -> None:
    registry = SqlRegistry(filled_url, SteppingClock())

    with pytest.raises(FactsUnavailableError, match="of version 0001"):
        await registry.write([fact(recording("ana"), day=1)], actor=ACTOR)
    with pytest.raises(FactsUnavailableError, match="of version 0001"):
        await registry.page_token_key()
    registry.close()


@pytest.mark.postgres
def test_writes_wait_for_the_upgrade_and_it_for_them() -> None:
    """One that had begun is contained; one that waited finds the new schema, and stops there."""
    url = new_registry()
    back_to_the_first(url)
    address = parsed(url).set(drivername="postgresql").render_as_string(hide_password=False)
    with (
        psycopg.connect(address) as earlier,
        psycopg.connect(address) as later,
        psycopg.connect(address, autocommit=True) as watching,
        ThreadPoolExecutor(2) as threads,
    ):
        earlier.execute(_BEGIN_OF_A_WRITE)
        earlier.execute(_A_RECORDING)
        earlier.execute("INSERT INTO attendance_participants VALUES ('r1', 'eve', 'CLINICIAN')")
        upgraded = threads.submit(migrate, url)
        _until_so_many_wait(watching, 1)
        waited = threads.submit(lambda: later.execute(_BEGIN_OF_A_WRITE).fetchone())
        _until_so_many_wait(watching, 2)

        earlier.commit()

        assert upgraded.result(20) is SchemaState.OLDER
        assert waited.result(20) == (SCHEMA_VERSION,)
        later.rollback()
    assert stored_reach(url) == [("eve", "attending", 7, "r1")]


_BEGIN_OF_A_WRITE = (
    "UPDATE facts_revision SET revision = revision + 1"  # noqa: S608  # a name of ours
    f" RETURNING (SELECT version_num FROM {VERSION_TABLE})"
)
_A_RECORDING = "INSERT INTO recordings VALUES ('r1', 'uk', NULL, 'ana', 7, '{}', 'test', 0, 1)"
_WAITING = "SELECT count(*) FROM pg_locks WHERE NOT granted"


def _until_so_many_wait(connection: psycopg.Connection[tuple[int]], count: int) -> None:
    """Return when *count* statements wait for a lock."""
    ends = time.monotonic() + 20
    while time.monotonic() < ends:
        row = connection.execute(_WAITING).fetchone()
        if row is not None and row[0] >= count:
            return
        time.sleep(0.01)
    pytest.fail(f"{count} statements should wait for a lock by now")

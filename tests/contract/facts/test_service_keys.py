"""All replicas sign with one key, whoever needed it first."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from authz_service.facts.database import Access, Database
from authz_service.facts.sql_reader import SqlReader
from authz_service.facts.sql_registry import SqlRegistry
from tests.contract.facts.registry_cases import SteppingClock, run

REPLICAS = 6


@pytest.fixture
def replicas(registry_url: str) -> Iterator[list[SqlRegistry]]:
    """Several programs over one registry."""
    made = [SqlRegistry(registry_url, SteppingClock(), lock_seconds=10) for _ in range(REPLICAS)]
    yield made
    for one in made:
        one.close()


async def test_replicas_that_start_at_once_have_one_key(replicas: list[SqlRegistry]) -> None:
    keys = await asyncio.gather(*(one.page_token_key() for one in replicas for _ in range(2)))

    assert len(set(keys)) == 1
    assert len(keys[0]) == 32
    assert len(set(keys[0])) > 8


async def test_the_key_stays(registry: SqlRegistry, registry_url: str) -> None:
    made = await registry.page_token_key()
    later = SqlRegistry(registry_url, SteppingClock())

    assert await later.page_token_key() == made
    later.close()


async def test_a_key_that_is_taken_away_is_another_from_then_on(
    registry: SqlRegistry, registry_url: str
) -> None:
    """An operator who fears for it deletes the row; tokens that are out end with it."""
    made = await registry.page_token_key()
    run(registry_url, "DELETE FROM service_keys")

    assert await registry.page_token_key() != made


async def test_making_it_is_no_write_of_facts(registry: SqlRegistry, reader: SqlReader) -> None:
    before = reader.look()

    await registry.page_token_key()

    assert (reader.look().revision, reader.look().nonce) == (before.revision, before.nonce)


async def test_reading_it_waits_for_nobody(registry: SqlRegistry, registry_url: str) -> None:
    """A long import holds the registry; a replica that starts meanwhile still has its key."""
    made = await registry.page_token_key()
    database = Database(registry_url, lock_seconds=1, pool=1)

    with database.transaction(Access.WRITE) as session:
        session.run("UPDATE facts_revision SET revision = revision")
        assert await registry.page_token_key() == made
    database.close()

"""The databases that are measured: one for each size, kept from run to run."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from authz_service.facts.schema import SCHEMA_VERSION
from bench.registry import RegistryError
from bench.scale.database import Postgres
from bench.scale.lines import lines_of
from bench.scale.world import LEAST_RECORDINGS, World

_PREFIX = "registry_"


@dataclass(frozen=True, slots=True)
class Registry:
    """A database with a world's facts.

    Attributes:
        world: What is in it.
        database: Its name: changes with the schema and with what the generator makes.
        postgres: Where it is.
    """

    world: World
    database: str
    postgres: Postgres

    @property
    def url(self) -> str:
        """Its SQLAlchemy URL."""
        return self.postgres.url(self.database)

    @property
    def size_bytes(self) -> int:
        """How much of the disk it has, its indexes included and the write-ahead log not."""
        return int(self.postgres.value(f"SELECT pg_database_size('{self.database}')") or 0)

    @property
    def revision(self) -> int:
        """The facts revision."""
        return int(self.postgres.value("SELECT revision FROM facts_revision", self.database) or 0)

    @property
    def is_made(self) -> bool:
        """Whether it has its tables."""
        return bool(
            self.postgres.value("SELECT to_regclass('facts_revision') IS NOT NULL", self.database)
        )

    def settle(self) -> None:
        """Bring the tables to the state in which each size is measured, and check what is there.

        Raises:
            RegistryError: There are not as many recordings as there should be.
        """
        self.postgres.run("VACUUM (ANALYZE)", self.database)
        self.postgres.run("CHECKPOINT")
        found = self.postgres.value("SELECT count(*) FROM recordings", self.database)
        if found != self.world.recordings:
            raise RegistryError(f"{self.database} holds {found} recordings; drop it")


def registry_in(postgres: Postgres, recordings: int) -> Registry:
    """Return the database of a world of so many recordings; made where it is not there.

    Databases of that size that another schema or generator made are dropped.
    """
    world = World(recordings)
    stem = f"{_PREFIX}{recordings}_"
    name = stem + _digest()
    databases = postgres.databases()
    for stale in databases:
        if stale.startswith(stem) and stale != name:
            postgres.run(f"DROP DATABASE {stale}")
    if name not in databases:
        postgres.run(f"CREATE DATABASE {name}")
    return Registry(world, name, postgres)


def _digest() -> str:
    """Return a digest of the schema and of what the generator makes."""
    small = World(LEAST_RECORDINGS * 10)
    text = "".join(lines_of(small, range(small.recordings)))
    return hashlib.sha256((SCHEMA_VERSION + text).encode()).hexdigest()[:8]

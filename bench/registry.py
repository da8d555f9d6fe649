"""The benchmark's registry as a file: written once by the service's own writer, then kept.

The name of the file changes with what is in it, so one that is there is the right one.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from time import perf_counter

from authz_service.clocks import SystemClock
from authz_service.facts.database import Access, Database
from authz_service.facts.reader import Key
from authz_service.facts.schema_version import migrate
from authz_service.facts.sql_reader import SqlReader
from authz_service.facts.write_rules import MAX_FACTS
from authz_service.facts.writing import write_facts
from authz_service.pdp.corroboration import corroborated_patient_id
from authz_service.pdp.entities import Entity
from authz_service.pdp.facts import Fact, PatientFacts, RecordingFacts
from bench.world import World, recording_id

_SAMPLES = 200


class RegistryError(Exception):
    """The registry is not what the questions are made for."""


def url_of(path: Path) -> str:
    """Return the SQLAlchemy URL of the registry at *path*."""
    return f"sqlite:///{path.absolute()}"


def registry_of(world: World, directory: Path) -> Path:
    """Return the file of *world*'s registry in *directory*, written where it is not there yet.

    Raises:
        RegistryError: What is read back is not what was written.
    """
    path = directory / world.name
    if not path.exists():
        directory.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        for remains in directory.glob(f"{partial.name}*"):
            remains.unlink()
        _write(world, partial)
        partial.rename(path)
    _check(world, path)
    return path


def _write(world: World, path: Path) -> None:
    """Write all facts of *world* to a new registry, a thousand a transaction as an import does."""
    migrate(url_of(path))
    database = Database(url_of(path), lock_seconds=5.0, pool=1)
    clock = SystemClock()
    facts, done, begun = world.entities(), 0, perf_counter()
    while block := _next(facts):
        with database.transaction(Access.WRITE) as session:
            write_facts(session, block, actor="bench", now=clock.now())
        done += len(block)
        _show(done, world, perf_counter() - begun)
    database.close()
    if path.with_name(f"{path.name}-wal").exists():
        raise RegistryError(f"{path}: its write-ahead log was not folded in")


def _next(facts: Iterable[Fact[Entity]]) -> list[Fact[Entity]]:
    """Return the facts of one transaction; none at the end."""
    return list(islice(facts, MAX_FACTS))


def _show(done: int, world: World, seconds: float) -> None:
    """Say how far it is, on a terminal as it goes and elsewhere at the end."""
    last = done == world.facts
    if last or sys.stderr.isatty():
        print(
            f"\rregistry of {len(world.all_recordings):,} recordings:"
            f" {done:,} of {world.facts:,} facts, {done / seconds:,.0f}/s",
            end="\n" if last else "",
            file=sys.stderr,
            flush=True,
        )


def _check(world: World, path: Path) -> None:
    """Read a sample through the service's own reader.

    Raises:
        RegistryError: A patient is not whom the questions take them for.
    """
    reader = SqlReader(url_of(path), SystemClock())
    numbers = world.all_recordings[:: max(1, len(world.all_recordings) // _SAMPLES)]
    keys = [Key("recording", recording_id(number)) for number in numbers]
    values = reader.load(keys).values
    reader.close()
    for number in numbers:
        found = values.get(Key("recording", recording_id(number)))
        patient = world.patient_of(number)
        known = values.get(Key("patient", patient))
        if (
            not isinstance(found, RecordingFacts)
            or not isinstance(known, PatientFacts)
            or corroborated_patient_id(found, known) != patient
        ):
            raise RegistryError(f"{path}: {recording_id(number)} is not {patient}'s; delete it")

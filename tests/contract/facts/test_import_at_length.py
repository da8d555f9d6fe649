"""A long import goes on after any kill, needs no more memory, and lets others write beside it."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from authz_service.facts.database import Access, Database
from authz_service.facts.giving_way import GivingWay
from authz_service.facts.reader import CONTAINMENTS_KEY
from authz_service.facts.sql_containments import SqlContainments
from authz_service.facts.sql_reader import SqlReader
from tests.contract.facts.import_oracle import faults, imported, lines_of_patients, stored
from tests.contract.facts.lists_oracle import stored_facts
from tests.contract.facts.registry_cases import SystemClock
from tests.contract.facts.test_containments import contained
from tests.postgres import new_registry

PATIENTS = int(os.environ.get("AUTHZ_TEST_IMPORT_PATIENTS", "2000"))
KILLS = int(os.environ.get("AUTHZ_TEST_IMPORT_KILLS", "2"))
IMPORT = """
import resource, sys
from pathlib import Path
from authz_service.clocks import SystemClock
from authz_service.facts.import_lines import lines_in
from authz_service.facts.importer import FactsImporter

def told(summary):
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(summary.lines, peak, flush=True)

importer = FactsImporter(sys.argv[1], SystemClock())
if sys.argv[2] == "-":
    done = importer.import_lines(lines_in(sys.stdin.buffer), "-", actor="ada", progress=told)
else:
    done = importer.import_file(Path(sys.argv[2]), actor="ada", progress=told)
assert done.finished, done.problem
"""


def started(url: str, file: Path) -> subprocess.Popen[bytes]:
    """Start an import of *file* in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", IMPORT, url, str(file)], stdout=subprocess.PIPE, text=False
    )


@pytest.fixture
def long_file(tmp_path: Path) -> Path:
    """A file of many facts."""
    path = tmp_path / "facts.jsonl"
    with path.open("wb") as file:
        file.writelines(lines_of_patients(PATIENTS))
    return path


@pytest.mark.slow
@pytest.mark.postgres
def test_an_import_that_is_killed_anywhere_ends_as_one_that_is_not(long_file: Path) -> None:
    """After a kill -9 the next one goes on; what is stored in the end is the same."""
    url, undisturbed = new_registry(), new_registry()
    generator = random.Random(20200609)

    reached = [0]
    for _ in range(KILLS):
        running = started(url, long_file)
        assert running.stdout is not None
        for _ in range(generator.randint(0, 2)):
            running.stdout.readline()
        time.sleep(generator.random() * 0.3)
        os.kill(running.pid, signal.SIGKILL)
        running.communicate()
        reached.append(lines_done(url))
    assert reached == sorted(reached)
    running = started(url, long_file)
    running.communicate()

    assert running.returncode == 0
    imported(undisturbed, long_file.read_bytes().splitlines(keepends=True))
    assert stored(url) == stored(undisturbed)
    assert faults(url) == []
    assert number(url, "SELECT count(*) FROM fact_changes WHERE in_place") == 5 * PATIENTS + 1


@pytest.mark.slow
@pytest.mark.postgres
def test_memory_stays_as_it_is_and_containments_get_in(long_file: Path) -> None:
    """Lines come through a pipe; a containment ends the transaction for which it waits too long."""
    url = new_registry()
    brake, reader = brake_of(url), SqlReader(url, SystemClock())
    running = subprocess.Popen(
        [sys.executable, "-c", IMPORT, url, "-"],
        stdin=long_file.open("rb"),
        stdout=subprocess.PIPE,
    )
    assert running.stdout is not None

    peaks, waited = [], []
    for line in running.stdout:
        lines, peak = map(int, line.split())
        peaks.append((lines, peak))
        begun = time.monotonic()
        asyncio.run(contained(brake, f"k{lines}"))
        waited.append(time.monotonic() - begun)
    running.wait()

    assert running.returncode == 0
    early = next(peak for lines, peak in peaks if lines > 5 * PATIENTS // 3)
    assert peaks[-1][1] - early < 24_000, peaks
    assert max(waited) < 1.0, waited
    assert len(reader.load([CONTAINMENTS_KEY]).values[CONTAINMENTS_KEY] or ()) == len(peaks)  # type: ignore[arg-type]  # the containments
    assert len(stored_facts(url)) == 5 * PATIENTS + 1 + len(peaks)
    assert faults(url) == []
    brake.close()
    reader.close()


def brake_of(url: str) -> SqlContainments:
    """Return the brake of a replica that has just started."""
    brake = SqlContainments(url, SystemClock(), beside=GivingWay())
    asyncio.run(brake.start())
    return brake


def lines_done(url: str) -> int:
    """Return how far the import is, as the next one will find it."""
    return number(url, "SELECT coalesce(max(lines_done), 0) FROM facts_imports")


def number(url: str, statement: str) -> int:
    """Return the number that a statement finds."""
    with (
        closing(Database(url, lock_seconds=2, pool=1)) as database,
        database.transaction(Access.READ) as session,
    ):
        return int((session.one(statement) or (0,))[0])

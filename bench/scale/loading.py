"""A world loaded by `authz facts import`, part by part; a load that was stopped goes on.

Parts are files, made while the one before is imported and deleted afterwards. The same part always
has the same bytes, so the import itself knows how far it was. Once in a load the importer is
killed.
"""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import perf_counter, sleep

import orjson
import psutil
import psycopg

from authz_service.facts.schema_version import migrate
from bench.processes import AUTHZ
from bench.progress import say
from bench.registry import RegistryError
from bench.scale.lines import MOST_LINES
from bench.scale.meanwhile import Known, answering
from bench.scale.registries import Registry

_DONE = "SELECT coalesce(sum(lines_done), 0)::bigint FROM facts_imports"
_SHOWN_SECONDS = 15.0
_KEPT_SECONDS = 3.0


@dataclass(slots=True)
class Load:
    """What a load showed, those before it that were stopped included.

    Attributes:
        recordings: How many recordings the world has.
        part_recordings: How many a part has; stays as a load was begun.
        parts_done: How many of its parts are imported.
        facts: How many facts are stored.
        seconds: How long importers worked.
        samples: Pairs of seconds and facts, about once a second; the clock of importers' work.
        resident_bytes: The most memory that an importer held, by part.
        resident_samples: Pairs of seconds and an importer's memory in bytes.
        killed_at: How many facts were stored when an importer was killed; None where none was.
        milliseconds: How long the service's answers took meanwhile.
        wrong: How many of them were wrong.
        problems: The first few of those.
        failed: How many calls had no answer, by status.
        finished: Whether all of it is there.
    """

    recordings: int
    part_recordings: int
    parts_done: int = 0
    facts: int = 0
    seconds: float = 0.0
    samples: list[tuple[float, int]] = field(default_factory=list)
    resident_bytes: list[int] = field(default_factory=list)
    resident_samples: list[tuple[float, int]] = field(default_factory=list)
    killed_at: int | None = None
    milliseconds: list[float] = field(default_factory=list)
    wrong: int = 0
    problems: list[str] = field(default_factory=list)
    failed: dict[str, int] = field(default_factory=dict)
    finished: bool = False

    @property
    def rate(self) -> float:
        """Facts a second, from the first to the last."""
        return self.facts / self.seconds if self.seconds else 0.0


class Loader:
    """Loads one registry; what it has done is kept in a file beside the parts."""

    def __init__(self, registry: Registry, folder: Path, part_recordings: int) -> None:
        """Work in *folder*; a part has *part_recordings* recordings."""
        self._registry = registry
        self._folder = folder
        self._file = folder / f"{registry.database}.json"
        self._load = self._kept(part_recordings)
        self._parts = [
            range(registry.world.recordings)[first : first + self._load.part_recordings]
            for first in range(0, registry.world.recordings, self._load.part_recordings)
        ]
        self._known = Known()

    def run(self) -> Load:
        """Import what is not there yet; return what all of it showed.

        Raises:
            RegistryError: An import failed, or what is there is not what was imported.
        """
        load = self._load
        if load.finished:
            return load
        self._folder.mkdir(parents=True, exist_ok=True)
        migrate(self._registry.url)
        service_folder = self._folder / f"service-{self._registry.world.recordings}"
        with answering(
            self._registry.world, self._registry.url, service_folder, self._known
        ) as answers:
            for part in range(load.parts_done, len(self._parts)):
                self._import_part(part)
                load.milliseconds += answers.milliseconds
                answers.milliseconds = []
                load.parts_done = part + 1
                self._keep()
        load.wrong += answers.wrong
        load.problems += answers.problems
        load.failed = {**load.failed, **answers.failed}
        load.finished = True
        self._registry.settle()
        self._keep()
        return load

    def _import_part(self, part: int) -> None:
        """Import one part; once in a load kill the importer in the midst of it."""
        path = self._path(part)
        making = self._make(part)
        if making is not None and making.wait():
            raise RegistryError(f"{path} could not be made")
        following = self._make(part + 1) if part + 1 < len(self._parts) else None
        self._load.resident_bytes.append(0)
        try:
            self._keep()
            while not self._imported(part, path):
                say(f"the importer was killed at {self._load.killed_at:,} facts; it starts again")
        finally:
            self._keep()
            if following is not None:
                following.wait()
        path.unlink()

    def _imported(self, part: int, path: Path) -> bool:
        """Run the importer on *path*; whether it came to the end, and was not killed on the way."""
        command = [str(AUTHZ), "facts", "import", str(path), "--actor", "bench"]
        output = self._folder / "import.txt"
        with (
            output.open("wb") as file,
            subprocess.Popen(
                [*command, "--registry-url", self._registry.url], stdout=file, stderr=file
            ) as popen,
        ):
            killed = self._watch(part, popen)
        if killed:
            return False
        if popen.returncode:
            raise RegistryError(f"the import of {path} failed: {output.read_text()[-500:]}")
        self._known.recordings = self._parts[part].stop
        return True

    def _watch(self, part: int, popen: subprocess.Popen[bytes]) -> bool:
        """Note how far *popen* is until it ends; whether it was killed."""
        load, before = self._load, self._load.seconds
        kill_at = load.facts + len(self._parts[0]) * 3 // 2
        begun = shown = kept = perf_counter()
        while popen.poll() is None:
            sleep(min(1.0, 0.05 + (perf_counter() - begun) / 20))
            load.seconds = before + perf_counter() - begun
            with suppress(psutil.Error):
                self._note(part, psutil.Process(popen.pid).memory_info().rss)
            if load.killed_at is None and load.facts >= kill_at and popen.poll() is None:
                popen.kill()
                load.killed_at = load.facts
                return True
            if perf_counter() - shown > _SHOWN_SECONDS:
                shown = perf_counter()
                say(f"{load.facts:,} facts in {load.seconds:,.0f} s: {load.rate:,.0f}/s")
            if perf_counter() - kept > _KEPT_SECONDS:
                kept = perf_counter()
                self._keep()
        load.seconds = before + perf_counter() - begun
        self._note(part, 0)
        return False

    def _note(self, part: int, resident: int) -> None:
        """Take a sample."""
        load = self._load
        with suppress(psycopg.Error):
            postgres = self._registry.postgres
            load.facts = int(postgres.value(_DONE, self._registry.database) or 0)
        load.samples.append((round(load.seconds, 2), load.facts))
        if resident:
            load.resident_samples.append((round(load.seconds, 2), resident))
            load.resident_bytes[-1] = max(load.resident_bytes[-1], resident)
        fewest = (load.facts - self._registry.world.staff) // MOST_LINES
        self._known.recordings = max(self._known.recordings, self._parts[part].start, fewest)

    def _make(self, part: int) -> subprocess.Popen[bytes] | None:
        """Begin to make the file of *part*; None where it is there."""
        path = self._path(part)
        if path.exists():
            return None
        numbers = self._parts[part]
        command = [sys.executable, "-m", "bench.scale.generate", "--output", str(path)]
        command += ["--recordings", str(self._registry.world.recordings)]
        return subprocess.Popen(
            [*command, "--first", str(numbers.start), "--last", str(numbers.stop)]
        )

    def _path(self, part: int) -> Path:
        """Return the file of *part*."""
        return self._folder / f"{self._registry.database}-{part:04}.jsonl"

    def _kept(self, part_recordings: int) -> Load:
        """Return what earlier loads of the same database kept; nothing where it is a new one."""
        if not self._registry.is_made or not self._file.exists():
            return Load(self._registry.world.recordings, part_recordings)
        return Load(**orjson.loads(self._file.read_bytes()))

    def _keep(self) -> None:
        """Keep what was done, in place of what was kept."""
        partial = self._file.with_suffix(".partial")
        partial.write_bytes(orjson.dumps(asdict(self._load)))
        partial.rename(self._file)

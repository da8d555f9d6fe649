"""Lives of a journal between faults: what its clients were told, and what the next start owes them.

The promise, in full:

- An append that was acknowledged is there, whole, in order, once.
- An append that was refused when it was made is not there, nor is one that failed while it waited,
  once the journal has written on after it.
- Of what waited when the end came at most one batch may be there, the whole of it, after all else.
- A power cut never keeps a journal from starting.
- What a start cuts off is kept beside, and recorded; the next start finds nothing to cut.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from authz_service.audit.directory import journal_id, torn_paths
from authz_service.audit.encoding import line_encoder
from authz_service.audit.files import Files
from authz_service.audit.journal import FileJournal, JournalOptions
from authz_service.audit.opening import open_journal
from authz_service.audit.recovery import recover
from authz_service.audit.verify import verify_journal
from authz_service.pdp.errors import JournalUnavailableError
from tests.unit.audit.audit_faults import ORIGIN, FaultyFiles, decision_record
from tests.unit.audit.simulated_disk import State, lay_out

SMALL = JournalOptions(
    segment_bytes=5_000, first_retry_seconds=0.001, last_retry_seconds=0.004, reserve_bytes=0
)
Step = tuple[tuple[int, ...], ...]
"""Bursts on each other's heels; a burst is appends made at once, of so many records each."""

SCRIPT: tuple[Step, ...] = (
    ((1,),),
    ((1, 3, 1),),
    ((1,), (2, 1), (1,)),
    ((1, 1),),
    ((1,),),
)

_encoded = line_encoder(ORIGIN.software)
_PROBE = _encoded([decision_record(999_999)])


@dataclass(slots=True)
class Clients:
    """Those who append.

    Attributes:
        certain: The lines that were acknowledged, in order.
        unsure: The lines of which nothing is known: their wait failed, or never ended.
    """

    certain: list[bytes] = field(default_factory=list)
    unsure: list[bytes] = field(default_factory=list)
    _count: int = 0

    async def play(self, journal: FileJournal, step: Step) -> None:
        """Append, each burst while the one before may still wait."""
        bursts = []
        for burst in step:
            bursts += [asyncio.ensure_future(self._append(journal, size)) for size in burst]
            for _ in range(70):  # until the batch is handed over
                await asyncio.sleep(0)
        await asyncio.gather(*bursts)

    def learn(self, batches: list[list[bytes]]) -> None:
        """Take what a start has accepted for certain, and all else for gone."""
        recorded = appended_in(batches)
        assert_promise(recorded, batches, self)
        self.certain, self.unsure = recorded, []

    async def _append(self, journal: FileJournal, size: int) -> None:
        records = [decision_record(self._count + index) for index in range(size)]
        self._count += size
        try:
            waiting = journal.append(records)
        except JournalUnavailableError:
            return
        line = _encoded(records)
        self.unsure.append(line)
        try:
            await waiting
        except JournalUnavailableError:
            return
        self.unsure.remove(line)
        self.certain.append(line)


async def live(
    directory: Path, files: FaultyFiles, clients: Clients, script: Sequence[Step] = SCRIPT
) -> bool:
    """Open, append, and close; where the power goes, stop. Whether the journal started.

    Space is made on a full disk after the step in which it was noticed. A journal that does not
    start though nothing failed is a broken promise.
    """
    try:
        journal = open_journal(directory, ORIGIN, options=SMALL, files=files)
    except JournalUnavailableError:
        if not files.failures:
            raise
        files.space_bytes = None
        return False
    clients.learn(batches_by_hand(directory))
    try:
        for step in script:
            await clients.play(journal, step)
            if files.failures:
                files.space_bytes = None
            await _until_usable(journal, files)
            if files.is_off:
                break
            clients.unsure.clear()  # the journal has begun a segment after them
    finally:
        await journal.close()
    return True


async def _until_usable(journal: FileJournal, files: FaultyFiles) -> None:
    async with asyncio.timeout(5):
        while not (journal.usable or files.is_off):  # noqa: ASYNC110  # it knows no loop
            await asyncio.sleep(0.001)


async def start_after(directory: Path, clients: Clients, files: Files | None = None) -> list[bytes]:
    """Start on what the end has left, and hold it against what *clients* were told.

    Returns:
        All that was appended and is recorded now; the last was appended by this start's own client.
    """
    left = torn_ends(directory)
    journal = open_journal(directory, ORIGIN, options=SMALL, files=files or FaultyFiles())
    await journal.append([decision_record(999_999)])
    await journal.close()

    cut = [
        (each.segment, (directory / each.kept_as).read_bytes())
        for each in journal.recovery.torn
        if each.offset_bytes is not None
    ]
    assert sorted(cut) == sorted(left)
    batches = batches_by_hand(directory)
    recorded = appended_in(batches)
    assert recorded[-1] == _PROBE
    assert_promise(recorded[:-1], batches, clients)
    named = [name for batch in batches for line in batch for name in _told_of(line)]
    assert sorted(named) == [path.name for path in torn_paths(directory)]

    again = files or FaultyFiles()
    assert recover(again, directory, journal_id(again, directory)).torn == ()
    assert batches_by_hand(directory) == batches
    report = verify_journal(directory)
    assert (report.fault, report.torn) == (None, ())
    return recorded


async def start_in_each(
    states: Iterable[State], place: Path, clients: Clients, kept: Sequence[bytes] = ()
) -> int:
    """Start in each of *states*, with *place* as the root; return how many there were.

    Each torn end in *kept*, which was on the disk once, must lie beside the journal afterwards.
    """
    count = 0
    for count, state in enumerate(states, 1):
        lay_out(state, place)
        with told_where(f"state {count}: { ({name: len(state[name]) for name in state}) }"):
            (directory,) = {(place / name).parent for name in state} or {place / "new"}
            await start_after(directory, clients)
            assert set(kept) <= {path.read_bytes() for path in torn_paths(directory)}
        shutil.rmtree(place)
    return count


def assert_promise(recorded: list[bytes], batches: list[list[bytes]], clients: Clients) -> None:
    """Hold what is recorded against what *clients* were told."""
    count = len(clients.certain)
    assert recorded[:count] == clients.certain
    extra = recorded[count:]
    assert extra == [line for line in clients.unsure if line in extra]
    assert not extra or extra in batches


def appended_in(batches: list[list[bytes]]) -> list[bytes]:
    """Return the lines that clients appended, those of starts left out."""
    return [line for batch in batches for line in batch if not _told_of(line)]


def batches_by_hand(directory: Path) -> list[list[bytes]]:
    """Return the lines of each batch, read as docs/journal.md tells it; the chain must hold."""
    texts = [path.read_bytes() for path in sorted(directory.glob("segment-*.jsonl"))]
    heads = [json.loads(text[: text.index(b"\n")])["segment"] for text in texts]
    ends = [head["previous_bytes"] for head in heads[1:]]
    batches: list[list[bytes]] = []
    previous, sequence, left = b"0" * 64, 0, 0
    for number, (text, end) in enumerate(zip(texts, [*ends, None], strict=True), 1):
        assert heads[number - 1]["number"] == number
        assert end is None or end <= len(text)
        for line in text[:end].splitlines():
            body, _, stated = line.rpartition(b',"hash":"')
            previous = hashlib.sha256(previous + body).hexdigest().encode()
            assert stated == previous + b'"}'
            said, sequence = json.loads(body + b"}"), sequence + 1
            assert said["sequence"] == sequence
            assert ("record" in said) == (left > 0)
            if "record" in said:
                batches[-1].append(body.partition(b',"record":')[2])
                left -= 1
            elif "batch" in said:
                batches.append([])
                left = said["batch"]["lines"]
                assert said["batch"]["number"] == len(batches)
    assert left == 0
    return batches


def _told_of(line: bytes) -> list[str]:
    """Return the name of the torn end that a line tells of, if it does."""
    said = json.loads(line)
    return [said["details"]["kept_as"]] if said["kind"] == "JOURNAL_RECOVERED" else []


def torn_ends(directory: Path) -> list[tuple[str, bytes]]:
    """Return what the next start has to cut off: the segment, and its last bytes."""
    if not directory.is_dir():
        return []
    return [
        (end.segment, (directory / end.segment).read_bytes()[end.offset_bytes :])
        for end in verify_journal(directory).torn
    ]


@contextmanager
def told_where(place: str) -> Iterator[None]:
    """Say at which fault a promise was broken."""
    try:
        yield
    except BaseException as broken:
        broken.add_note(place)
        raise

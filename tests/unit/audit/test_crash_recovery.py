"""The power goes again while a start mends what the first power cut left, and then once more."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from authz_service.audit.chain import chained_batch, chained_closing
from authz_service.audit.directory import segment_path
from tests.unit.audit.audit_faults import FaultyFiles
from tests.unit.audit.crash_lives import Clients, live, start_in_each, told_where, torn_ends
from tests.unit.audit.journal_remains import Written, lines_of, next_header, written
from tests.unit.audit.simulated_disk import Disk, State, lay_out

ONE = (((1,),),)


def remains(place: Path, torn: Callable[[Written], None]) -> tuple[State, Clients]:
    """Return a journal of two batches that *torn* was done to, and what its clients know."""
    place.mkdir()
    journal = written(place / "j", [2, 1])
    torn(journal)
    (state,) = Disk(place).states()
    certain = [] if torn is first_header else lines_of(0, 3)
    return state, Clients(certain, lines_of(3, 2), 5)


def add(path: Path, content: bytes) -> None:
    """Write to the end of a file."""
    with path.open("ab") as stream:
        stream.write(content)


def whole_batch(journal: Written) -> None:
    """Let a batch be there of which nobody heard."""
    add(journal.path, chained_batch(journal.ends[-1], lines_of(3, 2), 2).content)


def torn_batch(journal: Written) -> None:
    """Let half of a batch be there, and the rest be zeros."""
    content = chained_batch(journal.ends[-1], lines_of(3, 2), 2).content
    half = len(content) // 2
    add(journal.path, content[:half] + bytes(half))


def torn_closing(journal: Written) -> None:
    """Let a closing line lack its end."""
    add(journal.path, chained_closing(journal.ends[-1], 2, 3).content[:-1])


def torn_header(journal: Written) -> None:
    """Let a segment have been made, and nothing be in it."""
    closing = chained_closing(journal.ends[-1], 2, 3)
    add(journal.path, closing.content)
    add(segment_path(journal.directory, 2), next_header(journal, closing.end)[:99])


def torn_batch_and_header(journal: Written) -> None:
    """Let a batch have failed, its cut be lost, and the segment after it be torn too."""
    torn_batch(journal)
    add(segment_path(journal.directory, 2), bytes(300))


def new_segment(journal: Written) -> None:
    """Let a segment have been begun, and no more."""
    add(segment_path(journal.directory, 2), next_header(journal, journal.ends[-1]))


def first_header(journal: Written) -> None:
    """Let the first segment of all have been made, and nothing be in it."""
    journal.path.write_bytes(b"{" + bytes(99))


async def cut_at(state: State, clients: Clients, root: Path, operation: int) -> FaultyFiles:
    """Start on *state*; the power goes before an operation."""
    lay_out(state, root)
    files = FaultyFiles(disk=Disk(root), cut_before=operation)
    await live(root / "j", files, clients, ONE)
    shutil.rmtree(root)
    return files


@pytest.mark.slow
@pytest.mark.parametrize(
    "torn",
    [
        whole_batch,
        torn_batch,
        torn_closing,
        torn_header,
        torn_batch_and_header,
        new_segment,
        first_header,
    ],
    ids=lambda torn: torn.__name__,
)
async def test_a_start_may_be_cut_short_at_any_operation(
    tmp_path: Path, torn: Callable[[Written], None]
) -> None:
    """And the one after it as well."""
    state, clients = remains(tmp_path / "first", torn)
    kept = [content for _, content in torn_ends(tmp_path / "first" / "j")]
    drawn, operation, is_off = random.Random(torn.__name__), 0, True
    while is_off:
        operation += 1
        told = Clients(clients.certain[:], clients.unsure[:], 5)
        files = await cut_at(state, told, tmp_path / "live", operation)
        left, is_off = files.left_behind(), files.is_off
        with told_where(f"the power went before operation {operation}"):
            await start_in_each(left, tmp_path / "after", told, kept)
        second = drawn.randrange(1, 16)
        files = await cut_at(drawn.choice(left), told, tmp_path / "live", second)
        after = files.left_behind()
        with told_where(f"the power went before operation {operation}, then {second}"):
            after = drawn.sample(after, min(3, len(after)))
            await start_in_each(after, tmp_path / "after", told, kept)

    assert operation > 10

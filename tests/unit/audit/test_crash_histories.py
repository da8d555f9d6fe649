"""Histories of a journal, drawn at random: faults, kills and power cuts, one upon another."""

from __future__ import annotations

import asyncio
import errno
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.audit.audit_faults import FaultyFiles
from tests.unit.audit.crash_lives import Clients, Step, live, start_after
from tests.unit.audit.simulated_disk import Disk, lay_out

Fault = tuple[str, int]
"""What goes wrong, and at which operation, call or byte."""

_bursts = st.lists(st.integers(1, 3), min_size=1, max_size=4).map(tuple)
_steps = st.lists(_bursts, min_size=1, max_size=3).map(tuple)
_faults = st.one_of(
    st.tuples(st.sampled_from(["none", "space"]), st.integers(0, 9_000)),
    st.tuples(st.sampled_from(["power", "power after", "killed"]), st.integers(1, 40)),
    st.tuples(
        st.sampled_from(["create", "write", "sync", "rename", "truncate", "sync_directory"]),
        st.integers(1, 9),
    ),
)
_lives = st.tuples(_faults, st.lists(_steps, max_size=4), st.booleans(), st.integers(0, 1 << 20))


def faulty(fault: Fault, disk: Disk) -> FaultyFiles:
    """Return files with *fault* put in."""
    what, count = fault
    files = FaultyFiles(disk=disk, torn_bytes=(count * 331) % 1500)
    if what in ("power", "killed"):
        files.cut_before = count
    elif what == "power after":
        files.cut_after = count
    elif what == "space":
        files.space_bytes = count
    elif what != "none":
        files.fail_at = {(what, count): errno.EIO, ("sync", count + 3): errno.EIO}
    return files


async def lived(place: Path, lives: Sequence[tuple[Fault, list[Step], bool, int]]) -> None:
    """Live through *lives*; after some of them the power is cut, and the disk forgets."""
    clients, root = Clients(), place / "0"
    root.mkdir()
    disk = Disk(root)
    for number, (fault, script, is_cut, drawn) in enumerate(lives, 1):
        files = faulty(fault, disk)
        await live(root / "j", files, clients, script)
        if is_cut if fault[0] != "killed" else not files.is_off:
            states = disk.states()
            root = place / str(number)
            lay_out(states[drawn % len(states)], root)
            disk = Disk(root)
    await start_after(root / "j", clients, FaultyFiles(disk=disk))


@pytest.mark.slow
@given(st.lists(_lives, min_size=1, max_size=6))
def test_no_history_loses_an_answer(lives: list[tuple[Fault, list[Step], bool, int]]) -> None:
    """Each start is held against what was told before it; so is the last."""
    with tempfile.TemporaryDirectory() as place:
        asyncio.run(lived(Path(place), lives))

"""What size costs can be measured: a small run loads, measures and checks as the large one does."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.scale.generate import write_part
from bench.scale.world import World

ROOT = Path(__file__).resolve().parents[2]
SIZES = (500, 2_000)


@pytest.fixture
def directory() -> Iterator[Path]:
    """A folder of its own: PostgreSQL may run as somebody else than owns pytest's."""
    with tempfile.TemporaryDirectory(prefix="authz-scale-", ignore_cleanup_errors=True) as name:
        yield Path(name)


@pytest.mark.slow
@pytest.mark.postgres
@pytest.mark.timeout(240)
def test_a_small_run_loads_and_measures_with_every_answer_right(
    tmp_path: Path, directory: Path
) -> None:
    """Through the real import, on a real PostgreSQL, with a service that answers meanwhile."""
    found = tmp_path / "found.json"

    run = subprocess.run(
        [
            *(sys.executable, "-m", "bench.scale", "--quick", "--json", str(found)),
            *("--sizes", ",".join(map(str, SIZES)), "--directory", str(directory / "scale")),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=230,
        check=False,
    )

    assert run.returncode == 0, run.stdout + run.stderr
    results = json.loads(found.read_text())
    assert results["problems"] == []
    for size, load in zip(SIZES, results["loads"], strict=True):
        part = tmp_path / "part.jsonl"
        write_part(World(size), range(size), part)
        assert load["finished"]
        assert (load["recordings"], load["wrong"], load["problems"]) == (size, 0, [])
        assert load["facts"] == part.read_bytes().count(b"\n")
        assert results["wrong"][str(size)] == 0
        assert results["answers"][str(size)] > 100
    measured = {(each["rpc"], each["manner"], each["alone"]) for each in results["measured"]}
    assert measured == {
        (rpc, manner, alone)
        for rpc in ("check", "batch", "list", "subjects")
        for manner in ("cold", "shared")
        for alone in (False, True)
    }
    assert "GB of disk" in run.stderr
    assert not list((directory / "scale" / "loads").glob("*.jsonl"))


def test_a_disk_that_is_too_small_is_said_beforehand(tmp_path: Path) -> None:
    """Nothing is begun that cannot end."""
    run = subprocess.run(
        [
            *(sys.executable, "-m", "bench.scale", "--sizes", "100000000000"),
            *("--directory", str(tmp_path / "scale")),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert run.returncode == 2
    assert "that is not enough" in run.stderr
    assert not (tmp_path / "scale").exists()

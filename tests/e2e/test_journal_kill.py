"""kill -9 in the middle of writing: whoever was answered is in the journal."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from authz_service.audit.verify import read_records, verify_journal

WRITER = Path(__file__).with_name("journal_writer.py")


def killed_after(directory: Path, prefix: str, acknowledged: int) -> list[str]:
    """Run a writer, kill it once it has acknowledged so many; return all that it acknowledged."""
    command = [sys.executable, str(WRITER), str(directory), prefix]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        told = [writer.stdout.readline() for _ in range(acknowledged)]
        writer.kill()
        told += writer.stdout.readlines()
    return [line.decode().strip() for line in told if line.endswith(b"\n")]


@pytest.mark.slow
def test_every_acknowledged_decision_survives_kill_9(tmp_path: Path) -> None:
    """Also across restarts: the chain goes on from one life to the next."""
    acknowledged: list[str] = []
    for life, count in enumerate([1, 40, 333, 1000]):
        acknowledged += killed_after(tmp_path / "j", f"life{life}", count)

        report = verify_journal(tmp_path / "j")
        assert report.fault is None
        kept = {read.get("decision_id") for read in read_records(tmp_path / "j")}
        assert set(acknowledged) <= kept
    assert len(acknowledged) >= 1374

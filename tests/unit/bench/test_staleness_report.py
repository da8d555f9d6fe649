"""Delays of revocations become a table by kind, and a plot."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from bench.staleness import main, table


def trial(kind: str, last_allowed_ms: float) -> dict[str, object]:
    return {
        "kind": kind,
        "last_allowed_ms": last_allowed_ms,
        "first_denied_ms": last_allowed_ms + 2,
    }


TRIALS = [*(trial("block set", ms) for ms in range(100)), trial("share revoked", -30.0)]


def test_shares_of_each_kind_are_told() -> None:
    lines = [line.split("|")[1:-1] for line in table(TRIALS).splitlines()]

    assert [[cell.strip() for cell in line] for line in lines[2:]] == [
        ["block set", "100", "50.0", "90.0", "99.0", "99.0"],
        ["share revoked", "1", "0.0", "0.0", "0.0", "0.0"],
        ["all", "101", "49.0", "89.0", "98.0", "99.0"],
    ]


def test_a_file_of_trials_becomes_a_table_and_a_plot(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, plot = tmp_path / "trials.json", tmp_path / "plot.svg"
    file.write_text(json.dumps({"staleness_ms": 50, "trials": TRIALS}))

    assert main([str(file), "--plot", str(plot)]) == 0

    assert "share revoked" in capsys.readouterr().out
    drawn = ET.fromstring(plot.read_text())  # noqa: S314  # our own
    words = "".join(drawn.itertext())
    assert "the first check that was denied" in words
    assert "AUTHZ_FACTS_STALENESS_MS" in words

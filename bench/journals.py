"""Whether every answer of the benchmark is in a journal that verifies."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import orjson

from authz_service.audit.verify import read_records, verify_journal
from bench.measure import Ledger


@dataclass(frozen=True, slots=True)
class JournalFinding:
    """What a journal holds of what was answered.

    Attributes:
        answered: How many decisions were answered.
        recorded: How many decisions it holds.
        missing: How many answered ones it does not hold.
        size_bytes: How long its segments are together.
        problem: What is wrong with it; None where nothing is.
    """

    answered: int
    recorded: int
    missing: int
    size_bytes: int
    problem: str | None


def examine(journal: Path, ledger: Ledger) -> JournalFinding:
    """Verify *journal*, and look for every decision of *ledger* in it."""
    report = verify_journal(journal)
    recorded = {
        str(record["decision_id"])
        for record in read_records(journal)
        if record["kind"] == "DECISION"
    }
    answered = set(ledger.decision_ids)
    size = sum(path.stat().st_size for path in journal.iterdir() if path.is_file())
    missing = len(answered - recorded)
    problem = None
    if report.fault is not None:
        problem = f"the journal does not verify: {report.fault}"
    elif report.torn:
        problem = "the journal ends in a torn batch after a drain"
    elif missing:
        problem = f"{missing} decisions were answered and are not in the journal"
    elif len(answered) != len(ledger.decision_ids):
        problem = "two answers bear the same decision id"
    return JournalFinding(len(answered), len(recorded), missing, size, problem)


def complaints(log: Path) -> list[str]:
    """Return what a service complained of in its *log*, each with how often."""
    found: Counter[str] = Counter()
    with log.open("rb") as lines:
        for line in lines:
            if b'"level":"info"' not in line:
                found[_complaint(line)] += 1
    return [f"{text}, {count} times" for text, count in found.most_common(5)]


def _complaint(line: bytes) -> str:
    """Return what a line of the log says, without what differs each time."""
    try:
        said = orjson.loads(line)
    except ValueError:
        return line.decode(errors="replace").strip()
    return ": ".join(str(said[name]) for name in ("event", "rpc", "why", "error") if name in said)

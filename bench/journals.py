"""Whether every answer of the benchmark is in a journal that verifies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import orjson

from authz_service.audit.verify import read_records, verify_journal
from bench.measure import Ledger

_DECISIONS = {"DECISION", "PRESENTED", "LISTED"}


@dataclass(frozen=True, slots=True)
class JournalFinding:
    """What the journals of a server hold of what was answered.

    Attributes:
        answered: How many decisions were answered.
        recorded: How many decisions they hold.
        missing: How many answered ones they do not hold.
        size_bytes: How long their segments are together.
        problem: What is wrong with them; None where nothing is.
    """

    answered: int
    recorded: int
    missing: int
    size_bytes: int
    problem: str | None


def examine(folder: Path, ledger: Ledger) -> JournalFinding:
    """Verify every journal in *folder*, and look for every decision of *ledger* in them."""
    journals = sorted(path.parent for path in folder.rglob("journal.id"))
    recorded: list[str] = []
    problems: list[str] = []
    for journal in journals:
        recorded += _decisions_in(journal)
        problems += _problems_of(journal)
    answered = set(ledger.decision_ids)
    missing = len(answered.difference(recorded))
    if missing:
        problems.append(f"{missing} decisions were answered and are not in a journal")
    if len(answered) != len(ledger.decision_ids):
        problems.append("two answers bear the same decision id")
    if len(set(recorded)) != len(recorded):
        problems.append("a decision is recorded twice")
    size = sum(path.stat().st_size for one in journals for path in one.iterdir() if path.is_file())
    return JournalFinding(
        len(answered), len(recorded), missing, size, problems[0] if problems else None
    )


def _decisions_in(journal: Path) -> Iterator[str]:
    """Yield every decision that *journal* holds, rows and pages of lists among them."""
    for record in read_records(journal):
        if record["kind"] in _DECISIONS:
            yield str(record["decision_id"])


def _problems_of(journal: Path) -> Iterator[str]:
    """Say what is wrong with *journal* itself."""
    report = verify_journal(journal)
    if report.fault is not None:
        yield f"the journal does not verify: {report.fault}"
    elif report.torn:
        yield "the journal ends in a torn batch after a drain"


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

"""A service under attack: attackers in processes of their own, and an honest client beside them."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import grpc
import psutil

from tests.e2e.client import ALLOWED, client_of, outcome_of
from tests.service_process import ServiceProcess

_DEADLINE_SECONDS = 10.0
_PAUSE_SECONDS = 0.02
_NEW_CLIENT_EACH = 10


@dataclass
class Report:
    """What became of a service under attack.

    Attributes:
        outcomes: What each attacker says of itself.
        seconds: How long each answer to the honest client took.
        failures: What its calls failed with; there should be none.
        wrong: How many of its answers were not what they should be.
        grown_mib: How much more memory the service had at most than before, in MiB.
        files: How many files it had open at most.
        said: How often it logged what, its answers aside.
    """

    outcomes: dict[str, Counter[str]] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)
    wrong: int = 0
    grown_mib: int = 0
    files: int = 0
    said: Counter[str] = field(default_factory=Counter)

    @property
    def median_seconds(self) -> float:
        """How long half of the answers took at most."""
        return sorted(self.seconds)[len(self.seconds) // 2]


def besiege(service: ServiceProcess, seconds: float, *attacks: str) -> Report:
    """Have *service* attacked for so long; ask it honest questions meanwhile."""
    report = Report()
    watched = psutil.Process(service.pid)
    before, begun = watched.memory_info().rss, service.log.stat().st_size
    attackers = [_attacker(name, service.address, seconds) for name in attacks]
    try:
        while any(each.poll() is None for each in attackers):
            _ask_as_old_and_new(service, report)
            report.files = max(report.files, watched.num_fds())
            grown = watched.memory_info().rss - before
            report.grown_mib = max(report.grown_mib, grown >> 20)
    finally:
        for each in attackers:
            each.kill()
    for name, each in zip(attacks, attackers, strict=True):
        said = each.communicate()[0]
        report.outcomes[name] = Counter(json.loads(said) if said else {"died": 1})
    report.said = _said_since(service, begun)
    return report


def _attacker(name: str, address: str, seconds: float) -> subprocess.Popen[str]:
    """Start an attacker."""
    command = [sys.executable, "-m", "tests.e2e.attackers", name, address, str(seconds)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def _ask_as_old_and_new(service: ServiceProcess, report: Report) -> None:
    """Ask some questions on one connection."""
    with client_of(service) as client:
        for _ in range(_NEW_CLIENT_EACH):
            begun = time.monotonic()
            try:
                answer = client.check(timeout=_DEADLINE_SECONDS)
            except grpc.RpcError as error:
                status: Any = error
                report.failures[f"{status.code().name} {status.details()}"] += 1
            else:
                report.seconds.append(time.monotonic() - begun)
                echo = (answer.subject_id, answer.recording_id)
                report.wrong += echo != ("mara", "rec-mara") or outcome_of(answer) != ALLOWED
            threading.Event().wait(_PAUSE_SECONDS)


def _said_since(service: ServiceProcess, begun: int) -> Counter[str]:
    """Return what the log holds from there on, by the names of events."""
    lines = service.log.read_bytes()[begun:].splitlines()
    said = Counter(_name_of(line) for line in lines)
    del said["access_decided"]
    return said


def _name_of(line: bytes) -> str:
    """Return the name of an event."""
    try:
        return str(json.loads(line)["event"])
    except ValueError:
        return line.decode(errors="replace")


def lines_of(said: Counter[str], *but: str) -> int:
    """Return how many lines were logged, those of some events aside."""
    return sum(count for name, count in said.items() if name not in but)

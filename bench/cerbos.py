"""Cerbos beside the service: installed by npm where that is there, with two rules and its audit."""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

import orjson

from bench.cerbos_messages import messages
from bench.http2 import Question
from bench.load import Call
from bench.measure import Ledger
from bench.processes import Server, address_text, ending, free_address, wait_until_serving
from bench.questions import Asked, Checked
from bench.world import World

VERSION = "0.55.0"
CHECK_PATH = "/cerbos.svc.v1.CerbosService/CheckResources"

_PACKAGE = "@cerbos/cerbos-linux-x64"
_INSTALL_SECONDS = 300
_ALLOW, _DENY = 1, 2
_CALL_ID_LENGTH = 26
_RULES = """\
apiVersion: api.cerbos.dev/v1
resourcePolicy:
  resource: recording
  version: default
  rules:
    - actions: [view]
      effect: EFFECT_ALLOW
      roles: [patient]
      condition:
        match:
          all:
            of:
              - expr: R.attr.owner == P.id
              - expr: P.attr.purpose_of_use == "PATRQT"
    - actions: [view]
      effect: EFFECT_ALLOW
      roles: [clinician]
      condition:
        match:
          all:
            of:
              - expr: P.id in R.attr.attending
              - expr: P.attr.purpose_of_use == "TREAT"
              - expr: P.attr.mfa
"""
_SETTINGS = """\
server:
  grpcListenAddr: "{grpc}"
  httpListenAddr: "{http}"
storage:
  driver: disk
  disk: {{directory: "{folder}/policies", watchForChanges: false}}
schema: {{enforcement: none}}
telemetry: {{disabled: true}}
audit:
  enabled: true
  accessLogsEnabled: true
  decisionLogsEnabled: true
  backend: file
  file: {{path: "{folder}/audit.log"}}
"""


class CerbosMissingError(Exception):
    """Cerbos is not here, and cannot be had; the message says why."""


@dataclass(frozen=True, slots=True)
class AuditFinding:
    """What Cerbos's audit file holds of what it answered.

    Attributes:
        answered: How many calls it answered.
        missing: How many of them the file does not hold.
        decisions: How many decisions the file holds.
        size_bytes: How long it is.
    """

    answered: int
    missing: int
    decisions: int
    size_bytes: int


def installed(directory: Path, *, may_install: bool) -> Path:
    """Return the program in *directory*, put there by npm where it is not.

    Raises:
        CerbosMissingError: It is not there and may not or cannot be installed.
    """
    program = directory / "node_modules" / _PACKAGE / "cerbos-linux-x64"
    if program.exists():
        return program.absolute()
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        raise CerbosMissingError("its package is for Linux on x86-64")
    if not may_install:
        raise CerbosMissingError(f"not installed in {directory}, which a full run does")
    npm = shutil.which("npm")
    if npm is None:
        raise CerbosMissingError("npm is not there to install it")
    command = (npm, "install", "--prefix", str(directory), "--no-save", "--ignore-scripts")
    directory.mkdir(parents=True, exist_ok=True)
    try:
        ended = subprocess.run(
            [*command, f"{_PACKAGE}@{VERSION}"],
            capture_output=True,
            text=True,
            timeout=_INSTALL_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise CerbosMissingError(f"npm did not end within {_INSTALL_SECONDS} s") from None
    if not program.exists():
        said = (ended.stderr.strip().splitlines() or ["npm said nothing"])[0]
        raise CerbosMissingError(f"npm did not install it: {said}")
    return program.absolute()


@contextmanager
def cerbos(program: Path, folder: Path) -> Iterator[Server]:
    """Run Cerbos with two rules, its audit in a file of *folder*.

    Raises:
        ServerError: It does not serve.
    """
    folder = folder.absolute()
    (folder / "policies").mkdir(parents=True)
    (folder / "policies" / "recording.yaml").write_text(_RULES)
    address, http_address = free_address(), free_address()
    settings = folder / "cerbos.yaml"
    settings.write_text(
        _SETTINGS.format(grpc=address_text(address), http=address_text(http_address), folder=folder)
    )
    command = [str(program), "server", "--config", str(settings), "--debug-listen-addr="]
    with (
        (folder / "log.jsonl").open("wb") as log,
        subprocess.Popen(command, stdout=log, stderr=log, text=True) as popen,
    ):
        server = Server(popen, address, folder)
        with ending(server):
            wait_until_serving(server)
            yield server


def questions(asked: Sequence[Sequence[Asked]], world: World) -> Iterator[Question]:
    """Return each of *asked* as one CheckResources, with the facts that its rules need.

    A call of Cerbos is about one subject, so each of *asked* must be.
    """
    return cycle([_question(each, world) for each in asked])


def check(call: Call) -> Checked:
    """Check an answer: the effect on each recording, in order."""
    asked = call.question.known
    if not isinstance(asked, Sequence) or call.answer is None:
        return Checked(problem="no answer of Cerbos")
    answer = messages().response.FromString(call.answer)
    expected = [(one.recording, {"view": _ALLOW if one.is_own else _DENY}) for one in asked]
    if [(one.resource.id, dict(one.actions)) for one in answer.results] != expected:
        return Checked(problem=f"Cerbos answered {asked} with {answer!s}")
    if len(answer.cerbos_call_id) != _CALL_ID_LENGTH:
        return Checked(problem="Cerbos named no call")
    return Checked([answer.cerbos_call_id])


def examine(audit: Path, ledger: Ledger) -> AuditFinding:
    """Look for every call of *ledger* in the file that Cerbos has left."""
    held, decisions = set(), 0
    with audit.open("rb") as lines:
        for line in lines:
            entry = orjson.loads(line)
            if entry["log.kind"] == "decision":
                held.add(entry["callId"])
                decisions += len(entry["checkResources"]["outputs"])
    answered = set(ledger.decision_ids)
    return AuditFinding(len(answered), len(answered - held), decisions, audit.stat().st_size)


def _question(asked: Sequence[Asked], world: World) -> Question:
    """Return one CheckResources."""
    request = messages().request()
    request.principal.id = asked[0].subject
    request.principal.roles.append("patient")
    request.principal.attr["purpose_of_use"].string_value = "PATRQT"
    request.principal.attr["mfa"].bool_value = False
    for one in asked:
        number = int(one.recording[1:])
        entry = request.resources.add()
        entry.actions.append("view")
        entry.resource.kind, entry.resource.id = "recording", one.recording
        entry.resource.attr["owner"].string_value = world.patient_of(number)
        entry.resource.attr["attending"].list_value.extend([world.clinician_of(number)])
    return Question(request.SerializeToString(), asked)
